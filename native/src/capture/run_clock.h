// The time of one run. Enters: readings of the wall clock and of the one that nobody sets, and the wall times on
// frames. Leaves: a time that begins as the wall's and then only passes: whoever sets the wall clock neither freezes
// what waits nor ages it.
#pragma once
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>

namespace tapline {

class RunClock {
 public:
  struct Reading {
    int64_t wall;
    int64_t steady;
    int64_t apart = 0;  ///< the two were read within this time
  };
  /// A smaller change of the wall clock stays in the stamps: adjtime's slewing moves both clocks, only a step one.
  static constexpr int64_t kStep = 1'000'000;

  static Reading read() noexcept {
    Reading out{0, 0, 0};
    for (int tries = 0; tries < 3; tries++) {
      const int64_t before = steady_ns();
      timespec t;
      clock_gettime(CLOCK_REALTIME, &t);
      out = {ns(t), steady_ns(), 0};
      out.apart = out.steady - before;
      if (out.apart < kStep / 10) break;
    }
    return out;
  }
  static int64_t steady_ns() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ns(t);
  }

  explicit RunClock(const Reading& start) : start_(start.wall - start.steady), offset_(start_) {}

  /// The run's time at a reading. From any thread; one that is older than a step another thread saw changes nothing.
  int64_t now(const Reading& reading) noexcept {
    const int64_t offset = reading.wall - reading.steady;
    if (std::llabs(offset - offset_.load(std::memory_order_relaxed)) > kStep + reading.apart) step(offset, reading);
    return reading.steady + start_;
  }
  int64_t now() noexcept { return now(read()); }

  /// The run's time of a frame that was stamped by the wall clock before `now` and comes after `floor`. A stamp of
  /// before a step stays within these two.
  int64_t of(int64_t stamp, int64_t floor, int64_t now) const noexcept {
    const int64_t time = stamp - offset_.load(std::memory_order_relaxed) + start_;
    return std::max(floor, std::min(time, now + kStep));
  }

  struct Steps {
    uint64_t count = 0;
    int64_t sum_ns = 0;  ///< forth positive, back negative
  };
  Steps steps() noexcept {
    const std::lock_guard lock(mutex_);
    return steps_;
  }

 private:
  static int64_t ns(const timespec& t) noexcept { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }
  void step(int64_t offset, const Reading& reading) noexcept {
    const std::lock_guard lock(mutex_);
    if (reading.steady < stepped_at_) return;
    const int64_t by = offset - offset_.load(std::memory_order_relaxed);
    if (std::llabs(by) <= kStep + reading.apart) return;  // another thread was first
    offset_.store(offset, std::memory_order_relaxed);
    stepped_at_ = reading.steady;
    steps_.count++;
    steps_.sum_ns += by;
  }

  const int64_t start_;          ///< wall minus steady when the run began
  std::atomic<int64_t> offset_;  ///< wall minus steady now
  std::mutex mutex_;
  Steps steps_;
  int64_t stepped_at_ = 0;  ///< steady
};

}  // namespace tapline
