// An interface's whole ledger: what was read and decoded, and what the flow stage made of it.
#pragma once
#include <cstdint>
#include <string>

#include "decode/tally.h"

namespace tapline {

struct InterfaceLedger {
  std::string name;
  uint16_t link_type = 0;
  Tally counts;
  uint64_t tracked = 0;
  uint64_t invalid_number = 0;
  uint64_t capture_drops = 0;  ///< by the capturing program's own account
  uint64_t ring_drops = 0;
  uint64_t in_flight = 0;

  /// Left side minus right side of the ledger's three lines, summed: 0 when every packet is accounted for.
  int64_t residue() const noexcept {
    uint64_t undecodable = 0, untracked = invalid_number;
    for (const uint64_t n : counts.undecodable) undecodable += n;
    for (const uint64_t n : counts.untracked) untracked += n;
    const auto off = [](uint64_t left, uint64_t right) { return static_cast<int64_t>(left - right); };
    return off(counts.seen, ring_drops + counts.delivered + in_flight) +
           off(counts.delivered, counts.decoded + undecodable) + off(counts.decoded, tracked + untracked);
  }
};

}  // namespace tapline
