// The sequence window of docs/semantics.md for numbers that carry a tag (native/src/relay/hop_header.h). A number is
// its sender's own word: a jump is loss at once, and a restart has an epoch, that is a window, of its own; nothing has
// to be held until a second number confirms it. As RFC 6479 it keeps a bit for each of the last 1,024 numbers and
// shifts nothing. Enters: a number, and a clock that does not go back (ns). Leaves: whether the packet is new; the
// counters. An unseen number is lost when it leaves the window, or 2 to 4 s after it was noticed: one mark for all, not
// a time for each.
#pragma once
#include "both.h"

#define HOP_WINDOW 1024
#define HOP_WORDS (HOP_WINDOW / 64)
#define HOP_SETTLE_NS 2000000000ull
#define HOP_LATENCIES 24

struct hop_window {
  __u64 base;   ///< the lowest number; 64 bits, the upper half begins at 1
  __u64 hi;     ///< the highest; 0: there was none yet
  __u64 floor;  ///< below it every number is seen, lost or before base
  __u64 unique;
  __u64 lost;
  __u64 duplicate;
  __u64 reordered;
  __u64 late;
  __u64 advanced_ns;       ///< when `hi` moved: nothing was noticed missing after it
  __u64 mark_ns, mark_hi;  ///< what was missing below mark_hi was noticed before mark_ns
  __u64 seen[HOP_WORDS];
  __u64 latency[HOP_LATENCIES];  ///< bucket i: less than 2^i µs; the last: all others
};

/// What is between base and hi, unseen and not yet lost.
RELAY_INLINE __u64 hop_window_pending(const struct hop_window* w) {
  return w->hi == 0 ? 0 : w->hi - w->base + 1 - w->unique - w->lost;
}

/// The bits of a run that starts at `from` and lies in one word. `take`: 1 to 64.
RELAY_INLINE __u64 hop_window_mask(__u64 from, __u64 take) { return (~0ull >> (64 - take)) << (from & 63); }

RELAY_INLINE __u64 hop_window_take(__u64 from, __u64 limit) {
  const __u64 word = 64 - (from & 63), rest = limit - from;
  return rest < word ? rest : word;
}

/// Whatever is unseen below `limit` is lost. `limit` is at most hi + 1.
RELAY_INLINE void hop_window_decide(struct hop_window* w, __u64 limit) {
  __u64 n = w->floor;
  for (int i = 0; i <= HOP_WORDS && n < limit; i++) {
    const __u64 take = hop_window_take(n, limit);
    const __u64 unseen = hop_window_mask(n, take) & ~w->seen[(n >> 6) & (HOP_WORDS - 1)];
    w->lost += (__u64)__builtin_popcountll(unseen);
    n += take;
  }
  if (w->floor < limit) w->floor = limit;
}

/// What has been missing for long enough at `now` is lost. Readers do this to a copy: the next number does the same to
/// the window.
RELAY_INLINE void hop_window_settle(struct hop_window* w, __u64 now) {
  if (w->hi == 0 || (__s64)(now - w->mark_ns) < (__s64)HOP_SETTLE_NS) return;
  hop_window_decide(w, ((__s64)(now - w->advanced_ns) >= (__s64)HOP_SETTLE_NS ? w->hi : w->mark_hi) + 1);
  w->mark_ns = now;
  w->mark_hi = w->hi;
}

RELAY_INLINE void hop_window_see(struct hop_window* w, __u64 v) {
  w->seen[(v >> 6) & (HOP_WORDS - 1)] |= 1ull << (v & 63);
  w->unique++;
}

RELAY_INLINE void hop_window_advance(struct hop_window* w, __u64 v) {
  const __u64 low = v - (HOP_WINDOW - 1), above = w->hi + 1;
  if (low > w->floor) hop_window_decide(w, low < above ? low : above);
  if (low > above) {  // Some never were in the window.
    w->lost += low - above;
    w->floor = low;
  }
  __u64 n = low > above ? low : above;
  for (int i = 0; i <= HOP_WORDS && n < v; i++) {
    const __u64 take = hop_window_take(n, v);
    w->seen[(n >> 6) & (HOP_WORDS - 1)] &= ~hop_window_mask(n, take);
    n += take;
  }
  w->hi = v;
}

/// True: the packet is new. False: it is a duplicate, or too late to know.
RELAY_INLINE int hop_window_arrive(struct hop_window* w, __u32 number, __u64 now) {
  if (w->hi == 0) {
    w->base = w->floor = w->hi = w->mark_hi = (1ull << 32) + number;
    w->advanced_ns = w->mark_ns = now;
    hop_window_see(w, w->hi);
    return 1;
  }
  hop_window_settle(w, now);
  const __s32 d = (__s32)(number - (__u32)w->hi);
  const __u64 v = w->hi + (__u64)(__s64)d;
  if (d > 0) {
    hop_window_advance(w, v);
    w->advanced_ns = now;
    hop_window_see(w, v);
    return 1;
  }
  // The first packets may be swapped: base moves down until a number was lost.
  const int early = v < w->base && w->floor == w->base;
  if (v + HOP_WINDOW <= w->hi || (v < w->base && !early)) {
    w->late++;
    return 0;
  }
  if (w->seen[(v >> 6) & (HOP_WORDS - 1)] & 1ull << (v & 63)) {
    w->duplicate++;
    return 0;
  }
  if (early) {
    w->base = w->floor = v;
  } else if (v < w->floor) {
    w->late++;
    return 0;
  }
  hop_window_see(w, v);
  w->reordered++;
  return 1;
}

/// One-way time; clocks that differ may make it negative, which counts as none.
RELAY_INLINE void hop_window_date(struct hop_window* w, __s64 ns) {
  const __u64 us = ns < 0 ? 0 : (__u64)ns / 1000;
  __u32 bucket = 0;  // A loop, for clang 14 cannot count leading zeros for BPF.
  for (__u64 rest = us; rest != 0 && bucket < HOP_LATENCIES - 1; rest >>= 1) bucket++;
  w->latency[bucket]++;
}
