// Frames spelled byte by byte from the specifications, one per path and per refusal.
#include "decode/decode.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <vector>

using namespace tapline;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

constexpr HashSeed kSeed{0x0123456789ABCDEF, 0xFEDCBA9876543210};

/// From a heap block of exactly the captured size: a byte read past it is caught by the address sanitizer.
Packet decoded(const Bytes& bytes, uint16_t link_type = 1, uint32_t wire_length = 0) {
  const auto exact = std::make_unique<uint8_t[]>(bytes.size());
  if (!bytes.empty()) std::memcpy(exact.get(), bytes.data(), bytes.size());
  const auto captured = static_cast<uint32_t>(bytes.size());
  Packet out;
  std::memset(static_cast<void*>(&out), 0xAA, sizeof out);
  decode(exact.get(), captured, wire_length ? wire_length : captured, link_type, kSeed, out);
  return out;
}

bool untracked(const Packet& packet, Untracked reason) {
  return packet.verdict == Verdict::kUntracked && packet.reason == static_cast<uint8_t>(reason);
}
bool undecodable(const Packet& packet, Undecodable reason) {
  return packet.verdict == Verdict::kUndecodable && packet.reason == static_cast<uint8_t>(reason);
}
bool tracked(const Packet& packet, Protocol protocol) {
  return packet.verdict == Verdict::kTracked && packet.protocol == protocol;
}

const Bytes kMacs = {0x01, 0x80, 0xC2, 0x00, 0x00, 0x0E, 0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
const Bytes kPayload(64, 0x5A);

Bytes ethernet(uint16_t type, const Bytes& rest) { return kMacs + Bytes{uint8_t(type >> 8), uint8_t(type)} + rest; }
Bytes tag(uint16_t type, uint16_t tci, const Bytes& rest) {  // the EtherType before, then TCI
  return Bytes{uint8_t(tci >> 8), uint8_t(tci), uint8_t(type >> 8), uint8_t(type)} + rest;
}
/// SecTAG with an explicit SCI when `control` has SC (0x20).
Bytes sectag(uint8_t control, uint8_t short_length = 0) {
  Bytes bytes = {control, short_length, 0x00, 0x01, 0xE2, 0x40};
  return control & 0x20 ? bytes + Bytes{0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x00, 0x07} : bytes;
}
Bytes macsec(uint8_t control, uint8_t short_length = 0) {
  return ethernet(0x88E5, sectag(control, short_length) + kPayload);
}
Bytes ipv4(uint8_t protocol, const Bytes& payload, uint16_t fragment = 0, uint16_t total = 0xFFFF) {
  if (total == 0xFFFF) total = uint16_t(20 + payload.size());
  return Bytes{0x45,
               0,
               uint8_t(total >> 8),
               uint8_t(total),
               0,
               1,
               uint8_t(fragment >> 8),
               uint8_t(fragment),
               64,
               protocol,
               0,
               0,
               10,
               0,
               0,
               1,
               192,
               168,
               7,
               9} +
         payload;
}
Bytes ipv6(uint8_t next, const Bytes& payload, uint16_t length = 0xFFFF) {
  if (length == 0xFFFF) length = uint16_t(payload.size());
  Bytes bytes = {0x60, 0, 0, 0, uint8_t(length >> 8), uint8_t(length), next, 64};
  for (uint8_t i = 0; i < 32; ++i) bytes.push_back(i);
  return bytes + payload;
}
Bytes udp(uint16_t source, uint16_t destination, const Bytes& payload, uint16_t length = 0xFFFF) {
  if (length == 0xFFFF) length = uint16_t(8 + payload.size());
  return Bytes{uint8_t(source >> 8),
               uint8_t(source),
               uint8_t(destination >> 8),
               uint8_t(destination),
               uint8_t(length >> 8),
               uint8_t(length),
               0,
               0} +
         payload;
}
Bytes tcp(uint16_t source, uint16_t destination, uint8_t words = 5) {
  Bytes bytes = {uint8_t(source >> 8), uint8_t(source), uint8_t(destination >> 8), uint8_t(destination)};
  bytes.resize(20);
  bytes[12] = uint8_t(words << 4);
  return bytes + Bytes(words > 5 ? (words - 5u) * 4 : 0) + kPayload;
}
const Bytes kEsp = Bytes{0xC0, 0xFF, 0xEE, 0x01, 0x00, 0x00, 0x30, 0x39} + kPayload;
const Bytes kAh = Bytes{6, 4, 0, 0, 0xC0, 0xFF, 0xEE, 0x02, 0, 0, 0, 9} + Bytes(12) + kPayload;
Packet over_ipv4(uint8_t protocol, const Bytes& payload) { return decoded(ethernet(0x0800, ipv4(protocol, payload))); }
Packet over_ipv6(uint8_t next, const Bytes& payload) { return decoded(ethernet(0x86DD, ipv6(next, payload))); }

}  // namespace

TEST_CASE("MACsec with an explicit SCI") {
  const Packet packet = decoded(macsec(0x2E));  // SC, E, C, AN 2
  REQUIRE(tracked(packet, Protocol::Macsec));
  CHECK(packet.sci == 0x0A0B0C0D0E0F0007);
  CHECK(packet.association == 2);
  CHECK(packet.number == 123456);
  CHECK(packet.addresses == 0);
  CHECK(packet.key.a == packet.sci);
}

TEST_CASE("MACsec without an SCI derives it from the source MAC") {
  CHECK(decoded(macsec(0x4C)).sci == 0x0211223344550001);  // ES
  CHECK(decoded(macsec(0x1C)).sci == 0x0211223344550000);  // SCB
  CHECK(decoded(macsec(0x5C)).sci == 0x0211223344550000);  // both: SCB wins
  CHECK(decoded(macsec(0x0C)).sci == 0x0211223344550001);  // neither
}

TEST_CASE("MACsec that is no user data, and integrity only") {
  CHECK(untracked(decoded(macsec(0x28)), Untracked::MacsecNotData));  // E without C
  CHECK(tracked(decoded(macsec(0x20)), Protocol::Macsec));            // neither
  CHECK(tracked(decoded(macsec(0x24)), Protocol::Macsec));            // C alone
}

TEST_CASE("a SecTAG that contradicts itself is malformed") {
  CHECK(undecodable(decoded(macsec(0xAC)), Undecodable::Malformed));        // version 1
  CHECK(undecodable(decoded(macsec(0x6C)), Undecodable::Malformed));        // SC with ES
  CHECK(undecodable(decoded(macsec(0x3C)), Undecodable::Malformed));        // SC with SCB
  CHECK(undecodable(decoded(macsec(0x2C, 0x40)), Undecodable::Malformed));  // reserved bits beside SL
  CHECK(tracked(decoded(macsec(0x2C, 40)), Protocol::Macsec));
  const Bytes brief = ethernet(0x88E5, sectag(0x2C, 40) + Bytes(39));
  CHECK(undecodable(decoded(brief), Undecodable::Malformed));  // 40 bytes claimed, 39 on the wire
  CHECK(tracked(decoded(brief, 1, 100), Protocol::Macsec));    // they were on the wire
}

TEST_CASE("VLAN tags are part of the key, the outer two") {
  const Bytes inside = sectag(0x2C) + kPayload;
  const Packet none = decoded(macsec(0x2C));
  const Packet zero = decoded(ethernet(0x8100, tag(0x88E5, 0xE000, inside)));
  const Packet one = decoded(ethernet(0x8100, tag(0x88E5, 0x6123, inside)));
  const Packet two = decoded(ethernet(0x88A8, tag(0x8100, 0x0123, tag(0x88E5, 0x0456, inside))));
  const Packet old = decoded(ethernet(0x9100, tag(0x8100, 0x0123, tag(0x88E5, 0x0456, inside))));
  CHECK(none.tags == 0);
  CHECK(zero.tags == 1);
  CHECK(zero.vlan[0] == 0);
  CHECK(one.vlan[0] == 0x123);
  CHECK(two.tags == 2);
  CHECK(two.vlan[1] == 0x456);
  CHECK_FALSE(none.key == zero.key);
  CHECK_FALSE(zero.key == one.key);
  CHECK_FALSE(one.key == two.key);
  CHECK(old.key == two.key);
  CHECK(two.sci == none.sci);

  Bytes deep = inside;
  for (int i = 0; i < 8; ++i) deep = tag(i == 0 ? 0x88E5 : 0x8100, uint16_t(100 + i), deep);
  const Packet eight = decoded(ethernet(0x8100, deep));
  CHECK(tracked(eight, Protocol::Macsec));
  CHECK(eight.tags == 2);
  CHECK(eight.vlan[0] == 107);
  CHECK(untracked(decoded(ethernet(0x8100, tag(0x8100, 108, deep))), Untracked::OtherEthertype));
}

TEST_CASE("EtherTypes that are counted only") {
  CHECK(untracked(decoded(ethernet(0x888E, kPayload)), Untracked::Eapol));
  CHECK(untracked(decoded(ethernet(0x0806, kPayload)), Untracked::Arp));
  CHECK(untracked(decoded(ethernet(0x88CC, kPayload)), Untracked::OtherEthertype));
  CHECK(untracked(decoded(ethernet(60, kPayload)), Untracked::OtherEthertype));  // 802.3 with a length
  CHECK(untracked(decoded(ethernet(0x8100, tag(0x0806, 5, kPayload))), Untracked::Arp));
}

TEST_CASE("ESP and AH over IPv4") {
  const Packet esp = over_ipv4(50, kEsp);
  REQUIRE(tracked(esp, Protocol::Esp));
  CHECK(esp.spi == 0xC0FFEE01);
  CHECK(esp.number == 12345);
  CHECK(esp.addresses == 26);
  CHECK(esp.key.a == 0xC0A80709C0FFEE01);
  CHECK_FALSE(esp.ipv6);
  CHECK(esp.sci == 0);
  const Packet ah = over_ipv4(51, kAh);
  REQUIRE(tracked(ah, Protocol::Ah));
  CHECK(ah.spi == 0xC0FFEE02);
  CHECK(ah.number == 9);
  CHECK(undecodable(over_ipv4(51, Bytes{6, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 9}), Undecodable::Malformed));
  CHECK(undecodable(over_ipv4(51, Bytes{6, 4, 0, 0, 1, 2, 3, 4, 0, 0, 0, 9}),
                    Undecodable::Malformed));  // ICV beyond the end
  CHECK(undecodable(over_ipv4(50, Bytes(7)), Undecodable::Malformed));
}

TEST_CASE("the source address is not part of an IPsec key, the destination is") {
  Bytes here = ipv4(50, kEsp), elsewhere = here, moved = here;
  elsewhere[12] = 11;
  moved[16] = 11;
  CHECK(decoded(here, 101).key == decoded(elsewhere, 101).key);
  CHECK_FALSE(decoded(here, 101).key == decoded(moved, 101).key);
  here = ipv6(50, kEsp), elsewhere = here, moved = here;
  elsewhere[8] = 77;
  moved[39] = 77;
  CHECK(decoded(here, 101).key == decoded(elsewhere, 101).key);
  CHECK_FALSE(decoded(here, 101).key == decoded(moved, 101).key);
}

TEST_CASE("NAT-T") {
  const Packet plain = over_ipv4(50, kEsp), nat = over_ipv4(17, udp(4500, 61000, kEsp));
  REQUIRE(tracked(nat, Protocol::Esp));
  CHECK(nat.nat_t);
  CHECK_FALSE(plain.nat_t);
  CHECK(nat.key == plain.key);
  CHECK(nat.ports[1] == 61000);
  CHECK(nat.number == 12345);
  CHECK(tracked(over_ipv4(17, udp(61000, 4500, kEsp)), Protocol::Esp));
  CHECK(tracked(over_ipv6(17, udp(61000, 4500, kEsp)), Protocol::Esp));
  CHECK(untracked(over_ipv4(17, udp(4500, 4500, {0xFF})), Untracked::NattKeepalive));
  CHECK(undecodable(over_ipv4(17, udp(4500, 4500, {0xFE})), Undecodable::Malformed));
  CHECK(untracked(over_ipv4(17, udp(4500, 4500, {0, 0, 0, 0, 1, 2, 3, 4})), Untracked::Ike));
  CHECK(undecodable(over_ipv4(17, udp(4500, 4500, {0, 0, 0})), Undecodable::Malformed));
  CHECK(undecodable(over_ipv4(17, udp(4500, 4500, {1, 2, 3, 4, 5, 6, 7})), Undecodable::Malformed));
  CHECK(tracked(over_ipv4(17, udp(4500, 53, {})), Protocol::Udp));
  // The keepalive's padding to Ethernet's 60 bytes is not payload.
  CHECK(untracked(decoded(ethernet(0x0800, ipv4(17, udp(4500, 4500, {0xFF})) + Bytes(17))), Untracked::NattKeepalive));
}

TEST_CASE("TCP and UDP: each direction its own key, both one shard") {
  for (const uint16_t type : {0x0800, 0x86DD}) {
    for (const bool is_tcp : {false, true}) {
      Bytes there = is_tcp ? tcp(40000, 443) : udp(40000, 443, kPayload);
      Bytes back = is_tcp ? tcp(443, 40000) : udp(443, 40000, kPayload);
      const uint8_t protocol = is_tcp ? 6 : 17;
      there = type == 0x0800 ? ipv4(protocol, there) : ipv6(protocol, there);
      back = type == 0x0800 ? ipv4(protocol, back) : ipv6(protocol, back);
      const size_t at = type == 0x0800 ? 12 : 8, length = type == 0x0800 ? 4 : 16;
      std::swap_ranges(back.begin() + at, back.begin() + at + length, back.begin() + at + length);
      const Packet one = decoded(ethernet(type, there)), other = decoded(ethernet(type, back));
      REQUIRE(tracked(one, is_tcp ? Protocol::Tcp : Protocol::Udp));
      REQUIRE(tracked(other, one.protocol));
      CHECK(one.ports[0] == 40000);
      CHECK(one.ports[1] == 443);
      CHECK(one.number == 0);
      CHECK(one.ipv6 == (type == 0x86DD));
      CHECK(one.shard == other.shard);
      CHECK_FALSE(one.key == other.key);
      CHECK(one.hash != other.hash);
    }
  }
}

TEST_CASE("all associations of an SCI share a shard, not a key") {
  const Packet zero = decoded(macsec(0x2C)), three = decoded(macsec(0x2F));
  CHECK(zero.shard == three.shard);
  CHECK_FALSE(zero.key == three.key);
  CHECK(zero.hash != three.hash);
}

TEST_CASE("IPv4 headers that contradict themselves") {
  Bytes bytes = ipv4(50, kEsp);
  const auto with = [&](size_t at, uint8_t value) {
    Bytes changed = bytes;
    changed[at] = value;
    return decoded(ethernet(0x0800, changed));
  };
  CHECK(undecodable(with(0, 0x65), Undecodable::Malformed));  // version 6
  CHECK(undecodable(with(0, 0x44), Undecodable::Malformed));  // 16 bytes of header
  CHECK(undecodable(decoded(ethernet(0x0800, ipv4(50, kEsp, 0, 19))), Undecodable::Malformed));
  CHECK(undecodable(decoded(ethernet(0x0800, ipv4(50, kEsp, 0, 27))), Undecodable::Malformed));
  CHECK(tracked(decoded(ethernet(0x0800, ipv4(50, kEsp, 0, 0))), Protocol::Esp));  // segmentation offload
  CHECK(undecodable(over_ipv4(6, tcp(1, 2, 4)), Undecodable::Malformed));
  CHECK(undecodable(over_ipv4(17, udp(1, 2, kPayload, 7)), Undecodable::Malformed));
  CHECK(undecodable(over_ipv4(17, udp(1, 2, kPayload, 73)), Undecodable::Malformed));
  CHECK(undecodable(over_ipv4(17, udp(1, 2, kPayload, 0)), Undecodable::Malformed));
}

TEST_CASE("IPv4 options, fragments, other protocols") {
  Bytes options = ipv4(50, Bytes(8, 1) + kEsp);
  options[0] = 0x47;
  const Packet packet = decoded(ethernet(0x0800, options));
  CHECK(tracked(packet, Protocol::Esp));
  CHECK(packet.number == 12345);
  CHECK(untracked(decoded(ethernet(0x0800, ipv4(50, kEsp, 0x0001))), Untracked::Fragment));
  CHECK(untracked(decoded(ethernet(0x0800, ipv4(17, {}, 0x2080))), Untracked::Fragment));
  // The first fragment has the header; its UDP length counts what the others bring.
  CHECK(tracked(decoded(ethernet(0x0800, ipv4(17, udp(1, 2, kPayload, 3000), 0x2000))), Protocol::Udp));
  CHECK(untracked(over_ipv4(1, {}), Untracked::Icmp));
  CHECK(untracked(over_ipv4(2, kPayload), Untracked::OtherIpProtocol));
  CHECK(untracked(over_ipv4(132, kPayload), Untracked::OtherIpProtocol));
}

TEST_CASE("IPv6 with extension headers") {
  const Bytes hop = {43, 0, 5, 2, 0, 0, 0, 0}, routing = {60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const Bytes destination = {44, 0, 1, 4, 0, 0, 0, 0}, first = {50, 0, 0, 1, 0, 0, 0, 1};
  const Packet all = over_ipv6(0, hop + routing + destination + first + kEsp);
  REQUIRE(tracked(all, Protocol::Esp));
  CHECK(all.ipv6);
  CHECK(all.addresses == 22);
  CHECK(all.spi == 0xC0FFEE01);
  CHECK(all.key == over_ipv6(50, kEsp).key);
  CHECK(tracked(over_ipv6(51, kAh), Protocol::Ah));
  CHECK(untracked(over_ipv6(44, Bytes{50, 0, 0, 8, 0, 0, 0, 1} + kEsp), Untracked::Fragment));
  CHECK(untracked(over_ipv6(58, kPayload), Untracked::Icmp));
  CHECK(untracked(over_ipv6(59, {}), Untracked::OtherIpProtocol));
  CHECK(undecodable(over_ipv6(60, {50, 9, 0, 0, 0, 0, 0, 0}), Undecodable::Malformed));  // longer than the payload
  CHECK(undecodable(over_ipv6(60, {50, 0, 0, 0}), Undecodable::Malformed));
  Bytes many;
  for (int i = 0; i < 8; ++i) many = many + Bytes{uint8_t(i < 7 ? 60 : 50), 0, 0, 0, 0, 0, 0, 0};
  CHECK(tracked(over_ipv6(60, many + kEsp), Protocol::Esp));
  CHECK(untracked(over_ipv6(60, Bytes{60, 0, 0, 0, 0, 0, 0, 0} + many + kEsp), Untracked::OtherIpProtocol));
  Bytes wrong = ipv6(50, kEsp);
  wrong[0] = 0x50;
  CHECK(undecodable(decoded(ethernet(0x86DD, wrong)), Undecodable::Malformed));
  // A jumbogram's lengths are 0.
  CHECK(tracked(decoded(ethernet(0x86DD, ipv6(17, udp(1, 2, kPayload, 0), 0))), Protocol::Udp));
}

TEST_CASE("every link type leads to the same flow") {
  const Packet want = over_ipv4(50, kEsp);
  for (const uint16_t raw : {12, 14, 101, 228}) CHECK(decoded(ipv4(50, kEsp), raw).key == want.key);
  const Packet want6 = over_ipv6(50, kEsp);
  for (const uint16_t raw : {12, 14, 101, 229}) CHECK(decoded(ipv6(50, kEsp), raw).key == want6.key);
  CHECK(undecodable(decoded(ipv6(50, kEsp), 228), Undecodable::Malformed));
  CHECK(undecodable(decoded({0x10}, 101), Undecodable::Malformed));
  const Bytes mac = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 0, 0};
  const auto sll = [&](uint8_t high, uint8_t low) { return Bytes{0, 0, 0, 1, 0, 6} + mac + Bytes{high, low}; };
  const auto sll2 = [&](uint8_t high, uint8_t low) { return Bytes{high, low, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6} + mac; };
  CHECK(decoded(sll(8, 0) + ipv4(50, kEsp), 113).key == want.key);
  CHECK(decoded(sll2(8, 0) + ipv4(50, kEsp), 276).key == want.key);
  CHECK(decoded(sll(0x86, 0xDD) + ipv6(50, kEsp), 113).key == want6.key);
  for (const Packet& packet : {decoded(sll(0x88, 0xE5) + sectag(0x4C) + kPayload, 113),
                               decoded(sll2(0x88, 0xE5) + sectag(0x4C) + kPayload, 276)}) {
    CHECK(packet.key == decoded(macsec(0x4C)).key);
    CHECK(packet.addresses == kNoAddresses);
  }
  CHECK(undecodable(decoded(macsec(0x2C), 105), Undecodable::UnknownLinkType));
}

TEST_CASE("what was captured short is truncated, though the wire had it") {
  CHECK(undecodable(decoded({}), Undecodable::Truncated));
  for (const uint16_t link : {1, 101, 113, 276, 228, 229})
    CHECK(undecodable(decoded({}, link), Undecodable::Truncated));
  const Bytes whole = ethernet(0x0800, ipv4(6, tcp(1, 2, 8)));
  CHECK(
      tracked(decoded(Bytes(whole.begin(), whole.begin() + 54), 1, 150), Protocol::Tcp));  // its options are not needed
  CHECK(undecodable(decoded(Bytes(whole.begin(), whole.begin() + 53), 1, 150), Undecodable::Truncated));
}

TEST_CASE("every frame cut at every byte has a verdict, and nothing is read behind the cut") {
  const Bytes inside = sectag(0x2C) + kPayload;
  const std::vector<Bytes> frames = {
      macsec(0x2C),
      macsec(0x4C, 30),
      ethernet(0x88A8, tag(0x8100, 1, tag(0x88E5, 2, inside))),
      ethernet(0x888E, kPayload),
      ethernet(0x0800, ipv4(50, kEsp)),
      ethernet(0x0800, ipv4(51, kAh)),
      ethernet(0x0800, ipv4(17, udp(4500, 4500, kEsp))),
      ethernet(0x0800, ipv4(17, udp(4500, 4500, {0xFF}))),
      ethernet(0x0800, ipv4(17, udp(4500, 4500, Bytes(40)))),
      ethernet(0x0800, ipv4(6, tcp(1, 2, 10))),
      ethernet(0x86DD, ipv6(0, Bytes{44, 0, 5, 2, 0, 0, 0, 0} + Bytes{50, 0, 0, 1, 0, 0, 0, 1} + kEsp)),
      ethernet(0x86DD, ipv6(17, udp(53, 53, kPayload))),
      ipv4(50, kEsp),
      ipv6(6, tcp(5, 6))};
  for (const Bytes& frame : frames) {
    for (const uint16_t link : {1, 12, 14, 101, 113, 228, 229, 276, 999}) {
      bool was_tracked = false;
      for (size_t length = 0; length <= frame.size(); ++length) {
        const Packet packet = decoded(Bytes(frame.begin(), frame.begin() + long(length)), link, uint32_t(frame.size()));
        const size_t reasons = packet.verdict == Verdict::kUndecodable ? kUndecodableCount
                               : packet.verdict == Verdict::kUntracked ? kUntrackedCount
                                                                       : 1;
        REQUIRE(packet.reason < reasons);
        REQUIRE(packet.protocol <= Protocol::Udp);
        // More bytes never take a flow away.
        if (was_tracked) REQUIRE(packet.verdict == Verdict::kTracked);
        was_tracked = packet.verdict == Verdict::kTracked;
      }
    }
  }
}

TEST_CASE("hashes spread neighbouring keys over low and high bits, and differ by seed") {
  constexpr int kFlows = 1 << 14, kBuckets = 1 << 8;
  std::vector<int> low(kBuckets), high(kBuckets), shard(kBuckets);
  Bytes frame = macsec(0x2C);
  for (int i = 0; i < kFlows; ++i) {
    frame[26] = uint8_t(i >> 8);  // the SCI's last bytes but the port
    frame[25] = uint8_t(i);
    const Packet packet = decoded(frame);
    ++low[packet.hash % kBuckets];
    ++high[packet.hash >> 56];
    ++shard[packet.shard >> 24];
  }
  for (const auto* counts : {&low, &high, &shard}) {
    double chi = 0;
    for (const int count : *counts) chi += (count - 64.0) * (count - 64.0) / 64.0;
    CHECK(chi < 350);  // 255 degrees of freedom: mean 255, deviation 23
  }
  Packet one, other;
  decode(frame.data(), 60, 60, 1, HashSeed::random(), one);
  decode(frame.data(), 60, 60, 1, HashSeed::random(), other);
  CHECK(one.hash != other.hash);
}
