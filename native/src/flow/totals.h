// Sums over all flows of one protocol, ended and alive: kept while packets come, so that they can be told at any
// moment.
#pragma once
#include <cstdint>

#include "flow/window.h"

namespace tapline {

struct Totals {
  uint64_t flows = 0;
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t expected = 0;
  uint64_t unique = 0;
  uint64_t reordered = 0;
  uint64_t duplicate = 0;
  uint64_t late = 0;
  uint64_t lost = 0;
  uint64_t gaps = 0;
  uint64_t jumps = 0;
  uint64_t outliers = 0;
  uint64_t restarts = 0;

  uint64_t pending() const noexcept { return expected - unique - lost; }

  Totals& operator+=(const Totals& other) noexcept {
    flows += other.flows;
    packets += other.packets;
    bytes += other.bytes;
    expected += other.expected;
    unique += other.unique;
    reordered += other.reordered;
    duplicate += other.duplicate;
    late += other.late;
    lost += other.lost;
    gaps += other.gaps;
    jumps += other.jumps;
    outliers += other.outliers;
    restarts += other.restarts;
    return *this;
  }

  /// What a flow's sequence contributes, added (or, with -1, taken back). Unsigned sums wrap to the right result.
  void count(const Window& window, const Sequence& s, int64_t hi, uint64_t times) noexcept {
    const Rarely& rarely = window.rarely(s);
    expected += times * window.expected(s, hi);
    unique -= times * window.not_unique(s);
    reordered += times * rarely.reordered;
    duplicate += times * rarely.duplicate;
    late += times * rarely.late;
    lost += times * s.lost;
    gaps += times * s.gaps;
    jumps += times * rarely.jumps;
    outliers += times * rarely.outliers;
    restarts += times * rarely.restarts;
  }
};

}  // namespace tapline
