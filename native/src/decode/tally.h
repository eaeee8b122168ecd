// An interface's share of the ledger (docs/semantics.md), up to where the flow stage takes over. Every figure is
// counted by itself.
#pragma once
#include <cstddef>
#include <cstdint>

#include "decode/packet.h"

namespace tapline {

struct Tally {
  uint64_t seen = 0;
  uint64_t delivered = 0;
  uint64_t decoded = 0;
  uint64_t undecodable[kUndecodableCount] = {};
  uint64_t untracked[kUntrackedCount] = {};

  /// A decoded frame's verdict; true when a flow follows it.
  bool judge(const Packet& packet) noexcept {
    if (packet.verdict == Verdict::kUndecodable) {
      undecodable[packet.reason]++;
      return false;
    }
    decoded++;
    if (packet.verdict == Verdict::kTracked) return true;
    untracked[packet.reason]++;
    return false;
  }

  Tally& operator+=(const Tally& other) noexcept {
    seen += other.seen;
    delivered += other.delivered;
    decoded += other.decoded;
    for (size_t i = 0; i < kUndecodableCount; i++) undecodable[i] += other.undecodable[i];
    for (size_t i = 0; i < kUntrackedCount; i++) untracked[i] += other.untracked[i];
    return *this;
  }
};

}  // namespace tapline
