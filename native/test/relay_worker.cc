// The user space engine's parts that need no wire: which rule takes a packet, what its headers become, and what files
// survive.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "relay/afpacket/control.h"
#include "relay/afpacket/limiter.h"
#include "relay/afpacket/rewrite.h"
#include "relay/afpacket/rule_index.h"
#include "relay/afpacket/tunnel.h"
#include "relay/joins/membership.h"

using namespace tapline;
using namespace tapline::relay;

namespace {

Address v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  Address out;
  out.bytes = {a, b, c, d};
  return out;
}
Address v6(uint8_t first, uint8_t last) {
  Address out;
  out.family = 6;
  out.bytes[0] = first;
  out.bytes[15] = last;
  return out;
}

/// Word by word as RFC 1071 has it: nothing in common with checksum.h.
uint16_t plain_sum(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
    if (sum > 0xFFFF) sum = (sum & 0xFFFF) + 1;
  }
  return static_cast<uint16_t>(sum);
}

/// A UDP packet of either family with right checksums.
std::vector<uint8_t> udp(const Address& from, const Address& to, uint16_t port, size_t payload, uint8_t ttl = 64,
                         bool checksum = true) {
  const size_t header = from.family == 4 ? 20 : 40, each = from.family == 4 ? 4 : 16;
  std::vector<uint8_t> out(header + 8 + payload);
  const size_t length = from.family == 4 ? out.size() : 8 + payload;
  if (from.family == 4) {
    out[0] = 0x45;
    out[1] = 0xB9;
    out[2] = static_cast<uint8_t>(length >> 8), out[3] = static_cast<uint8_t>(length);
    out[4] = 0x12, out[5] = 0x34;
    out[8] = ttl, out[9] = 17;
  } else {
    out[0] = 0x6B, out[1] = 0x91, out[2] = 0x23, out[3] = 0x45;
    out[4] = static_cast<uint8_t>(length >> 8), out[5] = static_cast<uint8_t>(length);
    out[6] = 17, out[7] = ttl;
  }
  const size_t addresses = from.family == 4 ? 12 : 8;
  std::copy_n(from.bytes.begin(), each, &out[addresses]);
  std::copy_n(to.bytes.begin(), each, &out[addresses + each]);
  out[header] = 0xC0, out[header + 1] = 1;
  out[header + 2] = static_cast<uint8_t>(port >> 8), out[header + 3] = static_cast<uint8_t>(port);
  out[header + 4] = static_cast<uint8_t>((8 + payload) >> 8), out[header + 5] = static_cast<uint8_t>(8 + payload);
  for (size_t i = 0; i < payload; i++) out[header + 8 + i] = static_cast<uint8_t>(i * 7 + 1);
  if (from.family == 4) {
    const auto sum = static_cast<uint16_t>(~plain_sum({out.begin(), out.begin() + 20}));
    out[10] = static_cast<uint8_t>(sum >> 8), out[11] = static_cast<uint8_t>(sum);
  }
  if (checksum) {
    std::vector<uint8_t> covered(out.begin() + static_cast<long>(addresses),
                                 out.begin() + static_cast<long>(addresses + 2 * each));
    covered.insert(covered.end(), {0, 17, out[header + 4], out[header + 5]});
    covered.insert(covered.end(), out.begin() + static_cast<long>(header), out.end());
    const auto sum = static_cast<uint16_t>(~plain_sum(covered));
    out[header + 6] = static_cast<uint8_t>(sum >> 8), out[header + 7] = static_cast<uint8_t>(sum);
  }
  return out;
}

/// Whether both checksums of a packet are right: over what they cover, themselves among it, the sum is all ones.
bool right(const std::vector<uint8_t>& packet) {
  const bool four = packet[0] >> 4 == 4;
  const size_t header = four ? (packet[0] & 15) * 4u : 40, addresses = four ? 12 : 8;
  if (four && plain_sum({packet.begin(), packet.begin() + static_cast<long>(header)}) != 0xFFFF) return false;
  std::vector<uint8_t> covered(packet.begin() + static_cast<long>(addresses),
                               packet.begin() + static_cast<long>(addresses + (four ? 8 : 32)));
  covered.insert(covered.end(), {0, 17, packet[header + 4], packet[header + 5]});
  covered.insert(covered.end(), packet.begin() + static_cast<long>(header), packet.end());
  return plain_sum(covered) == 0xFFFF;
}

Packet parsed(const std::vector<uint8_t>& bytes) {
  Packet out;
  REQUIRE(parse(bytes.data(), static_cast<uint32_t>(bytes.size()), false, out) == Packet::Form::Whole);
  return out;
}

std::vector<uint8_t> rewritten(const std::vector<uint8_t>& bytes, const Output* output, uint8_t ttl,
                               bool compute = false) {
  const Packet packet = parsed(bytes);
  const uint32_t head = packet.transport + 8;
  std::vector<uint8_t> out(bytes.size());
  const Segment segment{bytes.data() + head, packet.length - head, 0, true, compute};
  REQUIRE(rewrite(out.data(), packet, segment, output, ttl) == head);
  std::copy(bytes.begin() + head, bytes.end(), out.begin() + head);
  return out;
}

Rule wire_rule(const std::string& id, const Address& to, uint16_t port, std::vector<Address> sources = {},
               uint16_t vlan = 0) {
  Rule rule;
  rule.id = id;
  rule.engine = Engine::AfPacket;
  rule.input = WireInput{2, vlan, Carried::Udp, to, port, std::move(sources)};
  Output output;
  output.id = "out";
  output.ifindex = 3;
  output.destination = v4(239, 9, 9, 9);
  output.port = 6000;
  rule.outputs.push_back(output);
  return rule;
}

struct Folder {
  Folder() {
    char name[] = "/tmp/tapline-worker-XXXXXX";
    path = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

uint32_t slot_of(const Control& control, const std::string& id) {
  for (const SlottedRule& one : control.table().rules)
    if (one.rule.id == id) return one.slot;
  return UINT32_MAX;
}

}  // namespace

TEST_CASE("a rewritten packet has the output's addresses, port, TTL and DSCP, and right checksums") {
  for (const bool six : {false, true}) {
    Output output;
    output.destination = six ? v6(0xFF, 9) : v4(239, 200, 1, 2);
    output.source = six ? v6(0x20, 7) : v4(192, 0, 2, 7);
    output.port = 0xBEEF;
    output.dscp = 46;
    for (const size_t payload : {size_t{0}, size_t{1}, size_t{22}, size_t{1400}}) {
      const auto bytes =
          six ? udp(v6(0x20, 1), v6(0xFF, 1), 5001, payload) : udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, payload);
      REQUIRE(right(bytes));
      for (const bool compute : {false, true}) {
        const auto out = rewritten(bytes, &output, 9, compute);
        CHECK(right(out));
        const Packet packet = parsed(out);
        CHECK(packet.ttl() == 9);
        CHECK(packet.port == 0xBEEF);
        CHECK(address_of(packet.family, packet.destination()) == output.destination);
        CHECK(address_of(packet.family, packet.source()) == *output.source);
        if (six) {
          CHECK(((out[0] & 15) << 2 | out[1] >> 6) == 46);
          CHECK((out[1] & 0x3F) == 0x11);  // ECN and flow label are the sender's
          CHECK((out[2] == 0x23 && out[3] == 0x45));
        } else {
          CHECK(out[1] == (46 << 2 | 1));
          CHECK((out[4] == 0x12 && out[5] == 0x34));
        }
        CHECK(std::equal(bytes.begin() + static_cast<long>(bytes.size() - payload), bytes.end(),
                         out.begin() + static_cast<long>(out.size() - payload)));
      }
    }
  }
}

TEST_CASE(
    "a checksum that is absent stays absent, a wrong one stays wrong, one that comes to zero is written as ones") {
  Output output;
  output.destination = v4(239, 200, 1, 2);
  output.port = 6000;
  auto bytes = udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 100, 64, false);
  auto out = rewritten(bytes, &output, 63);
  CHECK((out[26] == 0 && out[27] == 0));
  bytes = udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 100);
  bytes[40] ^= 1;
  CHECK_FALSE(right(bytes));
  CHECK_FALSE(right(rewritten(bytes, &output, 63)));
  bool met = false;
  for (uint32_t port = 1; port < 65536; port++) {
    output.port = static_cast<uint16_t>(port);
    out = rewritten(udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 2), &output, 63);
    REQUIRE_FALSE((out[26] == 0 && out[27] == 0));
    met |= out[26] == 0xFF && out[27] == 0xFF;
  }
  CHECK(met);
}

TEST_CASE("without an output the packet is as it came, but for a checksum that was left to the network card") {
  auto bytes = udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 99);
  CHECK(rewritten(bytes, nullptr, 1) == bytes);
  auto partial = bytes;
  partial[26] = 0x12, partial[27] = 0x34;
  CHECK(rewritten(partial, nullptr, 1, true) == bytes);
}

TEST_CASE("a piece of a super-packet is a packet of its own") {
  const auto bytes = udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 2500);
  Packet packet;
  REQUIRE(parse(bytes.data(), static_cast<uint32_t>(bytes.size()), true, packet) == Packet::Form::Whole);
  Output output;
  output.destination = v4(239, 1, 1, 2);
  output.port = 7;
  for (uint32_t i = 0; i < 3; i++) {
    const uint32_t length = i < 2 ? 1000 : 500;
    std::vector<uint8_t> out(28 + length);
    REQUIRE(rewrite(out.data(), packet, {bytes.data() + 28 + i * 1000, length, i, false, true}, &output, 5) == 28);
    std::copy_n(bytes.begin() + 28 + i * 1000, length, out.begin() + 28);
    CHECK(right(out));
    CHECK(parsed(out).length == out.size());
    CHECK(be16(&out[4]) == 0x1234 + i);
  }
}

TEST_CASE("a packet that ends anywhere is told by its form, and nothing is read beyond its end") {
  using Form = Packet::Form;
  for (const auto& whole : {udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 4), udp(v6(0x20, 1), v6(0xFF, 1), 5001, 4)}) {
    for (size_t length = 0; length < whole.size(); length++) {
      const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(length));  // for the sanitizer
      Packet packet;
      CHECK(parse(cut.data(), static_cast<uint32_t>(length), false, packet) == Form::Malformed);
    }
  }
  auto bytes = udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 4);
  Packet packet;
  const auto form = [&] { return parse(bytes.data(), static_cast<uint32_t>(bytes.size()), false, packet); };
  bytes[6] = 0x20;
  CHECK(form() == Form::Fragment);
  bytes[6] = 0, bytes[7] = 1;
  CHECK(form() == Form::Fragment);
  bytes[6] = 0x40, bytes[7] = 0;  // "do not fragment" is no fragment
  CHECK(form() == Form::Whole);
  bytes[9] = 6;
  CHECK(form() == Form::Other);
  bytes[9] = 17, bytes[24] = 1;  // UDP's length is beyond the packet
  CHECK(form() == Form::Malformed);
  bytes[0] = 0x44;
  CHECK(form() == Form::Malformed);
  bytes.insert(bytes.end(), 18, 0);  // padding of a short frame is not part of it
  bytes[0] = 0x45, bytes[24] = 0;
  CHECK(form() == Form::Whole);
  CHECK(packet.length == bytes.size() - 18);

  auto six = udp(v6(0x20, 1), v6(0xFF, 1), 5001, 4);
  six.insert(six.begin() + 40, {17, 0, 5, 2, 0, 0, 1, 0});  // a router alert, hop by hop
  six[6] = 0, six[5] = static_cast<uint8_t>(six[5] + 8);
  REQUIRE(parse(six.data(), static_cast<uint32_t>(six.size()), false, packet) == Form::Whole);
  CHECK(packet.transport == 48);
  CHECK(packet.port == 5001);
  six[6] = 44;
  CHECK(parse(six.data(), static_cast<uint32_t>(six.size()), false, packet) == Form::Fragment);
}

TEST_CASE("a rule of a source is found before the one of any source; a group of sources alone refuses others") {
  RuleIndex index(42);
  index.add(wire_rule("any", v4(239, 1, 1, 1), 5001), 0);
  index.add(wire_rule("one", v4(239, 1, 1, 1), 5001, {v4(10, 0, 0, 2), v4(10, 0, 0, 3)}), 1);
  index.add(wire_rule("only", v4(239, 1, 1, 2), 5001, {v4(10, 0, 0, 2)}), 2);
  index.add(wire_rule("tagged", v4(239, 1, 1, 1), 5001, {}, 7), 3);
  const auto found = [&](const Address& from, const Address& to, uint16_t port, uint16_t vlan = 0) {
    const auto bytes = udp(from, to, port, 1);
    uint32_t number = 99;
    const auto match = index.find(parsed(bytes), vlan, number);
    return match == RuleIndex::Match::None ? -1 : match == RuleIndex::Match::Source ? -2 : static_cast<int>(number);
  };
  CHECK(found(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001) == 0);
  CHECK(found(v4(10, 0, 0, 3), v4(239, 1, 1, 1), 5001) == 1);
  CHECK(found(v4(10, 0, 0, 2), v4(239, 1, 1, 2), 5001) == 2);
  CHECK(found(v4(10, 0, 0, 1), v4(239, 1, 1, 2), 5001) == -2);
  CHECK(found(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 7) == 3);
  CHECK(found(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 8) == -1);
  CHECK(found(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5002) == -1);
  CHECK(index.concerns(4, v4(239, 1, 1, 2).bytes.data()));
  CHECK_FALSE(index.concerns(4, v4(239, 1, 1, 3).bytes.data()));
}

TEST_CASE("ten thousand rules are each found") {
  RuleIndex index(7);
  for (uint32_t i = 0; i < 10000; i++)
    index.add(wire_rule("r", v4(239, 1, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)), 5001), i);
  for (uint32_t i = 0; i < 10000; i++) {
    const auto bytes = udp(v4(10, 0, 0, 1), v4(239, 1, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)), 5001, 1);
    uint32_t number = 0;
    REQUIRE(index.find(parsed(bytes), 0, number) == RuleIndex::Match::Rule);
    REQUIRE(number == i);
  }
}

TEST_CASE("the bucket lets its burst through and then the rate; a storm is cut off for the rest of its second") {
  Rule rule;
  rule.limit_pps = 1000, rule.limit_burst = 10;
  Limiter limiter;
  relay_drop why{};
  uint64_t now = 1'700'000'000'000'000'000;
  int passed = 0;
  for (int i = 0; i < 100; i++) passed += limiter.admits(rule, now, why);
  CHECK(passed == 10);
  CHECK(why == RELAY_DROPPED_RATE);
  passed = 0;
  for (int i = 0; i < 10'000; i++)
    passed += limiter.admits(rule, now += 100'000, why);  // ten times the rate, for a second
  CHECK(passed >= 999);
  CHECK(passed <= 1001);

  Rule storm;
  storm.storm_pps = 50;
  Limiter other;
  now = 1'700'000'000'500'000'000;
  passed = 0;
  for (int i = 0; i < 100; i++) passed += other.admits(storm, now, why);
  CHECK(passed == 50);
  CHECK(why == RELAY_DROPPED_STORM);
  CHECK(other.admits(storm, now + 500'000'000, why));
}

TEST_CASE("what a tunnel wraps is recognised by who has its key, and by nobody else") {
  for (const bool six : {false, true}) {
    Output output;
    output.destination = six ? v6(0x20, 2) : v4(10, 1, 0, 2);
    output.source = six ? v6(0x20, 1) : v4(10, 1, 0, 1);
    output.tunnel = TunnelOutput{77, 5, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    const auto inner = udp(v4(10, 0, 0, 1), v4(239, 1, 1, 1), 5001, 100);
    const uint32_t around = overhead(output);
    std::vector<uint8_t> bytes(around + inner.size());
    std::copy(inner.begin(), inner.end(), bytes.begin() + around);
    wrap(bytes.data(), output, parsed(inner), static_cast<uint32_t>(inner.size()), 64, {3, 0x8002, 1234, 99});

    const Packet outer = parsed(bytes);
    CHECK(outer.length == bytes.size());
    CHECK(outer.port == HOP_PORT);
    CHECK(outer.ttl() == 64);
    if (!six) CHECK(plain_sum({bytes.begin(), bytes.begin() + 20}) == 0xFFFF);
    hop_header header;
    std::memcpy(&header, outer.ip + outer.transport + 8, sizeof header);
    CHECK(header.hops == 3);
    CHECK(hop_32(header.sequence) == 1234);
    CHECK(hop_32(header.path) == 77);

    TunnelInput tunnel{77, output.tunnel->key, {*output.source}};
    CHECK(known_peer(tunnel, outer));
    CHECK(right_tag(tunnel, header, parsed(inner)));
    auto changed = header;
    changed.sequence++;
    CHECK_FALSE(right_tag(tunnel, changed, parsed(inner)));
    auto elsewhere = inner;
    elsewhere[19] ^= 1;
    CHECK_FALSE(right_tag(tunnel, header, parsed(elsewhere)));
    tunnel.key[15] ^= 1;
    CHECK_FALSE(right_tag(tunnel, header, parsed(inner)));
    tunnel.peers = {v4(10, 1, 0, 9)};
    CHECK_FALSE(known_peer(tunnel, outer));
  }
}

TEST_CASE("a table comes back from its file as it was; one that is cut off or changed anywhere is refused") {
  Table table;
  table.generation = 9;
  table.ifindex = 2;
  table.own_addresses = {v4(10, 0, 0, 1), v6(0xFE, 1)};
  table.tunnel_addresses = {v4(10, 0, 0, 1)};
  Rule tunnel;
  tunnel.id = "tunnel";
  tunnel.input = TunnelInput{5, {1, 2, 3}, {v4(10, 0, 0, 3)}};
  SlottedRule one{wire_rule("first", v4(239, 1, 1, 1), 5001, {v4(10, 0, 0, 2)}), 3, {8}};
  one.rule.outputs[0].ttl = 4;
  one.rule.outputs[0].tunnel = TunnelOutput{6, 7, {9}};
  table.rules = {one, {tunnel, 4, {}}};
  const std::vector<uint8_t> bytes = write_table(table);
  Table read;
  REQUIRE(read_table(bytes, read).empty());
  CHECK(write_table(read) == bytes);
  CHECK(read.rules[0].rule.outputs[0].tunnel->epoch == 7);
  for (size_t length = 0; length < bytes.size(); length++) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<long>(length));
    Table out;
    REQUIRE_FALSE(read_table(cut, out).empty());
    auto changed = bytes;
    changed[length] ^= 0x40;
    REQUIRE_FALSE(read_table(changed, out).empty());
  }
}

TEST_CASE(
    "counters keep their slots through changes and restarts; one that was freed is not given out while it is used") {
  Folder folder;
  uint32_t kept;
  {
    Control control;
    REQUIRE(control.open(folder.path, 2, 8, 8).empty());
    REQUIRE(control.apply({wire_rule("a", v4(239, 1, 1, 1), 1), wire_rule("b", v4(239, 1, 1, 1), 2)}, {}, {}).empty());
    CHECK(control.table().generation == 1);
    REQUIRE(control.apply({wire_rule("a", v4(239, 1, 1, 1), 1), wire_rule("b", v4(239, 1, 1, 1), 2)}, {}, {}).empty());
    CHECK(control.table().generation == 1);  // nothing changed
    kept = slot_of(control, "b");
    control.file().rule(kept).matched.set(42);
    REQUIRE(control.apply({wire_rule("b", v4(239, 1, 1, 1), 3)}, {}, {}).empty());
    CHECK(slot_of(control, "b") == kept);
  }
  Control control;
  REQUIRE(control.open(folder.path, 2, 8, 8).empty());
  CHECK(control.table().generation == 2);
  CHECK(slot_of(control, "b") == kept);
  CHECK(control.file().rule(kept).matched.get() == 42);

  std::vector<Rule> many;
  for (int i = 0; i < 9; i++)
    many.push_back(wire_rule("m" + std::to_string(i), v4(239, 1, 1, 1), static_cast<uint16_t>(i)));
  CHECK_FALSE(control.apply(many, {}, {}).empty());
  CHECK(control.table().generation == 2);  // all or nothing
  CHECK(slot_of(control, "b") == kept);
  many.resize(7);
  many.push_back(wire_rule("b", v4(239, 1, 1, 1), 99));
  REQUIRE(control.apply(many, {}, {}).empty());
  CHECK(control.file().rule(kept).matched.get() == 42);
  CHECK_FALSE(
      control.apply({wire_rule("b", v4(239, 1, 1, 1), 1), wire_rule("b", v4(239, 1, 1, 1), 2)}, {}, {}).empty());
}

TEST_CASE("a slot is given out again only when the worker uses a table without it, and then counts from zero") {
  Slots slots;
  slots.limit(1);
  CHECK(slots.take("a", 0) == 0);
  slots.keep({}, 5);
  CHECK(slots.take("b", 4) == Slots::kNone);
  CHECK(slots.take("b", 5) == 0);
}

TEST_CASE("memberships are read from a line and written as one; what is no group is refused") {
  for (const char* line : {"3 ef010101 *", "12 ef010101 0a000001", "7 ff050000000000000000000000000001 *",
                           "7 ff3e0000000000000000000000000001 20010db8000000000000000000000001"}) {
    const auto read = read_membership(line);
    REQUIRE(read);
    CHECK(text_of(*read) == line);
  }
  for (const char* line :
       {"", "3", "3 ef010101", "0 ef010101 *", "x ef010101 *", "3 0a000001 *", "3 ef0101 *", "3 ef01010g *",
        "3 ef010101 20010db8000000000000000000000001", "-3 ef010101 *", "3 ef010101 ** "})
    CHECK_FALSE(read_membership(line));
}
