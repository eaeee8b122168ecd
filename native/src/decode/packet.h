// What decoding yields for one frame: everything the flow stage needs, in one cache line.
// Enters: a frame's bytes. Leaves: a Packet, with its verdict.
#pragma once
#include <cstdint>

#include "generated/vocabulary.h"

namespace tapline {

/// The 16 bytes that name a flow. IPv6 addresses do not fit: for them `a`, `b` hold a seeded 128-bit hash of the
/// addresses and ports, and the table compares the addresses themselves as well.
struct FlowKey {
  uint64_t a;
  uint64_t b;
  bool operator==(const FlowKey&) const = default;
};

/// Where a frame ended up: in a flow (`kTracked`), or in exactly one reason of the closed lists.
enum class Verdict : uint8_t { kTracked, kUntracked, kUndecodable };

struct Packet {
  int64_t time_ns;         ///< as captured; the clock is applied later
  FlowKey key;             ///< valid when tracked
  const uint8_t* frame;    ///< start of the captured bytes; lives as long as the file's mapping or the ring's block
  uint64_t hash;           ///< of the key's shard part (see shard()); seeded
  uint32_t wire_length;    ///< bytes on the wire, link-layer header included
  uint32_t number;         ///< sequence number as on the wire; 0 for TCP and UDP
  uint16_t addresses;      ///< offset of the source address (IPv4: 4+4 bytes, IPv6: 16+16); MACsec: of the destination MAC (6+6), 0xFFFF if none
  uint16_t vlan[2];        ///< outer and inner id
  uint16_t ports[2];       ///< TCP, UDP; and NAT-T's, for display
  uint16_t interface;      ///< index of the capture's interface
  uint32_t spi;            ///< ESP, AH
  Verdict verdict;
  uint8_t reason;          ///< Undecodable or Untracked, by verdict
  Protocol protocol;       ///< valid when tracked
  uint8_t association;     ///< MACsec AN
  bool ipv6;
  bool nat_t;
  uint8_t tags;            ///< number of VLAN tags, at most 2 kept
  uint64_t sci;            ///< MACsec, explicit or derived, as the number its 8 bytes spell big-endian
};

}  // namespace tapline
