// The link layers. Enters: a frame as captured. Leaves: its EtherType's path, with the VLAN tags noted.
#include "decode/decode.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

#include "decode/ip.h"
#include "decode/macsec.h"

namespace tapline {
namespace {

enum EtherType : uint16_t {
  kIpv4Type = 0x0800,
  kArpType = 0x0806,
  kVlanType = 0x8100,
  kIpv6Type = 0x86DD,
  kEapolType = 0x888E,
  kServiceVlanType = 0x88A8,
  kMacsecType = 0x88E5,
  kOldQinqType = 0x9100,
};

/// VLAN tags walked over; the EtherType behind so many is not followed.
constexpr int kMaxTags = 8;

constexpr bool is_vlan(uint16_t type) noexcept {
  return type == kVlanType || type == kServiceVlanType || type == kOldQinqType;
}

/// `at` is the offset behind the EtherType; the MACs' offsets are for MACsec.
void decode_ethertype(const Frame& frame, uint16_t type, uint32_t at, uint32_t source, uint16_t destination) noexcept {
  Packet& out = frame.out;
  for (int tags = out.tags; is_vlan(type) && tags < kMaxTags; ++tags) {
    if (!frame.has(at, 4)) return frame.truncated();
    if (tags < 2) {
      out.vlan[tags] = be16(frame.bytes + at) & 0x0FFF;
      out.tags = static_cast<uint8_t>(tags + 1);
    }
    type = be16(frame.bytes + at + 2);
    at += 4;
  }
  switch (type) {
    case kMacsecType:
      return decode_macsec(frame, at, source, destination);
    case kIpv4Type:
      return decode_ipv4(frame, at);
    case kIpv6Type:
      return decode_ipv6(frame, at);
    case kEapolType:
      return frame.untracked(Untracked::Eapol);
    case kArpType:
      return frame.untracked(Untracked::Arp);
    default:
      return frame.untracked(Untracked::OtherEthertype);
  }
}

}  // namespace

HashSeed HashSeed::random() noexcept {
  HashSeed seed;
  // Up to 256 bytes come whole or not at all, once the kernel's pool is ready.
  while (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
    if (errno != EINTR) std::abort();
  }
  return seed;
}

void decode(const uint8_t* bytes, uint32_t captured, uint32_t wire_length, uint16_t link_type, const HashSeed& seed,
            Packet& out, SideTag tag) noexcept {
  out.frame = bytes;
  out.key = {};
  out.hash = 0;
  out.sci = 0;
  out.shard = 0;
  out.wire_length = wire_length;
  out.number = 0;
  out.segments = 1;
  out.spi = 0;
  out.addresses = kNoAddresses;
  out.vlan[0] = tag.present ? tag.id : 0;
  out.vlan[1] = 0;
  out.ports[0] = out.ports[1] = 0;
  out.verdict = Verdict::kUndecodable;
  out.reason = 0;
  out.protocol = Protocol{};
  out.association = 0;
  out.tags = tag.present;
  out.ipv6 = out.nat_t = false;

  const Frame frame{bytes, captured, seed, out};
  switch (static_cast<LinkType>(link_type)) {
    case LinkType::kEthernet:
      if (!frame.has(0, 14)) return frame.truncated();
      return decode_ethertype(frame, be16(bytes + 12), 14, 6, 0);
    case LinkType::kLinuxSll:
      if (!frame.has(0, 16)) return frame.truncated();
      return decode_ethertype(frame, be16(bytes + 14), 16, 6, kNoAddresses);
    case LinkType::kLinuxSll2:
      if (!frame.has(0, 20)) return frame.truncated();
      return decode_ethertype(frame, be16(bytes), 20, 12, kNoAddresses);
    case LinkType::kRawIp:
    case LinkType::kRawIpBsd:
    case LinkType::kRawIpOpenBsd:
      return decode_ip(frame, 0);
    case LinkType::kIpv4:
      return decode_ipv4(frame, 0);
    case LinkType::kIpv6:
      return decode_ipv6(frame, 0);
  }
  frame.undecodable(Undecodable::UnknownLinkType);
}

}  // namespace tapline
