// What decoding yields for one frame: everything the flow stage needs, small enough that a batch stays in the cache.
// Enters: a frame's bytes. Leaves: a Packet, with its verdict.
#pragma once
#include <cstdint>

#include "generated/vocabulary.h"

namespace tapline {

/// The 16 bytes that name a flow.
///   MACsec        a = SCI                b = AN << 32 | tag bits
///   ESP, AH       a = dst << 32 | SPI    b = tag bits                 (NAT-T: the same)
///   TCP, UDP      a = src << 32 | dst    b = sport << 48 | dport << 32 | tag bits
/// Tag bits: outer id << 20 | inner id << 8 | number of tags (0 to 2) << 4 | protocol, so that "no tag" and a tag of id
/// 0 differ. IPv6 addresses do not fit: for them `a`, `b` are a seeded 128-bit hash of the same, and the table compares
/// addresses as well (of ESP and AH only the destination belongs to the key).
struct FlowKey {
  uint64_t a;
  uint64_t b;
  bool operator==(const FlowKey&) const = default;
};

/// Where a frame ended up: in a flow (`kTracked`), or in exactly one reason of the closed lists.
enum class Verdict : uint8_t { kTracked, kUntracked, kUndecodable };

constexpr uint16_t kNoAddresses = 0xFFFF;

struct Packet {
  int64_t time_ns;       ///< as captured; the clock is applied later
  const uint8_t* frame;  ///< start of the captured bytes; lives as long as the file's mapping or the ring's block
  FlowKey key;           ///< valid when tracked, like hash and shard
  uint64_t hash;         ///< of the whole key, seeded; good in its high and its low bits
  uint64_t sci;          ///< MACsec, explicit or derived, as the number its 8 bytes spell big-endian; else 0
  uint32_t
      shard;  ///< seeded; equal for both directions of a TCP or UDP pair and for all ANs of a SCI, else part of `hash`
  uint32_t wire_length;  ///< bytes on the wire, link-layer header included
  uint32_t number;       ///< sequence number as on the wire; 0 for TCP and UDP
  uint32_t spi;          ///< ESP, AH; else 0
  uint16_t addresses;  ///< offset of the source address (IPv4: 4+4 bytes, IPv6: 16+16); MACsec: of the destination MAC
                       ///< (6+6); kNoAddresses if none
  uint16_t vlan[2];    ///< outer and inner id, 0 where there is none
  uint16_t ports[2];   ///< TCP, UDP; and NAT-T's, for display; else 0
  Verdict verdict;
  uint8_t reason;       ///< Undecodable or Untracked, by verdict
  Protocol protocol;    ///< valid when tracked
  uint8_t association;  ///< MACsec AN
  uint8_t tags;         ///< number of VLAN tags, 2 at most
  bool ipv6;
  bool nat_t;
  uint16_t interface;     ///< index of the capture's interface
  uint16_t segments = 1;  ///< packets in the frame: more than one when an offload merged them
  uint32_t ordinal;       ///< place among the frames read with it: set by the reader
};
static_assert(sizeof(Packet) <= 96);

}  // namespace tapline
