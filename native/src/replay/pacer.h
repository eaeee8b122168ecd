// When a frame is due: the capture's own gaps (divided by `speed`), or a fixed rate. Sleeps, then spins the last
// stretch.
#pragma once
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace tapline {

class Pacer {
 public:
  /// `pps` > 0: a fixed rate. Else the capture's gaps divided by `speed`.
  Pacer(double pps, double speed) : pps_(pps), speed_(speed) {}

  /// Waits for frame `index`, captured at `clock`. False when `stop` was raised meanwhile.
  bool wait(uint64_t index, int64_t clock, const std::atomic<bool>& stop) {
    int64_t now = now_ns();
    if (index == 0) {
      start_ = now;
      first_clock_ = clock;
    }
    const double after =
        pps_ > 0 ? static_cast<double>(index) * 1e9 / pps_ : static_cast<double>(clock - first_clock_) / speed_;
    const int64_t due = start_ + static_cast<int64_t>(std::min(after, kForever));
    while ((now = now_ns()) < due) {
      if (stop.load(std::memory_order_relaxed)) return false;
      if (due - now > kSpin) sleep(std::min(due - now - kSpin, kSlice));
    }
    late(now - due);
    return true;
  }

  int64_t percentile(double p) const {
    uint64_t rest = static_cast<uint64_t>(static_cast<double>(count_) * p);
    for (size_t i = 0; i < kBuckets; i++) {
      if (rest < histogram_[i]) return std::min(static_cast<int64_t>(i + 1) * kStep, max_);
      rest -= histogram_[i];
    }
    return max_;
  }
  int64_t max() const { return max_; }

 private:
  static constexpr double kForever = 4e18;  ///< 127 years: a due time always fits
  static constexpr int64_t kSpin =
      3'000;  ///< longer spinning would use up the time slice, and the CPU be taken at a worse moment
  static constexpr int64_t kSlice = 50'000'000;  ///< how long a stop may wait
  static constexpr int64_t kStep = 1'000;
  static constexpr size_t kBuckets = 10'000;  ///< up to 10 ms; beyond, the maximum speaks

  static int64_t now_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  }
  static void sleep(int64_t ns) {
    const timespec t{ns / 1'000'000'000, ns % 1'000'000'000};
    nanosleep(&t, nullptr);
  }
  void late(int64_t ns) {
    count_++;
    max_ = std::max(max_, ns);
    const auto bucket = static_cast<size_t>(ns / kStep);
    if (bucket < kBuckets) histogram_[bucket]++;
  }

  const double pps_;
  const double speed_;
  int64_t start_ = 0;
  int64_t first_clock_ = 0;
  uint64_t count_ = 0;
  int64_t max_ = 0;
  std::vector<uint64_t> histogram_ = std::vector<uint64_t>(kBuckets);
};

}  // namespace tapline
