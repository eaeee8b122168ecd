// One IP packet that may be relayed. Enters: its bytes, from the IP header on, and how many were captured. Leaves:
// where its parts lie, checked to be there; or why it is not a packet to relay.
#pragma once
#include <cstdint>
#include <cstring>

#include "bytes.h"
#include "relay/rules.h"

namespace tapline::relay {

inline constexpr uint8_t kUdp = 17, kEsp = 50;

struct Packet {
  enum class Form : uint8_t {
    Whole,      ///< all below is set
    Other,      ///< of a protocol that no rule carries, or no IP at all
    Fragment,   ///< a part of a packet; addresses are set
    Malformed,  ///< a header contradicts itself or is cut off; addresses are set when `family` is
  };
  const uint8_t* ip = nullptr;
  uint32_t length = 0;     ///< of the packet, by its own header: padding behind it is not part of it
  uint32_t transport = 0;  ///< where the UDP or ESP header begins
  uint8_t family = 0;
  uint8_t protocol = 0;
  uint16_t port = 0;  ///< of UDP, the destination's
  const uint8_t* source() const noexcept { return ip + (family == 4 ? 12 : 8); }
  const uint8_t* destination() const noexcept { return ip + (family == 4 ? 16 : 24); }
  size_t address_bytes() const noexcept { return family == 4 ? 4 : 16; }
  /// TTL or hop limit.
  uint8_t ttl() const noexcept { return ip[family == 4 ? 8 : 7]; }
};

/// An address of a packet, as rules hold it.
inline Address address_of(uint8_t family, const uint8_t* bytes) noexcept {
  Address out;
  out.family = family;
  std::memcpy(out.bytes.data(), bytes, family == 4 ? 4 : 16);
  return out;
}

/// `captured` bytes lie at `ip`. A super-packet's header may claim less than there is of it, or a length of 0.
inline Packet::Form parse(const uint8_t* ip, uint32_t captured, bool super, Packet& out) noexcept {
  using Form = Packet::Form;
  constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragmentHeader = 44, kDestinationOptions = 60;
  constexpr int kMostExtensions = 8;
  if (captured < 20) return Form::Malformed;
  out.ip = ip;
  const uint8_t version = ip[0] >> 4;
  uint32_t at;
  if (version == 4) {
    out.family = 4;
    at = (ip[0] & 15) * 4u;
    out.length = super ? captured : be16(ip + 2);
    out.protocol = ip[9];
    if (at < 20 || out.length < at || out.length > captured) return Form::Malformed;
    if ((be16(ip + 6) & 0x3FFF) != 0) return Form::Fragment;  // more to come, or not the first
  } else if (version == 6) {
    if (captured < 40) return Form::Malformed;
    out.family = 6;
    at = 40;
    out.length = super ? captured : 40u + be16(ip + 4);
    if (out.length > captured) return Form::Malformed;
    uint8_t next = ip[6];
    for (int i = 0; i < kMostExtensions && (next == kHopByHop || next == kRouting || next == kDestinationOptions);
         i++) {
      if (at + 8 > out.length) return Form::Malformed;
      next = ip[at];
      at += (ip[at + 1] + 1u) * 8;
      if (at > out.length) return Form::Malformed;
    }
    if (next == kFragmentHeader) return Form::Fragment;
    out.protocol = next;
  } else {
    return Form::Malformed;
  }
  out.transport = at;
  if (out.protocol == kUdp) {
    if (at + 8 > out.length) return Form::Malformed;
    const uint16_t length = be16(ip + at + 4);
    if (!super && (length < 8 || at + length > out.length)) return Form::Malformed;
    out.port = be16(ip + at + 2);
    return Form::Whole;
  }
  if (out.protocol != kEsp) return Form::Other;
  out.port = 0;
  return at + 8 > out.length ? Form::Malformed : Form::Whole;  // an SPI and a number
}

}  // namespace tapline::relay
