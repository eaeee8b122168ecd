// Enters: a flow's index and the options. Leaves: who talks to whom — addresses, ports, tags — as a ready header that
// frames copy.
#pragma once
#include <cstdint>

#include "generate/generate.h"

namespace tapline::generation {

enum class Kind : uint8_t { kMacsec, kEsp, kNatTEsp, kAh, kTcp, kUdp };

inline constexpr uint32_t kNone = 0xFFFFFFFF;
inline constexpr uint32_t kHeaderRoom = 104;

/// A conversation between two ends, whatever keys it uses in turn. TCP and UDP: one direction; its peer is the index
/// with the last bit turned.
struct Flow {
  uint8_t header[kHeaderRoom];  ///< all headers, with the fields that change per packet left 0
  uint64_t latest;              ///< first packet of the association that appeared last; 0: none yet
  uint64_t written;             ///< packets of this flow in the capture: the positions that delays are counted in
  uint32_t association;         ///< the one in use
  uint32_t delayed;             ///< head of its delayed packets
  uint32_t tcp_next;            ///< TCP sequence number of its next segment
  uint32_t header_sum;          ///< of the IPv4 header's words
  uint32_t pseudo_sum;          ///< of the pseudo header, without the length
  uint16_t rekeys;
  uint8_t header_length;
  uint8_t network;  ///< offset of the IP header, of the SecTAG's TCI for MACsec
  uint8_t min_frame;
  Kind kind;
  uint8_t tags;
  uint8_t association_number;  ///< MACsec AN in use
  bool ipv6;
  bool started;

  bool numbered() const noexcept { return kind <= Kind::kAh; }
};

/// The kind of flow `index` within the asked traffic.
Kind kind_of(TrafficKind traffic, uint64_t index) noexcept;
void make_flow(const GenerateOptions& options, uint64_t index, Flow& flow) noexcept;
/// The SCI as a receiver knows it, explicit or derived from the source address.
uint64_t sci_of(const Flow& flow) noexcept;
/// Source and destination port, valid for TCP, UDP and NAT-T.
uint32_t port_of(const Flow& flow, unsigned which) noexcept;

}  // namespace tapline::generation
