// Packets into and out of hop tunnels (native/src/relay/hop_header.h). Enters: an inner packet and a path's key.
// Leaves: the headers around it; or, of one that came, whether its sender knows the key and may send from where it did.
#pragma once
#include "relay/afpacket/checksum.h"
#include "relay/afpacket/packet.h"
#include "relay/hop_header.h"

namespace tapline::relay {

inline uint32_t overhead(const Output& output) noexcept {
  return output.destination.family == 4 ? HOP_OVERHEAD_IPV4 : HOP_OVERHEAD_IPV6;
}

struct HopFields {
  uint8_t hops;
  uint16_t stream;
  uint32_t sequence;
  uint64_t origin_ns;
};

namespace tunnelling {
inline void put16(uint8_t* at, uint32_t value) noexcept {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
inline uint64_t tag(const PathKey& key, const hop_header& header, const Packet& inner) noexcept {
  uint64_t keys[2], words[3], addresses[4] = {};
  std::memcpy(keys, key.data(), sizeof keys);
  std::memcpy(words, &header, sizeof words);
  std::memcpy(addresses, inner.source(), 2 * inner.address_bytes());
  return hop_tag(reinterpret_cast<const __u64*>(keys), reinterpret_cast<const __u64*>(words),
                 reinterpret_cast<const __u64*>(addresses), inner.family == 6);
}
}  // namespace tunnelling

/// Writes the outer headers at `to`; `inner_bytes` follow them.
inline void wrap(uint8_t* to, const Output& output, const Packet& inner, uint32_t inner_bytes, uint8_t ttl,
                 const HopFields& fields) noexcept {
  using tunnelling::put16;
  const uint32_t udp_bytes = 8 + HOP_HEADER_BYTES + inner_bytes;
  const auto inner_dscp =
      static_cast<uint8_t>(inner.family == 4 ? inner.ip[1] >> 2 : (inner.ip[0] & 15) << 2 | inner.ip[1] >> 6);
  const uint8_t dscp = output.dscp.value_or(inner_dscp);
  uint8_t* udp;
  if (output.destination.family == 4) {
    std::memset(to, 0, 20);
    to[0] = 0x45;
    to[1] = static_cast<uint8_t>(dscp << 2);
    put16(to + 2, 20 + udp_bytes);
    put16(to + 6, 0x4000);  // never fragmented: what is too big is counted and named
    to[8] = ttl;
    to[9] = kUdp;
    if (output.source) std::memcpy(to + 12, output.source->bytes.data(), 4);
    std::memcpy(to + 16, output.destination.bytes.data(), 4);
    const auto sum = static_cast<uint16_t>(~fold(sum_of(to, 20)));
    std::memcpy(to + 10, &sum, 2);
    udp = to + 20;
  } else {
    std::memset(to, 0, 40);
    to[0] = static_cast<uint8_t>(0x60 | dscp >> 2);
    to[1] = static_cast<uint8_t>((dscp & 3) << 6);
    put16(to + 4, udp_bytes);
    to[6] = kUdp;
    to[7] = ttl;
    if (output.source) std::memcpy(to + 8, output.source->bytes.data(), 16);
    std::memcpy(to + 24, output.destination.bytes.data(), 16);
    udp = to + 40;
  }
  put16(udp, hop_source_port(output.tunnel->path, fields.stream));
  put16(udp + 2, HOP_PORT);
  put16(udp + 4, udp_bytes);
  put16(udp + 6, 0);
  hop_header header{};
  header.version = HOP_VERSION;
  header.hops = fields.hops;
  header.stream = hop_16(fields.stream);
  header.path = hop_32(output.tunnel->path);
  header.epoch = hop_32(output.tunnel->epoch);
  header.sequence = hop_32(fields.sequence);
  header.origin_ns = hop_64(fields.origin_ns);
  header.tag = hop_64(tunnelling::tag(output.tunnel->key, header, inner));
  std::memcpy(udp + 8, &header, sizeof header);
}

inline bool known_peer(const TunnelInput& tunnel, const Packet& outer) noexcept {
  const Address source = address_of(outer.family, outer.source());
  for (const Address& peer : tunnel.peers)
    if (peer == source) return true;
  return false;
}

inline bool right_tag(const TunnelInput& tunnel, const hop_header& header, const Packet& inner) noexcept {
  return hop_64(header.tag) == tunnelling::tag(tunnel.key, header, inner);
}

}  // namespace tapline::relay
