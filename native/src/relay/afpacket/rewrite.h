// The headers of a packet as it leaves. Enters: a packet and the output it leaves by. Leaves: its headers, written anew
// where the output says so, with checksums that are as right, or as wrong, as those that came.
#pragma once
#include "relay/afpacket/checksum.h"
#include "relay/afpacket/packet.h"

namespace tapline::relay {

/// A piece of a packet's payload that leaves as a packet of its own: the whole of it, but for super-packets.
struct Segment {
  const uint8_t* payload;  ///< behind the transport header's first 8 bytes
  uint32_t bytes;
  uint32_t index;         ///< in the super-packet
  bool alone;             ///< there is no other: lengths stay as they are
  bool compute_checksum;  ///< what lies in the header is not one yet: the network card was to finish it
};

namespace rewriting {
inline void put16(uint8_t* at, uint32_t value) noexcept {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

inline void udp_checksum(uint8_t* ip, const Packet& packet, const Segment& segment, Sum header_change) noexcept {
  uint8_t* udp = ip + packet.transport;
  uint8_t* field = udp + 6;
  if (!segment.compute_checksum) {
    if (field[0] == 0 && field[1] == 0) return;  // none; legal with IPv4 (RFC 768)
    adjust(field, header_change);
  } else {
    field[0] = field[1] = 0;
    const size_t addresses = packet.family == 4 ? 8 : 32;
    Sum sum = sum_of(ip + (packet.family == 4 ? 12 : 8), addresses);
    uint8_t rest[4] = {0, kUdp, udp[4], udp[5]};  // the protocol and the length, of the pseudo header (RFC 768, 8200)
    sum = sum_of(rest, sizeof rest, sum);
    sum = sum_of(udp, 8, sum);
    sum = sum_of(segment.payload, segment.bytes, sum);
    const auto found = static_cast<uint16_t>(~fold(sum));
    std::memcpy(field, &found, 2);
  }
  if (field[0] == 0 && field[1] == 0) field[0] = field[1] = 0xFF;  // 0 would mean that there is none
}
}  // namespace rewriting

/// Writes the packet's headers at `to` from its IP header on, up to the payload; returns their length.
/// Without an output, as the inner packet of a tunnel: it travels as it came, and `ttl` is not looked at.
inline uint32_t rewrite(uint8_t* to, const Packet& packet, const Segment& segment, const Output* output,
                        uint8_t ttl) noexcept {
  using rewriting::put16;
  const uint32_t length = packet.transport + 8;
  const size_t first = packet.family == 4 ? 12 : 8, each = packet.address_bytes();
  std::memcpy(to, packet.ip, length);
  uint8_t* transport = to + packet.transport;
  if (packet.family == 4) {
    if (output && output->dscp) to[1] = static_cast<uint8_t>(*output->dscp << 2 | (to[1] & 3));
    if (output) to[8] = ttl;
    if (!segment.alone) {
      put16(to + 2, length + segment.bytes);
      put16(to + 4, be16(to + 4) + segment.index);
    }
  } else {
    if (output && output->dscp) {
      to[0] = static_cast<uint8_t>(0x60 | *output->dscp >> 2);
      to[1] = static_cast<uint8_t>((*output->dscp & 3) << 6 | (to[1] & 0x3F));
    }
    if (output) to[7] = ttl;
    if (!segment.alone) put16(to + 4, length - 40 + segment.bytes);
  }
  if (output) {
    if (output->source) std::memcpy(to + first, output->source->bytes.data(), each);
    std::memcpy(to + first + each, output->destination.bytes.data(), each);
    if (packet.protocol == kUdp) put16(transport + 2, output->port);
  }
  if (packet.family == 4) adjust(to + 10, change(packet.ip, to, 10) + change(packet.ip + 12, to + 12, 8));
  if (packet.protocol == kUdp) {
    if (!segment.alone) put16(transport + 4, 8 + segment.bytes);
    const Sum changed =
        change(packet.ip + first, to + first, 2 * each) + change(packet.ip + packet.transport, transport, 4);
    rewriting::udp_checksum(to, packet, segment, changed);
  }
  return length;
}

}  // namespace tapline::relay
