#include "flow/live_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace tapline {

namespace {
constexpr size_t kChecked = sizeof(LiveSlot) - sizeof(uint64_t);
constexpr size_t kWords = kChecked / sizeof(uint32_t);
/// Odd, so that no single change cancels out; the same in store/live-file.ts.
constexpr auto kFactors = [] {
  std::array<uint32_t, kWords> factors{};
  for (uint32_t i = 0; i < kWords; i++) factors[i] = (i + 1) * 0x9E3779B1u | 1u;
  return factors;
}();
}  // namespace

uint32_t live_check(const void* slot) noexcept {
  uint32_t words[kWords];
  std::memcpy(words, slot, kChecked);
  uint32_t sum = 0x74617065u;
  for (size_t i = 0; i < kWords; i++) sum += (words[i] ^ words[i] >> 15) * kFactors[i];
  return sum;
}

LiveFile::LiveFile(const LiveFlows& flows, unsigned member)
    : path_(flows.database + "-live-" + std::to_string(flows.run) + "-" + std::to_string(member)) {
  std::memcpy(header_.magic, kLiveMagic, sizeof header_.magic);
  header_.version = kLiveVersion;
  header_.slot_size = sizeof(LiveSlot);
  header_.run = flows.run;
  header_.started = flows.started;
  header_.member = member;
  header_.process = getpid();
}

LiveFile::~LiveFile() {
  if (fd_ >= 0) close(fd_);
}

/// The file is made when there is something to write, and tried for again when it could not be: a full disk or a
/// missing folder must not keep a capture from starting.
bool LiveFile::put(const void* bytes, size_t size, size_t at) noexcept {
  if (fd_ < 0) fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const bool done = fd_ >= 0 && pwrite(fd_, bytes, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size);
  errors_ += !done;
  return done;
}

bool LiveFile::write(uint32_t first, uint32_t count, int64_t now) noexcept {
  for (uint32_t i = 0; i < count; i++) {
    LiveSlot& slot = gathered_[i];
    if (slot.flow.packet == 0) {
      std::memset(static_cast<void*>(&slot), 0, sizeof slot);
      continue;
    }
    slot.mark = LiveMark{};
    slot.mark.visited = now;
    const uint32_t check = live_check(&slot);
    std::memcpy(slot.mark.check, &check, sizeof check);
  }
  return put(gathered_, count * sizeof(LiveSlot), kLivePage + first * sizeof(LiveSlot));
}

void LiveFile::write_header(uint32_t slots, int64_t now) noexcept {
  header_.slots = slots;
  header_.visited = now;
  const uint32_t check = live_check(&header_);
  std::memcpy(header_.check, &check, sizeof check);
  put(&header_, sizeof header_, 0);
}

}  // namespace tapline
