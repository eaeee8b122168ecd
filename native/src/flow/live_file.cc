#include "flow/live_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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

std::string LiveFile::path(const LiveFlows& flows, unsigned number) {
  return flows.database + "-live-" + std::to_string(flows.run) + "-" + std::to_string(number);
}

LiveFile::LiveFile(const LiveFlows& flows, unsigned number)
    : path_(path(flows, number)), batches_(new Batch[kBatches]) {
  std::memcpy(header_.magic, kLiveMagic, sizeof header_.magic);
  header_.version = kLiveVersion;
  header_.slot_size = sizeof(LiveSlot);
  header_.run = flows.run;
  header_.started = flows.started;
  header_.member = number;
  header_.process = getpid();
  for (unsigned i = 0; i < kBatches; i++) free_.push_back(&batches_[i]);
  waiting_.reserve(kBatches);
  done_.reserve(kBatches);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "capture-live");
    work();
  });
}

LiveFile::~LiveFile() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (fd_ >= 0) close(fd_);
}

LiveFile::Batch* LiveFile::take() noexcept {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return nullptr;
  Batch* batch = free_.back();
  free_.pop_back();
  batch->count = batch->used = 0;
  return batch;
}

void LiveFile::submit(Batch* batch) noexcept {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(batch);
  }
  changed_.notify_all();
}

LiveFile::Batch* LiveFile::done() noexcept {
  const std::lock_guard lock(mutex_);
  if (done_.empty()) return nullptr;
  Batch* batch = done_.front();
  done_.erase(done_.begin());
  return batch;
}

void LiveFile::give_back(Batch* batch) noexcept {
  const std::lock_guard lock(mutex_);
  free_.push_back(batch);
}

void LiveFile::wait() noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !busy_; });
}

uint64_t LiveFile::errors() const noexcept {
  const std::lock_guard lock(mutex_);
  return errors_;
}

void LiveFile::work() noexcept {
  // The thread that made this one may be bound to the CPU of its NIC, where this one would be in its way.
  cpu_set_t process;
  if (sched_getaffinity(getpid(), sizeof process, &process) == 0) sched_setaffinity(0, sizeof process, &process);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Batch* batch = waiting_.front();
    waiting_.erase(waiting_.begin());
    busy_ = true;
    lock.unlock();
    batch->written = write(*batch);
    lock.lock();
    errors_ += !batch->written;
    busy_ = false;
    done_.push_back(batch);
    changed_.notify_all();
  }
}

bool LiveFile::write(Batch& batch) noexcept {
  for (uint32_t i = 0; i < batch.count; i++) {
    LiveSlot& slot = batch.slots[i];
    if (slot.flow.packet == 0) {
      std::memset(static_cast<void*>(&slot), 0, sizeof slot);
      continue;
    }
    slot.mark = LiveMark{};
    slot.mark.visited = batch.now;
    const uint32_t check = live_check(&slot);
    std::memcpy(slot.mark.check, &check, sizeof check);
  }
  const size_t at = kLivePage + size_t{batch.first} * sizeof(LiveSlot);
  if (batch.count > 0 && !put(batch.slots, batch.count * sizeof(LiveSlot), at)) return false;
  if (batch.used == 0) return true;
  header_.slots = batch.used;  // after the slots it tells of
  header_.visited = batch.now;
  const uint32_t check = live_check(&header_);
  std::memcpy(header_.check, &check, sizeof check);
  return put(&header_, sizeof header_, 0);
}

/// The file is made when there is something to write, and tried for again when it could not be: a full disk or a
/// missing folder must not keep a capture from starting.
bool LiveFile::put(const void* bytes, size_t size, size_t at) noexcept {
  if (fd_ < 0) fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  return fd_ >= 0 && pwrite(fd_, bytes, size, static_cast<off_t>(at)) == static_cast<ssize_t>(size);
}

}  // namespace tapline
