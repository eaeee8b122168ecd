// See capture_file.h: opening, mapping and choosing the format. The formats are in pcap_format.h and pcapng_format.h.
#include "replay/capture_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "replay/pcap_format.h"
#include "replay/pcapng_format.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#endif

namespace tapline {
namespace {

enum class Format : uint8_t { kPcap, kPcapSwapped, kPcapng };

FileStatus from_errno(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return {"FILE_NOT_FOUND", 0, strerror(error)};
    case EISDIR:
      return {"FILE_IS_DIRECTORY", 0, ""};
    case ENOMEM:
      return {"OUT_OF_MEMORY", 0, strerror(error)};
    default:
      return {"FILE_UNREADABLE", 0, strerror(error)};
  }
}

FileStatus refuse_kind(const struct stat& found) {
  if (S_ISDIR(found.st_mode)) return {"FILE_IS_DIRECTORY", 0, ""};
  if (!S_ISREG(found.st_mode)) return {"FILE_IS_PIPE", 0, ""};
  if (found.st_size == 0) return {"FILE_EMPTY", 0, ""};
  return {};
}

std::string spell_magic(const uint8_t* data) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 4; ++i) {
    if (i > 0) text += ' ';
    text += kDigits[data[i] >> 4];
    text += kDigits[data[i] & 15];
  }
  const uint32_t magic = load<uint32_t>(data);
  if (magic == 0xA1B2CD34 || magic == 0x34CDB2A1) text += " (pcap as modified by Kuznetzov)";
  if (data[0] == 0x1F && data[1] == 0x8B) text += " (gzip)";
  if (magic == 0xFD2FB528) text += " (zstd)";
  if (magic == 0x184D2204) text += " (lz4)";
  if (magic == 0x587A37FD) text += " (xz)";
  if (magic == 0x04034B50) text += " (zip)";
  return text;
}

std::string of_bytes(uint64_t size, uint64_t needed) {
  return std::to_string(size) + " of " + std::to_string(needed) + " bytes";
}

/// See CaptureFile::warm. `length_at` reads one record's length, 0 for nonsense.
template <typename LengthAt>
void walk_lanes(const CaptureFile& file, const uint8_t* data, uint64_t from, uint64_t to, LengthAt length_at) noexcept {
  constexpr size_t kLanes = 8;          // about as many misses as a core keeps under way
  constexpr uint64_t kShortest = 4096;  // a shorter lane costs more to find than it saves
  constexpr uint64_t kSearch = 8192;    // give a lane up when no boundary is as near
  if (from >= to || to - from < kLanes * kShortest) return;
  uint64_t at[kLanes] = {from}, end[kLanes];
  size_t lanes = 1;
  for (size_t i = 1; i < kLanes; ++i) {
    const uint64_t start = from + (to - from) / kLanes * i;
    const uint64_t found = file.guess_boundary(start, start + kSearch);
    if (found >= to || found >= start + kSearch) continue;
    end[lanes - 1] = found;
    at[lanes++] = found;
  }
  end[lanes - 1] = to;
  while (lanes > 0) {
    for (size_t i = 0; i < lanes; ++i) {
      const uint64_t length = length_at(at[i]);
      at[i] += length;
      if (length == 0 || at[i] >= end[i]) [[unlikely]] {
        --lanes;
        at[i] = at[lanes];
        end[i] = end[lanes];
        --i;
        continue;
      }
      prefetch_record(data + at[i]);
    }
  }
}

}  // namespace

struct CaptureFile::State {
  int fd = -1;
  const uint8_t* data = nullptr;
  uint64_t size = 0;
  Format format = Format::kPcap;
  uint64_t first_record = 0;
  PcapFormat pcap;
  PcapngFormat pcapng;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (data != nullptr) munmap(const_cast<uint8_t*>(data), size);
    if (fd >= 0) close(fd);
  }

  FileStatus map(const char* path);
  FileStatus read_header();
  FileStatus read_pcap_header();
  FileStatus read_pcapng_header();
};

FileStatus CaptureFile::State::map(const char* path) {
  struct stat found;
  // Looked at before it is opened: opening a pipe would already disturb its writer.
  if (stat(path, &found) != 0) return from_errno(errno);
  if (FileStatus status = refuse_kind(found); !status.ok()) return status;
  // Without O_NONBLOCK, a pipe put there meanwhile would hold us.
  fd = ::open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &found) != 0) return from_errno(errno);
  if (FileStatus status = refuse_kind(found); !status.ok()) return status;
  void* mapped = mmap(nullptr, static_cast<size_t>(found.st_size), PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return from_errno(errno);
  data = static_cast<const uint8_t*>(mapped);
  size = static_cast<uint64_t>(found.st_size);
  // Reads ahead further, and lets go of what was read. Only advice: failure does not matter.
  (void)madvise(mapped, size, MADV_SEQUENTIAL);
  return {};
}

FileStatus CaptureFile::State::read_header() {
  if (size < 4) return {"FILE_TOO_SHORT", 0, of_bytes(size, PcapFormat::kHeader)};
  if (PcapngFormat::recognizes(data, size)) return read_pcapng_header();
  return read_pcap_header();
}

FileStatus CaptureFile::State::read_pcap_header() {
  bool swapped = true;
  switch (load<uint32_t>(data)) {
    case 0xA1B2C3D4:
      swapped = false;
      [[fallthrough]];
    case 0xD4C3B2A1:
      pcap.fraction_ns = 1000;
      break;
    case 0xA1B23C4D:
      swapped = false;
      [[fallthrough]];
    case 0x4D3CB2A1:
      pcap.fraction_ns = 1;
      break;
    default:
      return {"FILE_BAD_MAGIC", 0, spell_magic(data)};
  }
  if (size < PcapFormat::kHeader) return {"FILE_TOO_SHORT", 0, of_bytes(size, PcapFormat::kHeader)};
  const auto half = [&](uint64_t at) { return swapped ? load<uint16_t, true>(data + at) : load<uint16_t>(data + at); };
  const auto word = [&](uint64_t at) { return swapped ? load<uint32_t, true>(data + at) : load<uint32_t>(data + at); };
  // 2.3 and older may hold the two lengths of a record the other way round.
  if (half(4) != 2 || half(6) != 4)
    return {"FILE_BAD_VERSION", 4, "pcap " + std::to_string(half(4)) + "." + std::to_string(half(6))};
  format = swapped ? Format::kPcapSwapped : Format::kPcap;
  first_record = PcapFormat::kHeader;
  const uint32_t snap_length = word(16);
  pcap.limit = frame_limit(snap_length);
  // The upper bits say whether frames end with their checksum; a class in bits 16 to 25 makes it another link type.
  const uint32_t link = word(20);
  pcap.link_type = link & 0x03FF0000 ? 0xFFFF : static_cast<uint16_t>(link);
  pcapng.interfaces.push_back({.name = "",
                               .link_type = pcap.link_type,
                               .snap_length = snap_length,
                               .units_per_second = 1'000'000'000 / pcap.fraction_ns,
                               .offset_seconds = 0,
                               .capture_drops = 0});
  return {};
}

FileStatus CaptureFile::State::read_pcapng_header() {
  format = Format::kPcapng;
  if (size < 28) return {"FILE_TOO_SHORT", 0, of_bytes(size, 28)};
  if (const uint32_t order = load<uint32_t>(data + 8); order != 0x1A2B3C4D && order != 0x4D3C2B1A)
    return {"FILE_BAD_MAGIC", 0, spell_magic(data) + " as pcapng, but without a byte order"};
  FileStatus status;
  if (pcapng.open(data, size, first_record, status) != Step::kRecord && strcmp(status.code, "FILE_TRUNCATED") == 0)
    return {"FILE_TOO_SHORT", status.offset,
            std::to_string(size) + " bytes, within a block that starts at byte " + std::to_string(status.offset)};
  return status;
}

std::unique_ptr<CaptureFile> CaptureFile::open(const char* path, FileStatus& status) {
  auto state = std::make_unique<State>();
  status = state->map(path);
  if (!status.ok()) return nullptr;
  std::unique_ptr<CaptureFile> file(new CaptureFile(std::move(state)));
  if (!file->populate(0, 4096)) {
    status = {"FILE_SHRANK", 0, ""};
    return nullptr;
  }
  status = file->state_->read_header();
  if (!status.ok()) return nullptr;
  return file;
}

CaptureFile::CaptureFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
CaptureFile::~CaptureFile() = default;

bool CaptureFile::pcapng() const noexcept { return state_->format == Format::kPcapng; }
uint64_t CaptureFile::size() const noexcept { return state_->size; }
uint64_t CaptureFile::first_record() const noexcept { return state_->first_record; }
const std::vector<CaptureInterface>& CaptureFile::interfaces() const noexcept { return state_->pcapng.interfaces; }

bool CaptureFile::populate(uint64_t from, uint64_t length) const noexcept {
  constexpr uint64_t kPage = 4096;
  if (from >= state_->size) return true;
  const uint64_t end = from + std::min(length, state_->size - from);
  from &= ~(kPage - 1);
  auto* start = const_cast<uint8_t*>(state_->data) + from;
  int failed;
  do {
    failed = madvise(start, end - from, MADV_POPULATE_READ);
  } while (failed != 0 && errno == EINTR);
  // EFAULT: a page has no file behind it any more, or its disk failed. Anything else (EINVAL before Linux 5.14, ENOMEM)
  // only means that pages will be faulted in one by one.
  if (failed != 0 && (errno == EFAULT || errno == EHWPOISON)) return false;
  if (failed != 0) (void)madvise(start, end - from, MADV_WILLNEED);
  struct stat now;
  return fstat(state_->fd, &now) == 0 && static_cast<uint64_t>(now.st_size) >= end;
}

void CaptureFile::warm(uint64_t from, uint64_t to) const noexcept {
  const State& state = *state_;
  to = std::min(to, state.size);
  switch (state.format) {
    case Format::kPcap:
      return walk_lanes(*this, state.data, from, to,
                        [&](uint64_t at) { return state.pcap.length_at<false>(state.data, state.size, at); });
    case Format::kPcapSwapped:
      return walk_lanes(*this, state.data, from, to,
                        [&](uint64_t at) { return state.pcap.length_at<true>(state.data, state.size, at); });
    default:
      return walk_lanes(*this, state.data, from, to,
                        [&](uint64_t at) { return state.pcapng.length_at(state.data, state.size, at); });
  }
}

Step CaptureFile::next(uint64_t& offset, uint64_t end, Record& out, FileStatus& status) const noexcept {
  State& state = *state_;
  end = std::min(end, state.size);
  if (offset >= end) return Step::kEnd;
  switch (state.format) {
    case Format::kPcap:
      return state.pcap.next<false>(state.data, state.size, offset, out, status);
    case Format::kPcapSwapped:
      return state.pcap.next<true>(state.data, state.size, offset, out, status);
    default:
      return state.pcapng.next(state.data, state.size, offset, end, out, status);
  }
}

Step CaptureFile::apply_change(uint64_t& offset, FileStatus& status) {
  if (offset >= state_->size) return Step::kEnd;
  if (state_->format != Format::kPcapng) return Step::kRecord;
  return state_->pcapng.apply_change(state_->data, state_->size, offset, status);
}

void CaptureFile::rewind() noexcept { state_->pcapng.rewind(); }

uint64_t CaptureFile::guess_boundary(uint64_t from, uint64_t to) const noexcept {
  const State& state = *state_;
  from = std::max(from, state.first_record);
  if (from >= std::min(to, state.size)) return to;
  uint64_t found;
  switch (state.format) {
    case Format::kPcap:
      found = state.pcap.guess<false>(state.data, state.size, from, to);
      break;
    case Format::kPcapSwapped:
      found = state.pcap.guess<true>(state.data, state.size, from, to);
      break;
    default:
      found = state.pcapng.guess(state.data, state.size, from, to);
      break;
  }
  return std::min(found, to);
}

}  // namespace tapline
