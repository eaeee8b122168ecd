// Where finished records wait to be taken: bounded in memory, then in a file, so an engine that outruns its reader
// waits in the end, and the waiting is measured.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "flow/spool.h"
#include "generated/records.h"

namespace tapline {

/// Live figures of a running engine; cheap to ask for.
struct EngineProgress {
  uint64_t bytes_read = 0, bytes_total = 0, packets = 0, flows = 0, lost = 0;
};

class Outbox {
 public:
  /// `limit`: batches; they may be small. `bytes`: of all of them.
  explicit Outbox(size_t limit, size_t bytes = SIZE_MAX) : limit_(limit), bytes_limit_(bytes) {}

  /// From now on what has no room in memory goes into a file in this file's folder, until that is full, too.
  void spill_beside(const std::string& file) {
    const std::lock_guard lock(mutex_);
    spool_.beside(file);
    room_.notify_all();
  }

  /// Waits while the box is full, unless the reader has gone. Returns the batch's number, from 1.
  uint64_t put(ResultBatch&& batch) {
    std::unique_lock lock(mutex_);
    while (!abandoned_ && !push(batch)) {
      const auto from = std::chrono::steady_clock::now();
      room_.wait(lock, [this] { return !full() || abandoned_; });
      waited_ns_ += (std::chrono::steady_clock::now() - from).count();
    }
    return ++put_;
  }

  /// For a thread that may not wait: false when the box is full.
  bool offer(ResultBatch&& batch) {
    const std::lock_guard lock(mutex_);
    if (abandoned_) return true;
    if (!push(batch)) return false;
    put_++;
    return true;
  }

  /// Batches so far.
  uint64_t given() {
    const std::lock_guard lock(mutex_);
    return put_;
  }

  /// The reader's word that the first `count` batches are where a crash does not reach them.
  void store(uint64_t count) noexcept { stored_.store(count, std::memory_order_relaxed); }
  uint64_t stored() const noexcept { return stored_.load(std::memory_order_relaxed); }

  bool take(ResultBatch& out) {
    std::lock_guard lock(mutex_);
    if (!asked_) room_.notify_all();
    asked_ = true;
    if (batches_.empty()) {
      if (!spool_.take(out)) {
        spool_.clear();  // if the disk was full, perhaps it is not now
        return false;
      }
    } else {
      out = std::move(batches_.front());
      bytes_ -= out.records.size();
      batches_.pop_front();
    }
    room_.notify_all();
    return true;
  }

  /// Until somebody has asked for results once, ready or not: what is paced in time should not start while its reader
  /// is starting, too.
  void wait_for_reader() {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return asked_ || abandoned_; });
  }

  /// Nobody will take any more: let the engine end.
  void abandon() {
    std::lock_guard lock(mutex_);
    abandoned_ = true;
    batches_.clear();
    spool_.clear();
    bytes_ = 0;
    room_.notify_all();
  }

  int64_t waited_ns() {
    std::lock_guard lock(mutex_);
    return waited_ns_;
  }

  struct Spilled {
    uint64_t bytes = 0;   ///< that went through the file
    uint64_t unread = 0;  ///< batches that it did not give back
  };
  Spilled spilled() {
    const std::lock_guard lock(mutex_);
    return {spool_.spilled(), spool_.unread()};
  }

 private:
  static constexpr size_t kSpoolBytes = size_t{256} << 20;

  bool no_memory() const noexcept { return batches_.size() >= limit_ || bytes_ >= bytes_limit_; }
  /// What is in the file is younger than what is in memory: nothing is put into memory past it.
  bool full() const noexcept { return (no_memory() || !spool_.empty()) && !spool_.room(); }
  bool push(ResultBatch& batch) {
    if (full()) return false;
    if (no_memory() || !spool_.empty()) return spool_.put(batch);
    bytes_ += batch.records.size();
    batches_.push_back(std::move(batch));
    return true;
  }

  const size_t limit_;
  const size_t bytes_limit_;
  size_t bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<ResultBatch> batches_;
  bool abandoned_ = false;
  bool asked_ = false;
  uint64_t put_ = 0;
  std::atomic<uint64_t> stored_{0};
  int64_t waited_ns_ = 0;
  Spool spool_{kSpoolBytes};
};

/// Gathers records of one kind into batches for the outbox. One per thread and kind.
template <typename RecordType>
class Gather {
 public:
  Gather(ResultKind kind, Outbox& outbox) : kind_(kind), outbox_(outbox) {}

  RecordType& add() {
    if (used_ == kPerBatch) flush();
    if (batch_.empty()) batch_.resize(kPerBatch * sizeof(RecordType));
    return reinterpret_cast<RecordType*>(batch_.data())[used_++];
  }

  void flush() {
    if (used_ == 0) return;
    batch_.resize(used_ * sizeof(RecordType));
    const uint64_t number = outbox_.put(ResultBatch{kind_, std::move(batch_)});
    batch_ = {};
    used_ = 0;
    flushed_++;
    if (tracked_) unsettled_.push_back(number);
  }

  /// From now on settled() tells which of this one's batches are stored.
  void track() { tracked_ = true; }
  /// The batch of the record added last, counted among this one's own.
  uint64_t batch() const noexcept { return flushed_ + 1; }
  /// How many of its own batches are stored.
  uint64_t settled() {
    while (!unsettled_.empty() && unsettled_.front() <= outbox_.stored()) unsettled_.pop_front();
    return flushed_ - unsettled_.size();
  }

 private:
  static constexpr size_t kPerBatch = 2048;
  const ResultKind kind_;
  Outbox& outbox_;
  std::vector<uint8_t> batch_;
  size_t used_ = 0;
  bool tracked_ = false;
  uint64_t flushed_ = 0;
  std::deque<uint64_t> unsettled_;  ///< numbers in the outbox of batches that are not stored yet
};

}  // namespace tapline
