#include "relay/afpacket/figures.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tapline::relay {

namespace {
constexpr uint64_t kMagic = 0x31304746'41465054 ^ sizeof(Figures) << 1;  // "TPAFFG01", and any other layout is another

size_t bytes_of(uint32_t rules, uint32_t outputs) noexcept {
  return sizeof(Figures) + size_t{rules} * sizeof(RuleCounts) + size_t{outputs} * sizeof(OutputCounts);
}
std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }
}  // namespace

FiguresFile::~FiguresFile() {
  if (figures_) munmap(figures_, bytes_);
  if (fd_ >= 0) close(fd_);
}

std::string FiguresFile::open(const std::string& path, uint32_t max_rules, uint32_t max_outputs) {
  fd_ = ::open(path.c_str(), max_rules ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDWR | O_CLOEXEC, 0600);
  if (fd_ < 0) return failed("open");
  struct {
    uint64_t magic;
    uint32_t max_rules, max_outputs;
  } found{};
  const bool there = pread(fd_, &found, sizeof found, 0) == sizeof found && found.magic == kMagic;
  struct stat about {};
  if (fstat(fd_, &about)) return failed("stat");
  const bool whole = there && static_cast<size_t>(about.st_size) >= bytes_of(found.max_rules, found.max_outputs);
  const bool fits = whole && found.max_rules >= max_rules && found.max_outputs >= max_outputs;
  if (!fits && max_rules == 0) return "it is of another version, or damaged";
  if (!fits && about.st_size > 0 && claimed_by() != 0)
    return "a worker of another version, or with fewer slots, uses it";
  if (fits) {
    max_rules = found.max_rules;
    max_outputs = found.max_outputs;
  }
  bytes_ = bytes_of(max_rules, max_outputs);
  // A smaller table than is asked for now, or another layout: its counts end here, and start again at zero.
  if (!fits && (ftruncate(fd_, 0) || ftruncate(fd_, static_cast<off_t>(bytes_)))) return failed("ftruncate");
  void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (at == MAP_FAILED) return failed("mmap");
  figures_ = static_cast<Figures*>(at);
  rules_ = reinterpret_cast<RuleCounts*>(static_cast<uint8_t*>(at) + sizeof(Figures));
  outputs_ = reinterpret_cast<OutputCounts*>(rules_ + max_rules);
  if (!fits) {
    figures_->max_rules = max_rules;
    figures_->max_outputs = max_outputs;
    figures_->magic = kMagic;
  }
  return {};
}

// A POSIX lock: it goes with the process, and the kernel tells who holds it.
bool FiguresFile::claim() noexcept {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  return fcntl(fd_, F_SETLK, &lock) == 0;
}

int FiguresFile::claimed_by() const noexcept {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  if (fd_ < 0 || fcntl(fd_, F_GETLK, &lock) || lock.l_type == F_UNLCK) return 0;
  return lock.l_pid;
}

}  // namespace tapline::relay
