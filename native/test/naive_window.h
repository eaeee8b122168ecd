// The sequence rules of docs/semantics.md written down a second time, number by number and with nothing clever, to
// judge the window by. Enters: numbers and clocks of one flow. Leaves: its counters, and its gaps once it has ended.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

struct NaiveGap {
  int64_t first, last, noticed, confirmed;
  bool jump;
  auto key() const { return std::tuple(first, last, noticed, confirmed, jump); }
  bool operator<(const NaiveGap& other) const { return key() < other.key(); }
  bool operator==(const NaiveGap& other) const { return key() == other.key(); }
};

class NaiveWindow {
 public:
  int64_t hi = 0, base = 0;
  uint64_t unique = 0, reordered = 0, duplicate = 0, late = 0, lost = 0, outliers = 0, jumps = 0, restarts = 0;
  std::vector<NaiveGap> gaps;

  explicit NaiveWindow(int64_t settle) : settle_(settle) {}

  uint64_t pending() const { return pending_.size(); }
  uint64_t expected() const { return expected_before_ + static_cast<uint64_t>(hi - base + 1); }
  std::optional<int64_t> held() const { return hold_ ? std::optional(hold_->number) : std::nullopt; }

  void first(uint32_t number) {
    base = hi = number;
    seen_.insert(number);
    unique++;
  }
  void resume(int64_t old_hi) {
    hi = old_hi;
    base = old_hi + 1;
    base_fixed_ = true;
  }

  bool valid(uint32_t number) const {
    const int64_t d = distance(number);
    return number != 0 || (hi + d > 0 && -1023 <= d && d <= 3000);
  }

  /// A valid number at clock `t`.
  void arrive(uint32_t number, int64_t t) {
    settle(t);
    if (hold_ && hold_->jump) {
      const int64_t h = hold_->number, v = hi + distance(number);
      if (h > hi && h < v && v <= h + 64) {
        if (h > hi + 1) gaps.push_back({hi + 1, h - 1, hold_->since, t, true});
        jump_lost_.push_back({hi + 1, h - 1});
        lost += static_cast<uint64_t>(h - hi - 1);
        jumps++;
        hold_.reset();
        see(hi = h);
        leave_window(t);
      }
    } else if (hold_ && may_restart(number)) {
      const int64_t h = hold_->number, n = number, apart = std::abs(n - h);
      if (1 <= apart && apart <= 64) return restart(h, n, t);
    }
    place(number, t);
  }

  void finish(int64_t end) {
    drop_hold();
    end_segment(end);
  }

 private:
  struct Hold {
    int64_t number, since;
    bool jump, ahead;
  };
  struct Lost {
    int64_t noticed, confirmed;
  };

  int64_t distance(uint32_t number) const { return static_cast<int32_t>(number - static_cast<uint32_t>(hi)); }
  bool may_restart(uint32_t number) const {
    return number < 3000 && std::abs(distance(number)) > 3000 && (int64_t{1} << 32) - (hi % (int64_t{1} << 32)) > 3000;
  }
  bool is_lost(int64_t v) const {
    if (lost_.count(v)) return true;
    for (const auto& [from, to] : jump_lost_) {
      if (from <= v && v <= to) return true;
    }
    return false;
  }
  void see(int64_t v) {
    seen_.insert(v);
    unique++;
  }
  void lose(int64_t v, int64_t noticed, int64_t confirmed) {
    lost_[v] = {noticed, confirmed};
    lost++;
  }

  void place(uint32_t number, int64_t t) {
    const int64_t d = distance(number), v = hi + d, low = hi - 1023;
    if (v < 0) {
      late++;
    } else if (-3000 <= d && d <= 3000) {
      if (d > 0) {
        for (int64_t n = hi + 1; n < v; n++) pending_[n] = t;
        see(hi = v);
        leave_window(t);
      } else if (v < low) {
        late++;
      } else if (v >= base) {
        if (pending_.erase(v)) {
          see(v);
          reordered++;
        } else if (is_lost(v)) {
          late++;
        } else if (seen_.count(v)) {
          duplicate++;
        } else {
          std::abort();  // a number that is nothing at all
        }
      } else if (base_fixed_) {
        late++;
      } else {
        for (int64_t n = v + 1; n < base; n++) pending_[n] = t;
        see(base = v);
        reordered++;
      }
    } else if (may_restart(number)) {
      drop_hold();
      hold_ = Hold{number, t, false, d > 0};
    } else if (d > 3000) {
      drop_hold();
      hold_ = Hold{v, t, true, true};
    } else {
      late++;
    }
  }

  void restart(int64_t h, int64_t n, int64_t t) {
    hold_.reset();
    end_segment(t);
    expected_before_ = expected();
    restarts++;
    base = std::min(h, n);
    hi = std::max(h, n);
    base_fixed_ = false;
    see(h);
    see(n);
    if (n < h) reordered++;
    for (int64_t between = base + 1; between < hi; between++) pending_[between] = t;
  }

  void settle(int64_t t) {
    for (auto it = pending_.begin(); it != pending_.end();) {
      if (t - it->second < settle_) {
        ++it;
        continue;
      }
      lose(it->first, it->second, it->second + settle_);
      it = pending_.erase(it);
    }
    if (hold_ && t - hold_->since >= settle_) drop_hold();
  }

  void leave_window(int64_t t) {
    while (!pending_.empty() && pending_.begin()->first < hi - 1023) {
      lose(pending_.begin()->first, pending_.begin()->second, t);
      pending_.erase(pending_.begin());
    }
  }

  void drop_hold() {
    if (hold_) (hold_->ahead ? outliers : late)++;
    hold_.reset();
  }

  void end_segment(int64_t end) {
    for (const auto& [v, noticed] : pending_) lose(v, noticed, std::min(noticed + settle_, end));
    pending_.clear();
    std::optional<NaiveGap> gap;
    for (const auto& [v, when] : lost_) {
      if (gap && gap->last + 1 != v) {
        gaps.push_back(*gap);
        gap.reset();
      }
      if (!gap) gap = NaiveGap{v, v, when.noticed, when.confirmed, false};
      gap->last = v;
      gap->confirmed = std::max(gap->confirmed, when.confirmed);
    }
    if (gap) gaps.push_back(*gap);
    lost_.clear();
    jump_lost_.clear();
    seen_.clear();
  }

  const int64_t settle_;
  uint64_t expected_before_ = 0;
  bool base_fixed_ = false;
  std::optional<Hold> hold_;
  std::map<int64_t, int64_t> pending_;  ///< number → noticed
  std::map<int64_t, Lost> lost_;
  std::vector<std::pair<int64_t, int64_t>> jump_lost_;  ///< too many to write down one by one
  std::set<int64_t> seen_;
};
