// The frame being decoded: its bytes on one side, the Packet to be filled on the other, and the ways to be done with
// it.
#pragma once
#include <cstdint>

#include "decode/decode.h"

namespace tapline {

struct Frame {
  const uint8_t* bytes;
  uint32_t captured;
  const HashSeed& seed;
  Packet& out;

  bool has(uint32_t at, uint32_t length) const noexcept { return uint64_t{at} + length <= captured; }

  void truncated() const noexcept { undecodable(Undecodable::Truncated); }
  void malformed() const noexcept { undecodable(Undecodable::Malformed); }
  void undecodable(Undecodable reason) const noexcept {
    out.verdict = Verdict::kUndecodable;
    out.reason = static_cast<uint8_t>(reason);
  }
  void untracked(Untracked reason) const noexcept {
    out.verdict = Verdict::kUntracked;
    out.reason = static_cast<uint8_t>(reason);
  }

  /// The VLAN tags and the protocol, as every key holds them (packet.h).
  uint32_t tag_bits(Protocol protocol) const noexcept {
    return uint32_t{out.vlan[0]} << 20 | uint32_t{out.vlan[1]} << 8 | uint32_t{out.tags} << 4 |
           static_cast<uint32_t>(protocol);
  }
  /// The last step of every path that ends in a flow; key, hash and shard are set by the caller.
  void tracked(Protocol protocol) const noexcept {
    out.verdict = Verdict::kTracked;
    out.protocol = protocol;
  }
};

}  // namespace tapline
