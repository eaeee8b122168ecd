#include "flow/window.h"

#include <algorithm>
#include <cstring>

namespace tapline {

namespace {
constexpr int64_t kRange = int64_t{1} << 32;
}  // namespace

/// First run that does not end before `v`. Arrivals are mostly near the top, but the list is short either way.
unsigned Window::find(const Sequence& s, int64_t v) noexcept {
  const Run* begin = runs(s);
  const Run* end = begin + s.run_count;
  return static_cast<unsigned>(std::lower_bound(begin, end, v, [](const Run& r, int64_t n) { return r.last() < n; }) -
                               begin);
}

uint64_t Window::pending(const Sequence& s) const noexcept {
  const Run* all = memory_.runs.at(s.runs);
  uint64_t sum = 0;
  for (unsigned i = 0; i < s.run_count; i++) sum += all[i].length - all[i].lost;
  return sum;
}

void Window::begin(Sequence& s, int64_t base, bool fixed) noexcept {
  s = Sequence{};
  s.base = base;
  s.base_fixed = fixed;
  s.oldest = Sequence::kNever;
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
    rare(s).late++;
  } else if (d >= -kFar && d <= kFar) {
    near(s, hi, v, now, sink);
  } else if (number < kFar && kRange - (hi & (kRange - 1)) > kFar) {
    hold(s, d > 0 ? Sequence::Hold::kRestartAhead : Sequence::Hold::kRestartBehind, number, now);
  } else if (d > kFar) {
    hold(s, Sequence::Hold::kJump, v, now);
  } else {
    rare(s).late++;
  }
}

/// Whether `number` confirms the held one and is itself dealt with. A confirmed jump moves `hi` and leaves the number
/// to the caller.
bool Window::confirmed(Sequence& s, int64_t& hi, uint32_t number, int64_t now, GapSink& sink) noexcept {
  const int64_t d = static_cast<int32_t>(number - static_cast<uint32_t>(hi));
  const int64_t v = hi + d;
  const int64_t held = rarely(s).held;
  if (s.hold == Sequence::Hold::kJump) {
    if (held <= hi || v <= held || v > held + kNear) return false;
    Run gap = missing(hi + 1, held - hi - 1, rarely(s).held_since);
    gap.lost = gap.length;
    gap.suspect |= s.held_blind;
    s.hold = Sequence::Hold::kNone;
    rare(s).jumps++;
    s.lost += gap.length;
    hi = held;
    lose_below(s, hi - kWindow + 1, now, sink);
    if (gap.length > 0) {  // empty when numbers in order came up to the held one
      report(s, gap, now, true, sink);
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
  Rarely& counts = rare(s);
  if (counts.restarts++ == 0) counts.first_number = s.base;
  counts.expected_before += static_cast<uint64_t>(hi - s.base + 1);
  s.base = std::min(n, held);
  s.base_fixed = false;
  hi = std::max(n, held);
  if (n < held) counts.reordered++;
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
    rare(s).late++;
  } else if (v >= s.base) {
    const unsigned at = find(s, v);
    const Run* run = runs(s) + at;
    if (at == s.run_count || v < run->first) {
      rare(s).duplicate++;
    } else if (v < run->first + run->lost) {
      rare(s).late++;
    } else {
      rare(s).reordered++;
      see(s, at, v, now, sink);
    }
  } else if (s.base_fixed) {
    rare(s).late++;
  } else {
    if (v + 1 < s.base) miss(s, 0, missing(v + 1, s.base - v - 1, now), now, sink);
    s.base = v;
    rare(s).reordered++;
  }
}

Rarely& Window::rare(Sequence& s) noexcept {
  if (s.more == memory_.rarely.kNone) {
    s.more = memory_.rarely.take();
    *memory_.rarely.at(s.more) = Rarely{};
  }
  return *memory_.rarely.at(s.more);
}

void Window::hold(Sequence& s, Sequence::Hold kind, int64_t number, int64_t now) noexcept {
  release(s);
  s.hold = kind;
  rare(s).held = number;
  rare(s).held_since = now;
  s.held_blind = blind_;
}

void Window::release(Sequence& s) noexcept {
  if (s.hold == Sequence::Hold::kRestartBehind) rare(s).late++;
  if (s.hold == Sequence::Hold::kRestartAhead || s.hold == Sequence::Hold::kJump) rare(s).outliers++;
  s.hold = Sequence::Hold::kNone;
}

void Window::settle(Sequence& s, int64_t now, GapSink& sink) noexcept {
  if (s.hold != Sequence::Hold::kNone && now - rarely(s).held_since >= settle_) release(s);
  if (!s.settles(now, settle_)) return;
  s.oldest = Sequence::kNever;
  for (unsigned i = 0; i < s.run_count; i++) {
    Run& run = runs(s)[i];
    if (!run.pending()) continue;
    if (now - run.noticed >= settle_) {
      lose(s, run, run.length, run.noticed + settle_, sink);
    } else {
      s.pending_since(run.noticed);
    }
  }
}

/// The window's lower edge moved up: what it left unseen is lost.
void Window::lose_below(Sequence& s, int64_t low, int64_t now, GapSink& sink) noexcept {
  Run* all = runs(s);
  unsigned gone = 0;
  for (; gone < s.run_count && all[gone].first < low; gone++) {
    Run& run = all[gone];
    const int64_t upto = std::min<int64_t>(low - run.first, run.length);
    if (upto > run.lost) lose(s, run, static_cast<uint32_t>(upto), now, sink);
    if (run.last() >= low) break;
  }
  if (gone == 0) return;
  s.run_count -= gone;
  std::memmove(all, all + gone, s.run_count * sizeof(Run));
}

void Window::lose(Sequence& s, Run& run, uint32_t upto, int64_t confirmed, GapSink& sink) noexcept {
  s.lost += upto - run.lost;
  run.lost = upto;
  if (run.pending()) {
    rare(s).partly_lost = confirmed;
  } else {
    report(s, run, confirmed, false, sink);
  }
}

void Window::report(Sequence& s, const Run& run, int64_t confirmed, bool jump, GapSink& sink) noexcept {
  s.min_gap = s.gaps == 0 ? run.length : std::min(s.min_gap, run.length);
  s.max_gap = std::max(s.max_gap, run.length);
  s.gaps++;
  sink.gap(Gap{run.first, run.last(), run.noticed, confirmed, rarely(s).restarts, jump, run.suspect != 0});
}

/// A pending number came after all: its run loses it, or falls into two.
void Window::see(Sequence& s, unsigned at, int64_t v, int64_t now, GapSink& sink) noexcept {
  Run& run = runs(s)[at];
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
  // The part already lost is now a gap of its own.
  if (!run.pending()) report(s, run, rarely(s).partly_lost, false, sink);
  if (right > 0) miss(s, at + 1, Run{v + 1, right, 0, whole.suspect, whole.noticed}, now, sink);
}

void Window::miss(Sequence& s, unsigned at, const Run& run, int64_t now, GapSink& sink) noexcept {
  if (s.run_count == (s.runs ? memory_.runs.capacity(s.run_class) : 0) && !make_room(s)) {
    // The pool is full. Give up the oldest run's place: its numbers are lost now rather than later.
    Run victim = run;
    if (s.run_count > 0 && at > 0) {
      Run* all = runs(s);
      victim = all[0];
      std::memmove(all, all + 1, (at - 1) * sizeof(Run));
      all[at - 1] = run;
      if (run.pending()) s.pending_since(run.noticed);
    }
    if (victim.pending()) {
      settled_early_ += victim.length - victim.lost;
      lose(s, victim, victim.length, now, sink);
    }
    return;
  }
  Run* all = runs(s);
  std::memmove(all + at + 1, all + at, (s.run_count - at) * sizeof(Run));
  all[at] = run;
  s.run_count++;
  if (run.pending()) s.pending_since(run.noticed);
}

bool Window::make_room(Sequence& s) noexcept {
  Pool<Run>& pool = memory_.runs;
  const unsigned wanted = s.runs ? s.run_class + 1u : 0;
  if (wanted >= pool.kClasses) return false;
  const uint32_t bigger = pool.take(wanted);
  if (bigger == pool.kNone) return false;
  if (s.runs) {
    std::memcpy(pool.at(bigger), runs(s), s.run_count * sizeof(Run));
    pool.give(s.runs, s.run_class);
  }
  s.runs = bigger;
  s.run_class = wanted;
  return true;
}

void Window::drop(Sequence& s, unsigned at) noexcept {
  Run* all = runs(s);
  s.run_count--;
  std::memmove(all + at, all + at + 1, (s.run_count - at) * sizeof(Run));
}

void Window::end_segment(Sequence& s, int64_t end, GapSink& sink) noexcept {
  for (unsigned i = 0; i < s.run_count; i++) {
    Run& run = runs(s)[i];
    if (!run.pending()) continue;
    lose(s, run, run.length, end - run.noticed < settle_ ? end : run.noticed + settle_, sink);
  }
  s.run_count = 0;
  s.oldest = Sequence::kNever;
}

void Window::finish(Sequence& s, int64_t end, GapSink& sink) noexcept {
  if (s.hold != Sequence::Hold::kNone) release(s);
  end_segment(s, end, sink);
  if (s.runs) memory_.runs.give(s.runs, s.run_class);
  s.runs = memory_.runs.kNone;
}

void Window::forget(Sequence& s) noexcept {
  if (s.more) memory_.rarely.give(s.more);
  s.more = memory_.rarely.kNone;
}

}  // namespace tapline
