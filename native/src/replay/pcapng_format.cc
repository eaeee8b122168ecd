// See pcapng_format.h. Block layouts: draft-ietf-opsawg-pcapng, section 4.
#include "replay/pcapng_format.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "bytes.h"
#include "replay/pcap_format.h"

namespace tapline {
namespace {

enum BlockType : uint32_t {
  kInterface = 1,
  kObsoletePacket = 2,
  kSimplePacket = 3,
  kNameResolution = 4,
  kStatistics = 5,
  kEnhancedPacket = 6,
  kSystemdJournal = 9,
  kDecryptionSecrets = 10,
  kCustom = 0x0BAD,
  kCustomUncopied = 0x40000BAD,
};

constexpr uint32_t kByteOrder = 0x1A2B3C4D;
/// No block is longer; one that claims to be is damage, not a file cut off.
constexpr uint32_t kLongestBlock = 128u << 20;
constexpr uint32_t kFrame = 12;  ///< type, length and the length again
constexpr size_t kMostInterfaces = 0xFFFF;
/// Times are kept within these, about 1933 to 2116, so that neither the difference of two nor a later pass's shift
/// overflows.
constexpr __int128 kEarliest = -(int64_t{1} << 60), kLatest = int64_t{1} << 62;

constexpr uint32_t padded(uint32_t length) noexcept { return (length + 3) & ~3u; }

[[gnu::cold]] Step broken(const char* code, uint64_t offset, std::string detail, FileStatus& status) {
  status = {code, offset, std::move(detail)};
  return Step::kBroken;
}

/// Calls `visit(code, value, length)` for each option; false when the list is damaged.
template <bool kSwapped, typename Visit>
bool each_option(const uint8_t* at, const uint8_t* end, Visit visit) {
  while (end - at >= 4) {
    const uint16_t code = load<uint16_t, kSwapped>(at), length = load<uint16_t, kSwapped>(at + 2);
    at += 4;
    if (code == 0) return true;
    if (end - at < padded(length)) return false;
    visit(code, at, length);
    at += padded(length);
  }
  return at == end;  // without an end-of-options, as the draft allows
}

}  // namespace

bool PcapngFormat::recognizes(const uint8_t* data, uint64_t size) noexcept {
  return size >= 4 && load<uint32_t>(data) == kSectionHeader;
}

template <bool kSwapped>
Step PcapngFormat::block_at(const uint8_t* data, uint64_t size, uint64_t offset, Block& block,
                            FileStatus& status) const noexcept {
  const uint64_t left = size - offset;
  if (left < kFrame) [[unlikely]]
    return broken("FILE_TRUNCATED", offset, "", status);
  const uint8_t* bytes = data + offset;
  const uint32_t length = load<uint32_t, kSwapped>(bytes + 4);
  if (length < kFrame || length % 4 != 0) [[unlikely]]
    return broken("FILE_BAD_BLOCK", offset, "a block length of " + std::to_string(length), status);
  if (length > left) [[unlikely]] {
    if (length > kLongestBlock)
      return broken("FILE_BAD_LENGTH", offset, "a block length of " + std::to_string(length), status);
    return broken("FILE_TRUNCATED", offset, "", status);
  }
  if (load<uint32_t, kSwapped>(bytes + length - 4) != length) [[unlikely]]
    return broken("FILE_BAD_BLOCK", offset, "the length at its end differs from the one at its start", status);
  block = {bytes, load<uint32_t, kSwapped>(bytes), length};
  return Step::kRecord;
}

template <bool kSwapped>
Step PcapngFormat::packet(const Block& block, uint64_t offset, Record& out, FileStatus& status) const noexcept {
  const uint8_t* bytes = block.bytes;
  const bool simple = block.type == kSimplePacket;
  const uint32_t header = simple ? 12 : 28;
  if (block.length < header + 4) return broken("FILE_BAD_BLOCK", offset, "too short for a packet", status);
  uint32_t id = 0;
  if (block.type == kEnhancedPacket) id = load<uint32_t, kSwapped>(bytes + 8);
  if (block.type == kObsoletePacket) id = load<uint16_t, kSwapped>(bytes + 8);
  if (id >= section_.count) [[unlikely]]
    return broken("FILE_BAD_BLOCK", offset, "interface " + std::to_string(id) + " is not described", status);
  const Clock& clock = clocks_[section_.first + id];
  const uint32_t room = block.length - header - 4;

  if (simple) {
    // No captured length: what the snap length allowed. No time either: the clock stands still.
    out.wire_length = load<uint32_t, kSwapped>(bytes + 8);
    out.captured = clock.snap_length != 0 ? std::min(out.wire_length, clock.snap_length) : out.wire_length;
    out.time_ns = 0;
  } else {
    out.captured = load<uint32_t, kSwapped>(bytes + 20);
    out.wire_length = load<uint32_t, kSwapped>(bytes + 24);
    const uint64_t units = uint64_t{load<uint32_t, kSwapped>(bytes + 12)} << 32 | load<uint32_t, kSwapped>(bytes + 16);
    __int128 time = static_cast<__int128>(clock.offset_seconds) * 1'000'000'000;
    if (clock.multiplier != 0) [[likely]] {
      time += static_cast<__int128>(units) * clock.multiplier;
    } else {
      const uint64_t seconds = units / clock.units_per_second, rest = units % clock.units_per_second;
      const auto fraction = static_cast<unsigned __int128>(rest) * 1'000'000'000 / clock.units_per_second;
      time += static_cast<__int128>(seconds) * 1'000'000'000 + static_cast<__int128>(fraction);
    }
    out.time_ns = static_cast<int64_t>(std::clamp(time, kEarliest, kLatest));
  }
  if (out.captured > clock.limit) [[unlikely]]
    return broken("FILE_BAD_LENGTH", offset, "a captured length of " + std::to_string(out.captured), status);
  if (out.captured > room) [[unlikely]]
    return broken("FILE_BAD_BLOCK", offset, "a captured length beyond its end", status);
  out.frame = bytes + header;
  out.interface = static_cast<uint16_t>(section_.first + id);
  out.link_type = clock.link_type;
  return Step::kRecord;
}

template <bool kSwapped>
Step PcapngFormat::next_in(const uint8_t* data, uint64_t size, uint64_t& offset, uint64_t end, Record& out,
                           FileStatus& status) noexcept {
  while (offset < end) {
    // The section header's type reads the same in both orders; its length may not.
    if (size - offset >= 4 && load<uint32_t>(data + offset) == kSectionHeader) [[unlikely]]
      return Step::kChanged;
    Block block;
    if (const Step step = block_at<kSwapped>(data, size, offset, block, status); step != Step::kRecord) return step;
    switch (block.type) {
      case kInterface:
        return Step::kChanged;
      case kEnhancedPacket:
      case kSimplePacket:
      case kObsoletePacket: {
        prefetch_record(block.bytes + block.length);
        const Step step = packet<kSwapped>(block, offset, out, status);
        if (step == Step::kRecord) offset += block.length;
        return step;
      }
      case kStatistics:
        note_statistics<kSwapped>(block);
        break;
      default:
        break;
    }
    offset += block.length;
  }
  return Step::kEnd;
}

Step PcapngFormat::next(const uint8_t* data, uint64_t size, uint64_t& offset, uint64_t end, Record& out,
                        FileStatus& status) noexcept {
  return section_.swapped ? next_in<true>(data, size, offset, end, out, status)
                          : next_in<false>(data, size, offset, end, out, status);
}

Step PcapngFormat::start_section(const uint8_t* data, uint64_t size, uint64_t& offset, FileStatus& status) noexcept {
  if (size - offset < 28) return broken("FILE_TRUNCATED", offset, "", status);
  const uint8_t* bytes = data + offset;
  const uint32_t order = load<uint32_t>(bytes + 8);
  if (order != kByteOrder && order != swap_bytes(kByteOrder))
    return broken("FILE_BAD_BLOCK", offset, "a section without a byte order", status);
  const bool swapped = order != kByteOrder;
  Block block;
  const Step step =
      swapped ? block_at<true>(data, size, offset, block, status) : block_at<false>(data, size, offset, block, status);
  if (step != Step::kRecord) return step;
  if (block.length < 28) return broken("FILE_BAD_BLOCK", offset, "too short for a section header", status);
  const uint16_t major = swapped ? load<uint16_t, true>(bytes + 12) : load<uint16_t>(bytes + 12);
  const uint16_t minor = swapped ? load<uint16_t, true>(bytes + 14) : load<uint16_t>(bytes + 14);
  // 1.2 was written by mistake and is the same as 1.0 (draft, 4.1).
  if (major != 1 || (minor != 0 && minor != 2))
    return broken("FILE_BAD_VERSION", offset, "pcapng " + std::to_string(major) + "." + std::to_string(minor), status);
  section_ = {swapped, section_.first + section_.count, 0};
  offset += block.length;
  return Step::kRecord;
}

template <bool kSwapped>
Step PcapngFormat::add_interface(const Block& block, uint64_t offset, FileStatus& status) {
  if (block.length < 20) return broken("FILE_BAD_BLOCK", offset, "too short for an interface", status);
  const size_t index = section_.first + section_.count;
  if (index < interfaces.size()) {  // applied before, in an earlier pass
    ++section_.count;
    return Step::kRecord;
  }
  if (index >= kMostInterfaces) return broken("FILE_BAD_BLOCK", offset, "more than 65535 interfaces", status);
  CaptureInterface found{.name = "",
                         .link_type = load<uint16_t, kSwapped>(block.bytes + 8),
                         .snap_length = load<uint32_t, kSwapped>(block.bytes + 12),
                         .units_per_second = 1'000'000,
                         .offset_seconds = 0,
                         .capture_drops = 0};
  bool sound = true;
  const uint8_t* options = block.bytes + 16;
  sound &= each_option<kSwapped>(options, block.bytes + block.length - 4,
                                 [&](uint16_t code, const uint8_t* at, uint16_t length) {
                                   constexpr uint16_t kName = 2, kResolution = 9, kOffset = 14;
                                   if (code == kName) {
                                     found.name.assign(reinterpret_cast<const char*>(at), length);
                                     // Some writers count the terminating zero.
                                     found.name.resize(std::min(found.name.size(), found.name.find('\0')));
                                   } else if (code == kResolution && length == 1) {
                                     const unsigned exponent = *at & 0x7F;
                                     uint64_t units = 1;
                                     if (*at & 0x80) {
                                       sound &= exponent < 64;
                                       units <<= exponent & 63;
                                     } else {
                                       sound &= exponent < 20;
                                       for (unsigned i = 0; i < exponent && i < 19; ++i) units *= 10;
                                     }
                                     found.units_per_second = units;
                                   } else if (code == kOffset && length == 8) {
                                     found.offset_seconds = static_cast<int64_t>(load<uint64_t, kSwapped>(at));
                                   }
                                 });
  if (!sound) return broken("FILE_BAD_BLOCK", offset, "an interface with a damaged option", status);
  const uint64_t units = found.units_per_second;
  clocks_.push_back({.multiplier = 1'000'000'000 % units == 0 ? 1'000'000'000 / units : 0,
                     .units_per_second = units,
                     .offset_seconds = found.offset_seconds,
                     .snap_length = found.snap_length,
                     .limit = frame_limit(found.snap_length),
                     .link_type = found.link_type});
  interfaces.push_back(std::move(found));
  ++section_.count;
  return Step::kRecord;
}

Step PcapngFormat::apply_change(const uint8_t* data, uint64_t size, uint64_t& offset, FileStatus& status) {
  if (recognizes(data + offset, size - offset)) return start_section(data, size, offset, status);
  Block block;
  Step step = section_.swapped ? block_at<true>(data, size, offset, block, status)
                               : block_at<false>(data, size, offset, block, status);
  if (step != Step::kRecord) return step;
  step = section_.swapped ? add_interface<true>(block, offset, status) : add_interface<false>(block, offset, status);
  if (step == Step::kRecord) offset += block.length;
  return step;
}

/// Damaged statistics cost the statistics, not the packets. Any thread: hence the atomic maximum.
template <bool kSwapped>
void PcapngFormat::note_statistics(const Block& block) noexcept {
  if (block.length < 24) return;
  const uint32_t id = load<uint32_t, kSwapped>(block.bytes + 8);
  if (id >= section_.count) return;
  uint64_t drops = 0;
  each_option<kSwapped>(block.bytes + 20, block.bytes + block.length - 4,
                        [&](uint16_t code, const uint8_t* at, uint16_t length) {
                          constexpr uint16_t kByInterface = 5, kBySystem = 7;
                          if ((code == kByInterface || code == kBySystem) && length == 8)
                            drops += load<uint64_t, kSwapped>(at);
                        });
  std::atomic_ref most(interfaces[section_.first + id].capture_drops);
  uint64_t before = most.load(std::memory_order_relaxed);
  while (before < drops && !most.compare_exchange_weak(before, drops, std::memory_order_relaxed)) {
  }
}

template <bool kSwapped>
uint64_t PcapngFormat::guess_in(const uint8_t* data, uint64_t size, uint64_t from, uint64_t to) const noexcept {
  const auto plausible = [&](uint64_t offset) -> uint32_t {  // the block's length, or 0
    if (size - offset < kFrame) return 0;
    const uint8_t* bytes = data + offset;
    const uint32_t type = load<uint32_t, kSwapped>(bytes), length = load<uint32_t, kSwapped>(bytes + 4);
    switch (type) {
      case kInterface:
      case kObsoletePacket:
      case kSimplePacket:
      case kNameResolution:
      case kStatistics:
      case kEnhancedPacket:
      case kSystemdJournal:
      case kDecryptionSecrets:
      case kCustom:
      case kCustomUncopied:
      case kSectionHeader:
        break;
      default:
        return 0;
    }
    if (length < kFrame || length % 4 != 0 || length > size - offset) return 0;
    return load<uint32_t, kSwapped>(bytes + length - 4) == length ? length : 0;
  };
  constexpr int kChain = 5;
  for (uint64_t start = (from + 3) & ~uint64_t{3}; start < to; start += 4) {
    uint64_t offset = start;
    int links = 0;
    while (links < kChain && (offset < size || links == 0)) {
      const uint32_t length = plausible(offset);
      if (length == 0) break;
      offset += length;
      ++links;
    }
    if (links == kChain || (links > 0 && offset == size)) return start;
  }
  return UINT64_MAX;
}

uint64_t PcapngFormat::guess(const uint8_t* data, uint64_t size, uint64_t from, uint64_t to) const noexcept {
  to = std::min(to, size);
  return section_.swapped ? guess_in<true>(data, size, from, to) : guess_in<false>(data, size, from, to);
}

Step PcapngFormat::open(const uint8_t* data, uint64_t size, uint64_t& offset, FileStatus& status) {
  Step step = apply_change(data, size, offset, status);
  while (step == Step::kRecord) {
    Record first;
    uint64_t ahead = offset;
    FileStatus found;
    const Step met = next(data, size, ahead, size, first, found);
    // Without an interface no packet can be read: what is wrong is the file's header. Later damage is for whoever gets
    // there.
    if (met == Step::kBroken && interfaces.empty()) {
      status = found;
      return met;
    }
    if (met != Step::kChanged) break;
    step = apply_change(data, size, ahead, status);
    if (step == Step::kRecord) offset = ahead;
  }
  leading_ = section_;
  return step;
}

uint64_t PcapngFormat::length_at(const uint8_t* data, uint64_t size, uint64_t offset) const noexcept {
  if (size - offset < kFrame) return 0;
  const uint32_t length =
      section_.swapped ? load<uint32_t, true>(data + offset + 4) : load<uint32_t>(data + offset + 4);
  return length < kFrame || length > kLongestBlock ? 0 : length;
}

}  // namespace tapline
