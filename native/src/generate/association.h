// Enters: what the generator does with each number of one association. Leaves: what an observer of docs/semantics.md
// must count. Nothing here imitates the engine's window: the counts follow from knowing what was sent, dropped and
// delivered.
#pragma once
#include <cstdint>

namespace tapline::generation {

/// One run of sequence numbers: a MACsec AN, an ESP or AH SPI; for TCP and UDP the flow itself, its numbers never on
/// the wire.
struct Association {
  uint64_t salt;    ///< sizes and payloads are drawn from it and the number, so that a copy is a true copy
  uint64_t start;   ///< first number sent
  uint64_t next;    ///< next number to send
  uint64_t lowest;  ///< of those delivered
  uint64_t highest;
  uint64_t first_packet;  ///< 0: nothing delivered yet
  uint64_t previous;      ///< first packet of the association before it; 0: none
  uint64_t last_packet;
  uint64_t packets;  ///< copies among them
  uint64_t bytes;
  uint64_t duplicated;
  uint64_t reordered;
  uint64_t gaps;
  uint32_t min_gap;
  uint32_t max_gap;
  uint32_t flow;
  uint32_t spi;
  uint32_t outstanding;  ///< delayed packets and copies still to come
  uint8_t number;        ///< AN
  bool wraps;
  bool taken;    ///< a number was sent and not dropped
  bool rekeyed;  ///< another has taken its place

  uint64_t sent() const noexcept { return next - start; }
  uint64_t unique() const noexcept { return packets - duplicated; }
  uint64_t expected() const noexcept { return packets == 0 ? 0 : highest - lowest + 1; }
  uint64_t lost() const noexcept { return expected() - unique(); }

  /// `run` numbers are dropped, the next one is not. Adjacent drops always come as one run, so a run is a gap, but for
  /// the one before the first number, which nobody can see.
  uint64_t take(uint32_t run) noexcept {
    if (taken && run != 0) {
      if (gaps++ == 0 || run < min_gap) min_gap = run;
      if (run > max_gap) max_gap = run;
    }
    taken = true;
    next += run;
    return next++;
  }

  void deliver(uint64_t which, bool copy, uint64_t packet, uint32_t length) noexcept {
    ++packets;
    bytes += length;
    last_packet = packet;
    if (copy) {
      ++duplicated;
    } else if (first_packet == 0) {
      first_packet = packet;
      lowest = highest = which;
    } else if (which < highest) {
      ++reordered;
      if (which < lowest) lowest = which;
    } else {
      highest = which;
    }
  }
};

}  // namespace tapline::generation
