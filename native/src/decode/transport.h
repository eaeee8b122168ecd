// Enters: what an IP header carries. Leaves: a flow of ESP (plain or in UDP), AH, TCP or UDP, or why there is none.
// Only the bytes a flow needs must have been captured: cut TCP options or a cut ICV do not matter.
#pragma once
#include "decode/frame.h"
#include "decode/hash.h"

namespace tapline {

struct Addresses {
  const uint8_t* source;
  const uint8_t* destination;
};

/// ESP and AH: named by destination and SPI (RFC 4301, 4.4.2).
template <bool kIpv6>
inline void track_ipsec(const Frame& frame, Protocol protocol, Addresses addresses, const uint8_t* spi) noexcept {
  Packet& out = frame.out;
  out.spi = be32(spi);
  out.number = be32(spi + 4);
  const uint32_t tags = frame.tag_bits(protocol);
  if constexpr (kIpv6) {
    const uint64_t with = uint64_t{out.spi} << 32 | tags;
    // The second half must not follow from the first: its address enters with another secret.
    out.key.a = mix_address(addresses.destination, with, frame.seed);
    out.key.b = mix_address(addresses.destination, with, {~frame.seed.k1, frame.seed.k0 + 0x9E3779B97F4A7C15});
  } else {
    out.key = {uint64_t{be32(addresses.destination)} << 32 | out.spi, tags};
  }
  out.hash = mix(out.key.a, out.key.b, frame.seed);
  out.shard = static_cast<uint32_t>(out.hash >> 32);
  frame.tracked(protocol);
}

/// TCP and UDP: each direction is a flow, both go to one shard.
template <bool kIpv6>
inline void track_ports(const Frame& frame, Protocol protocol, Addresses addresses) noexcept {
  Packet& out = frame.out;
  const uint32_t tags = frame.tag_bits(protocol);
  uint64_t from, to;  // the two ends
  if constexpr (kIpv6) {
    from = mix_address(addresses.source, uint64_t{out.ports[0]} << 32 | tags, frame.seed);
    to = mix_address(addresses.destination, uint64_t{out.ports[1]} << 32 | tags, frame.seed);
    out.key = {from, to};
  } else {
    const uint32_t source = be32(addresses.source), destination = be32(addresses.destination);
    out.key = {uint64_t{source} << 32 | destination,
               uint64_t{out.ports[0]} << 48 | uint64_t{out.ports[1]} << 32 | tags};
    from = uint64_t{source} << 16 | out.ports[0];
    to = uint64_t{destination} << 16 | out.ports[1];
  }
  out.hash = mix(out.key.a, out.key.b, frame.seed);
  const uint64_t low = from < to ? from : to, high = from < to ? to : from;
  out.shard = static_cast<uint32_t>(mix(low, high ^ uint64_t{tags} << 32, frame.seed) >> 32);
  frame.tracked(protocol);
}

/// UDP port 4500 (RFC 3948): a keepalive, IKE behind four zero bytes, or ESP. `end` is UDP's own.
template <bool kIpv6>
inline void decode_nat_t(const Frame& frame, Addresses addresses, uint32_t at, uint32_t end) noexcept {
  const uint32_t length = end - at;
  const uint8_t* payload = frame.bytes + at;
  if (length == 0) return track_ports<kIpv6>(frame, Protocol::Udp, addresses);
  if (length == 1) {
    if (!frame.has(at, 1)) return frame.truncated();
    return *payload == 0xFF ? frame.untracked(Untracked::NattKeepalive) : frame.malformed();
  }
  if (length < 4) return frame.malformed();
  if (!frame.has(at, 4)) return frame.truncated();
  if (be32(payload) == 0) return frame.untracked(Untracked::Ike);
  if (length < 8) return frame.malformed();
  if (!frame.has(at, 8)) return frame.truncated();
  frame.out.nat_t = true;
  track_ipsec<kIpv6>(frame, Protocol::Esp, addresses, payload);
}

/// `more`: the first fragment of several, so that lengths may exceed `end`. `end` is UINT32_MAX when the IP header does
/// not say.
template <bool kIpv6>
inline void decode_transport(const Frame& frame, uint8_t protocol, Addresses addresses, uint32_t at, uint32_t end,
                             bool more) noexcept {
  enum : uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kEsp = 50, kAh = 51, kIcmpv6 = 58 };
  uint32_t header;
  switch (protocol) {
    case kEsp:
    case kUdp:
      header = 8;
      break;
    case kAh:
      header = 12;
      break;
    case kTcp:
      header = 20;
      break;
    case kIcmp:
    case kIcmpv6:
      return frame.untracked(Untracked::Icmp);
    default:
      return frame.untracked(Untracked::OtherIpProtocol);
  }
  if (uint64_t{at} + header > end) return frame.malformed();
  if (!frame.has(at, header)) return frame.truncated();
  const uint8_t* bytes = frame.bytes + at;
  Packet& out = frame.out;
  switch (protocol) {
    case kEsp:
      return track_ipsec<kIpv6>(frame, Protocol::Esp, addresses, bytes);
    case kAh:
      // In words of 4 bytes, minus 2: 1 ends with the sequence number (RFC 4302, 2.2).
      if (bytes[1] < 1 || (!more && uint64_t{at} + (bytes[1] + 2u) * 4 > end)) return frame.malformed();
      return track_ipsec<kIpv6>(frame, Protocol::Ah, addresses, bytes + 4);
    case kTcp: {
      const uint32_t length = (bytes[12] >> 4) * 4u;
      if (length < 20 || (!more && uint64_t{at} + length > end)) return frame.malformed();
      out.ports[0] = be16(bytes);
      out.ports[1] = be16(bytes + 2);
      return track_ports<kIpv6>(frame, Protocol::Tcp, addresses);
    }
    default: {
      const uint32_t length = be16(bytes + 4);
      // 0 is a jumbogram's (RFC 2675, 4), which has no IP length either.
      const bool unsaid = length == 0 && end == UINT32_MAX;
      if (!unsaid && (length < 8 || (!more && uint64_t{at} + length > end))) return frame.malformed();
      out.ports[0] = be16(bytes);
      out.ports[1] = be16(bytes + 2);
      if (out.ports[0] == 4500 || out.ports[1] == 4500)
        return decode_nat_t<kIpv6>(frame, addresses, at + 8, unsaid ? UINT32_MAX : at + length);
      return track_ports<kIpv6>(frame, Protocol::Udp, addresses);
    }
  }
}

}  // namespace tapline
