#include "flow/window.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

namespace tapline {

namespace {
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kRange = int64_t{1} << 32;
constexpr unsigned kRarelyClass = 1;
static_assert(RunPool::capacity(kRarelyClass) * sizeof(Run) == sizeof(Rarely));

/// First run that does not end before `v`. Arrivals are mostly near the top, but the list is short either way.
unsigned find(const Sequence& s, int64_t v) noexcept {
  Run* end = s.runs + s.run_count;
  return static_cast<unsigned>(std::lower_bound(s.runs, end, v, [](const Run& r, int64_t n) { return r.last() < n; }) -
                               s.runs);
}
}  // namespace

uint64_t Sequence::pending() const noexcept {
  uint64_t sum = 0;
  for (unsigned i = 0; i < run_count; i++) sum += runs[i].length - runs[i].lost;
  return sum;
}

void Window::begin(Sequence& s, int64_t base, bool fixed) noexcept {
  s = Sequence{};
  s.base = base;
  s.base_fixed = fixed;
  s.oldest_noticed = kNever;
}

bool Window::valid(int64_t hi, uint32_t number) noexcept {
  if (number != 0) return true;
  const int64_t d = static_cast<int32_t>(number - static_cast<uint32_t>(hi));
  return hi + d > 0 && d > -kWindow && d <= kFar;
}

void Window::arrive(Sequence& s, int64_t& hi, uint32_t number, int64_t now, GapSink& sink, bool blind) noexcept {
  blind_ = blind;
  settle(s, now, sink);
  if (s.hold != Sequence::Hold::kNone && confirmed(s, hi, number, now, sink)) return;

  const int64_t d = static_cast<int32_t>(number - static_cast<uint32_t>(hi));
  const int64_t v = hi + d;
  if (v < 0) {
    rarely(s).late++;
  } else if (d >= -kFar && d <= kFar) {
    near(s, hi, v, now, sink);
  } else if (number < kFar && kRange - (hi & (kRange - 1)) > kFar) {
    hold(s, d > 0 ? Sequence::Hold::kRestartAhead : Sequence::Hold::kRestartBehind, number, now);
  } else if (d > kFar) {
    hold(s, Sequence::Hold::kJump, v, now);
  } else {
    rarely(s).late++;
  }
}

/// Whether `number` confirms the held one and is itself dealt with. A confirmed jump moves `hi` and leaves the number
/// to the caller.
bool Window::confirmed(Sequence& s, int64_t& hi, uint32_t number, int64_t now, GapSink& sink) noexcept {
  const int64_t d = static_cast<int32_t>(number - static_cast<uint32_t>(hi));
  const int64_t v = hi + d;
  const int64_t held = s.rarely().held;
  if (s.hold == Sequence::Hold::kJump) {
    if (held <= hi || v <= held || v > held + kNear) return false;
    Run gap = missing(hi + 1, held - hi - 1, s.rarely().held_since);
    gap.lost = gap.length;
    gap.suspect |= s.held_blind;
    gap.confirmed = now;
    s.hold = Sequence::Hold::kNone;
    rarely(s).jumps++;
    s.lost += gap.length;
    hi = held;
    lose_below(s, hi - kWindow + 1, now, sink);
    if (gap.length > 0) {  // empty when numbers in order came up to the held one
      report(s, gap, true, sink);
      miss(s, s.run_count, gap, now, sink);  // its top lies in the window: a straggler of it is late, not a duplicate
    }
    return false;
  }
  const int64_t n = number;
  const int64_t apart = n > held ? n - held : held - n;
  const bool far = d > kFar || d < -kFar;
  if (!far || n >= kFar || apart < 1 || apart > kNear || kRange - (hi & (kRange - 1)) <= kFar) return false;
  s.hold = Sequence::Hold::kNone;
  end_segment(s, now, sink);
  Rarely& rare = rarely(s);
  if (s.restarts++ == 0) rare.first_number = s.base;
  rare.expected_before += static_cast<uint64_t>(hi - s.base + 1);
  s.base = std::min(n, held);
  s.base_fixed = false;
  hi = std::max(n, held);
  if (n < held) rare.reordered++;
  if (apart > 1) miss(s, 0, missing(s.base + 1, apart - 1, now), now, sink);
  return true;
}

void Window::near(Sequence& s, int64_t& hi, int64_t v, int64_t now, GapSink& sink) noexcept {
  if (v > hi) {
    const int64_t before = hi;
    hi = v;
    lose_below(s, hi - kWindow + 1, now, sink);
    if (v > before + 1) {
      miss(s, s.run_count, missing(before + 1, v - before - 1, now), now, sink);
      lose_below(s, hi - kWindow + 1, now, sink);
    }
    return;
  }
  if (v <= hi - kWindow) {
    rarely(s).late++;
  } else if (v >= s.base) {
    const unsigned at = find(s, v);
    if (at == s.run_count || v < s.runs[at].first) {
      rarely(s).duplicate++;
    } else if (v < s.runs[at].first + s.runs[at].lost) {
      rarely(s).late++;
    } else {
      rarely(s).reordered++;
      see(s, at, v, now, sink);
    }
  } else if (s.base_fixed) {
    rarely(s).late++;
  } else {
    if (v + 1 < s.base) miss(s, 0, missing(v + 1, s.base - v - 1, now), now, sink);
    s.base = v;
    rarely(s).reordered++;
  }
}

Rarely& Window::rarely(Sequence& s) noexcept {
  if (s.more == nullptr) s.more = new (pool_.take_always(kRarelyClass)) Rarely{};
  return *s.more;
}

void Window::hold(Sequence& s, Sequence::Hold kind, int64_t number, int64_t now) noexcept {
  release(s);
  s.hold = kind;
  rarely(s).held = number;
  rarely(s).held_since = now;
  s.held_blind = blind_;
}

void Window::release(Sequence& s) noexcept {
  if (s.hold == Sequence::Hold::kRestartBehind) rarely(s).late++;
  if (s.hold == Sequence::Hold::kRestartAhead || s.hold == Sequence::Hold::kJump) rarely(s).outliers++;
  s.hold = Sequence::Hold::kNone;
}

void Window::settle(Sequence& s, int64_t now, GapSink& sink) noexcept {
  if (s.hold != Sequence::Hold::kNone && now - s.rarely().held_since >= settle_) release(s);
  if (s.oldest_noticed == kNever || now - s.oldest_noticed < settle_) return;
  s.oldest_noticed = kNever;
  for (unsigned i = 0; i < s.run_count; i++) {
    Run& run = s.runs[i];
    if (!run.pending()) continue;
    if (now - run.noticed >= settle_) {
      lose(s, run, run.length, run.noticed + settle_, sink);
    } else {
      s.oldest_noticed = std::min(s.oldest_noticed, run.noticed);
    }
  }
}

/// The window's lower edge moved up: what it left unseen is lost.
void Window::lose_below(Sequence& s, int64_t low, int64_t now, GapSink& sink) noexcept {
  unsigned gone = 0;
  for (; gone < s.run_count && s.runs[gone].first < low; gone++) {
    Run& run = s.runs[gone];
    const int64_t upto = std::min<int64_t>(low - run.first, run.length);
    if (upto > run.lost) lose(s, run, static_cast<uint32_t>(upto), now, sink);
    if (run.last() >= low) break;
  }
  if (gone == 0) return;
  s.run_count = static_cast<uint16_t>(s.run_count - gone);
  std::memmove(s.runs, s.runs + gone, s.run_count * sizeof(Run));
}

void Window::lose(Sequence& s, Run& run, uint32_t upto, int64_t confirmed, GapSink& sink) noexcept {
  s.lost += upto - run.lost;
  run.lost = upto;
  run.confirmed = confirmed;
  if (!run.pending()) report(s, run, false, sink);
}

void Window::report(Sequence& s, const Run& run, bool jump, GapSink& sink) noexcept {
  s.min_gap = s.gaps == 0 ? run.length : std::min(s.min_gap, run.length);
  s.max_gap = std::max(s.max_gap, run.length);
  s.gaps++;
  sink.gap(Gap{run.first, run.last(), run.noticed, run.confirmed, s.restarts, jump, run.suspect != 0});
}

/// A pending number came after all: its run loses it, or falls into two.
void Window::see(Sequence& s, unsigned at, int64_t v, int64_t now, GapSink& sink) noexcept {
  Run& run = s.runs[at];
  const Run whole = run;
  const auto left = static_cast<uint32_t>(v - whole.first);
  const uint32_t right = whole.length - left - 1;
  if (left == 0) {
    if (right == 0) return drop(s, at);
    run.first++;
    run.length = right;
    return;
  }
  run.length = left;
  if (!run.pending()) report(s, run, false, sink);  // the part already lost is now a gap of its own
  if (right > 0) miss(s, at + 1, Run{v + 1, right, 0, whole.suspect, whole.noticed, 0}, now, sink);
}

void Window::miss(Sequence& s, unsigned at, const Run& run, int64_t now, GapSink& sink) noexcept {
  if (s.run_count == (s.runs ? RunPool::capacity(s.run_class) : 0) && !make_room(s)) {
    // The pool is full. Give up the oldest run's place: its numbers are lost now rather than later.
    Run victim = run;
    if (s.run_count > 0 && at > 0) {
      victim = s.runs[0];
      drop(s, 0);
      std::memmove(s.runs + at, s.runs + at - 1, (s.run_count - at + 1) * sizeof(Run));
      s.runs[at - 1] = run;
      s.run_count++;
      if (run.pending()) s.oldest_noticed = std::min(s.oldest_noticed, run.noticed);
    }
    if (victim.pending()) {
      settled_early_ += victim.length - victim.lost;
      lose(s, victim, victim.length, now, sink);
    }
    return;
  }
  std::memmove(s.runs + at + 1, s.runs + at, (s.run_count - at) * sizeof(Run));
  s.runs[at] = run;
  s.run_count++;
  if (run.pending()) s.oldest_noticed = std::min(s.oldest_noticed, run.noticed);
}

bool Window::make_room(Sequence& s) noexcept {
  const unsigned wanted = s.runs ? s.run_class + 1u : 0;
  if (wanted >= RunPool::kClasses) return false;
  Run* bigger = pool_.take(wanted);
  if (bigger == nullptr) return false;
  if (s.runs) {
    std::memcpy(bigger, s.runs, s.run_count * sizeof(Run));
    pool_.give(s.runs, s.run_class);
  }
  s.runs = bigger;
  s.run_class = static_cast<uint8_t>(wanted);
  return true;
}

void Window::drop(Sequence& s, unsigned at) noexcept {
  s.run_count--;
  std::memmove(s.runs + at, s.runs + at + 1, (s.run_count - at) * sizeof(Run));
}

void Window::end_segment(Sequence& s, int64_t end, GapSink& sink) noexcept {
  for (unsigned i = 0; i < s.run_count; i++) {
    Run& run = s.runs[i];
    if (!run.pending()) continue;
    lose(s, run, run.length, end - run.noticed < settle_ ? end : run.noticed + settle_, sink);
  }
  s.run_count = 0;
  s.oldest_noticed = kNever;
}

void Window::finish(Sequence& s, int64_t end, GapSink& sink) noexcept {
  if (s.hold != Sequence::Hold::kNone) release(s);
  end_segment(s, end, sink);
  if (s.runs) pool_.give(s.runs, s.run_class);
  s.runs = nullptr;
}

void Window::forget(Sequence& s) noexcept {
  if (s.more) pool_.give(s.more, kRarelyClass);
  s.more = nullptr;
}

}  // namespace tapline
