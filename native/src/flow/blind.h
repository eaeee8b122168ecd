// When this sensor itself did not see everything: its ring was full, or the interface was not watched. A gap that
// overlaps such a time is suspect: it is not the network's until proved.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

namespace tapline {

class BlindTimes {
 public:
  /// Intervals come in order of time; near ones are merged.
  void add(int64_t since, int64_t until) noexcept {
    total_++;
    if (count_ > 0 && since <= at(count_ - 1).until + kMerge) {
      at(count_ - 1).until = std::max(at(count_ - 1).until, until);
      return;
    }
    if (count_ == kKept) {
      forgotten_until_ = at(0).until;
      first_++;
      count_--;
    }
    at(count_++) = {since, until};
  }

  /// Whether any of (after, until] was blind. What was forgotten counts as if all before it had been.
  bool overlaps(int64_t after, int64_t until) const noexcept {
    if (after < forgotten_until_) return true;
    for (unsigned i = count_; i-- > 0;) {
      if (at(i).until <= after) return false;
      if (at(i).since <= until) return true;
    }
    return false;
  }

  uint64_t total() const noexcept { return total_; }

 private:
  static constexpr unsigned kKept = 64;
  static constexpr int64_t kMerge = 1'000'000;
  struct Interval {
    int64_t since, until;
  };
  Interval& at(unsigned i) noexcept { return kept_[(first_ + i) % kKept]; }
  const Interval& at(unsigned i) const noexcept { return kept_[(first_ + i) % kKept]; }

  std::array<Interval, kKept> kept_{};
  unsigned first_ = 0, count_ = 0;
  int64_t forgotten_until_ = std::numeric_limits<int64_t>::min();
  uint64_t total_ = 0;
};

}  // namespace tapline
