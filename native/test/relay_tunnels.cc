// Both ends of a hop tunnel in the kernel: what one end makes, the other takes, and nothing else.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "generated/relay_reasons.h"
#include "relay/figures.h"
#include "relay/hop_header.h"
#include "relay_frames.h"

using namespace relay_test;
using namespace tapline::relay;

namespace {

constexpr uint32_t kPath = 77, kEpoch = 1'000'000'007;
const PathKey kKey{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct Kind {
  Engine engine;
  const char* program;
  uint32_t port;
  int sent, dropped;
};
const Kind kXdp{Engine::Xdp, "relay_xdp", RELAY_XDP, XDP_REDIRECT, XDP_DROP};
const Kind kTc{Engine::Tc, "relay_tc", RELAY_TC, TC_ACT_REDIRECT, TC_ACT_SHOT};

/// From the wire into the tunnel.
Rule sender(Engine engine, const Address& from, const Address& to) {
  Rule out = rule(engine, "sender");
  out.outputs[0].destination = to;
  out.outputs[0].source = from;
  out.outputs[0].port = HOP_PORT;
  out.outputs[0].destination_mac = {2, 0, 0, 0, 0, 9};
  out.outputs[0].mtu = 9000;
  out.outputs[0].tunnel = TunnelOutput{kPath, kEpoch, kKey};
  return out;
}

/// From the tunnel to the wire.
Rule receiver(Engine engine, const Address& peer) {
  Rule out = rule(engine, "receiver");
  out.input = TunnelInput{kPath, kKey, {ip(192, 0, 2, 250), peer}};
  return out;
}

Plan plan_of(const Kind& kind, const std::vector<Rule>& rules, const Address& here) {
  Plan plan;
  plan.rules = rules;
  plan.tunnel_ports = {{Bench::kLoopback, kind.engine, {here}}};
  return plan;
}

const Address kNear4 = ip(192, 0, 2, 1), kFar4 = ip(192, 0, 2, 2), kNear6 = ip6(0x2001, 1), kFar6 = ip6(0x2001, 2);

size_t hop_at(bool ipv6) { return 14 + (ipv6 ? 40 : 20) + 8; }
hop_header hop_of(const Bytes& wrapped, bool ipv6 = false) {
  hop_header hop;
  std::memcpy(&hop, wrapped.data() + hop_at(ipv6), sizeof hop);
  return hop;
}
template <class Change>
void change(Bytes& wrapped, Change&& how) {
  hop_header hop = hop_of(wrapped);
  how(hop);
  std::memcpy(wrapped.data() + hop_at(false), &hop, sizeof hop);
}
/// As its sender would have signed it.
void sign(Bytes& wrapped, const PathKey& key = kKey) {
  const hop_header hop = hop_of(wrapped);
  __u64 words[2], addresses[4] = {}, head[3];
  std::memcpy(words, key.data(), 16);
  std::memcpy(head, &hop, 24);
  std::memcpy(addresses, wrapped.data() + hop_at(false) + sizeof hop + 12, 8);
  change(wrapped, [&](hop_header& signed_hop) { signed_hop.tag = hop_tag(words, head, addresses, 0); });
}

void check_same(const Bytes& got, const Bytes& wanted) {
  INFO("got\n" << hex(got) << "\nwanted\n" << hex(wanted));
  CHECK((got == wanted));
}

}  // namespace

TEST_CASE("what goes into a tunnel comes out of it, whichever engine is at its ends") {
  const Kind in = GENERATE(kXdp, kTc), out = GENERATE(kXdp, kTc);
  const bool outer6 = GENERATE(false, true), inner6 = GENERATE(false, true);
  if ((outer6 || inner6) && (in.port == RELAY_XDP || out.port == RELAY_XDP)) return;
  const Address near = outer6 ? kNear6 : kNear4, far = outer6 ? kFar6 : kFar4;
  Bench a, b;
  Rule first = sender(in.engine, near, far), second = receiver(out.engine, near);
  Frame f;
  Frame wanted = relayed(f);
  if (inner6) {
    std::get<WireInput>(first.input).destination = f.destination = ip6(0xff15, 1);
    f.source = wanted.source = ip6(0x2001, 9);
    second.outputs[0].destination = wanted.destination = ip6(0xff15, 2);
  }
  size_t padding = 0;
  SECTION("100 bytes") {}
  SECTION("an odd number") { f.payload = wanted.payload = Bytes(57, 3); }
  SECTION("a short frame: its padding stays behind") { f.payload = wanted.payload = Bytes(4, 3), padding = 20; }
  SECTION("1472 bytes") { f.payload = wanted.payload = Bytes(inner6 ? 1400 : 1472, 3); }
  f.padding = padding;
  a.apply(plan_of(in, {first}, near));
  b.apply(plan_of(out, {second}, far));
  Bytes received = frame(f);
  const Ran wrapped = run(a, in.program, received);
  REQUIRE(wrapped.verdict == in.sent);
  f.padding = 0;
  const Bytes inner = packet(f);
  const size_t overhead = outer6 ? HOP_OVERHEAD_IPV6 : HOP_OVERHEAD_IPV4;
  if (padding == 0) REQUIRE(wrapped.frame.size() == 14 + overhead + inner.size());
  check_same(Bytes(wrapped.frame.begin() + static_cast<long>(14 + overhead),
                   wrapped.frame.begin() + static_cast<long>(14 + overhead + inner.size())),
             inner);
  Bytes outer = wrapped.frame;
  const hop_header hop = hop_of(outer, outer6);
  CHECK(hop.version == 1);
  CHECK(hop.hops == 1);
  CHECK(hop_32(hop.path) == kPath);
  CHECK(hop_32(hop.epoch) == kEpoch);
  // The outer headers are those of an ordinary UDP packet.
  Frame ordinary;
  ordinary.to = {2, 0, 0, 0, 0, 9};
  ordinary.from = {2, 0, 0, 0, 0, 1};
  ordinary.source = near;
  ordinary.destination = far;
  ordinary.ttl = 64;
  ordinary.id = 0;
  ordinary.source_port = hop_source_port(kPath, hop_16(hop.stream));
  ordinary.port = HOP_PORT;
  ordinary.check = Check::None;
  ordinary.payload = Bytes(outer.begin() + static_cast<long>(14 + overhead - HOP_HEADER_BYTES),
                           outer.begin() + static_cast<long>(14 + overhead + inner.size()));
  Bytes expected = frame(ordinary);
  if (outer6) expected[16] = expected[17] = outer[16] = outer[17] = 0;  // the flow label
  outer.resize(expected.size());
  check_same(outer, expected);
  const Ran back = run(b, out.program, wrapped.frame);
  CHECK(back.verdict == out.sent);
  Bytes got = back.frame;
  if (padding != 0) got.resize(got.size() - (got.size() - frame(wanted).size()));
  check_same(got, frame(wanted));
  CHECK(port_counts(b, out.port).matched == 1);
  CHECK(residue(port_counts(b, out.port)) == 0);
  const Figures figures = read_figures(b.programs.maps(), b.tables, {}, Bench::now(), 0);
  REQUIRE(figures.hops.size() == 1);
  CHECK(figures.hops[0].stream.path == kPath);
  CHECK(figures.hops[0].window.unique == 1);
}

TEST_CASE("a tunnel numbers its packets one by one, and the far end misses those that were lost") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench a, b;
  a.apply(plan_of(kind, {sender(kind.engine, kNear4, kFar4)}, kNear4));
  b.apply(plan_of(kind, {receiver(kind.engine, kNear4)}, kFar4));
  uint32_t arrived = 0;
  std::set<uint32_t> streams;
  for (int i = 0; i < 60; i++) {
    Ran wrapped = run(a, kind.program, frame(Frame{}));
    streams.insert(hop_of(wrapped.frame).stream);
    if (i % 5 == 3) continue;
    CHECK(run(b, kind.program, wrapped.frame).verdict == kind.sent);
    arrived++;
    if (i % 10 == 0) CHECK(run(b, kind.program, wrapped.frame).verdict == kind.dropped);
  }
  uint64_t unique = 0, missing = 0, duplicate = 0;
  for (const HopFigures& hop : read_figures(b.programs.maps(), b.tables, {}, Bench::now(), 0).hops) {
    unique += hop.window.unique;
    missing += hop.window.lost + hop_window_pending(&hop.window);
    duplicate += hop.window.duplicate;
  }
  CHECK(unique == arrived);
  CHECK(duplicate == 6);
  if (streams.size() == 1) CHECK(missing == 12);
  CHECK(port_counts(b, kind.port).refused[RELAY_REFUSED_REPLAY] == 6);
  CHECK(residue(port_counts(b, kind.port)) == 0);
}

TEST_CASE("a tunnel packet that is not right ends here, and is counted under its reason") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench a, b;
  a.apply(plan_of(kind, {sender(kind.engine, kNear4, kFar4)}, kNear4));
  Bytes in = run(a, kind.program, frame(Frame{})).frame;
  Plan plan = plan_of(kind, {receiver(kind.engine, kNear4)}, kFar4);
  uint32_t reason = RELAY_REFUSED_TAG;
  bool known = true;
  SECTION("a wrong tag") {
    change(in, [](hop_header& hop) { hop.tag ^= 1; });
  }
  SECTION("a changed time") {
    change(in, [](hop_header& hop) { hop.origin_ns ^= 1; });
  }
  SECTION("a changed inner source") { in[14 + 60 + 15] ^= 1; }
  SECTION("another key") { sign(in, PathKey{9}); }
  SECTION("another version") {
    change(in, [](hop_header& hop) { hop.version = 2; });
    sign(in), reason = RELAY_REFUSED_VERSION, known = false;
  }
  SECTION("an unknown path") {
    change(in, [](hop_header& hop) { hop.path = hop_32(78); });
    sign(in), reason = RELAY_REFUSED_UNKNOWN_PATH, known = false;
  }
  SECTION("through 16 tunnels") {
    change(in, [](hop_header& hop) { hop.hops = 16; });
    sign(in), reason = RELAY_REFUSED_HOP_LIMIT;
  }
  SECTION("a stranger") { in[14 + 15] ^= 1, reason = RELAY_REFUSED_STRANGER; }
  SECTION("cut off") {
    in.resize(14 + 28 + 20);
    in[16] = 0, in[17] = 48, in[14 + 24] = 0, in[14 + 25] = 28;
    reason = RELAY_REFUSED_MALFORMED, known = false;
  }
  SECTION("an own address inside") { plan.own_addresses = {Frame{}.source}, reason = RELAY_REFUSED_LOOP; }
  SECTION("no TTL left inside") {
    in[14 + 60 + 8] = 1;
    reason = RELAY_REFUSED_TTL;
  }
  b.apply(plan);
  CHECK(run(b, kind.program, in).verdict == kind.dropped);
  const relay_port_counts counts = port_counts(b, kind.port);
  CHECK(counts.refused[reason] == 1);
  CHECK(counts.received == 1);
  CHECK(residue(counts) == 0);
  CHECK(rule_counts(b, "receiver").refused[reason] == (known ? 1 : 0));
}

TEST_CASE("packets to the tunnel's port at an address that is not the tunnel's pass") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench b;
  b.apply(plan_of(kind, {receiver(kind.engine, kNear4)}, kFar4));
  Frame in;
  in.destination = ip(192, 0, 2, 3);
  in.port = HOP_PORT;
  CHECK(run(b, kind.program, frame(in)).verdict == (kind.port == RELAY_XDP ? XDP_PASS : TC_ACT_UNSPEC));
}

TEST_CASE("a tunnel through a tunnel counts its hops, and the sixteenth is refused") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench a, b;
  a.apply(plan_of(kind, {sender(kind.engine, kNear4, kFar4)}, kNear4));
  // b sends what comes from the tunnel into the same tunnel, to itself.
  Rule loop = receiver(kind.engine, kNear4);
  loop.outputs = sender(kind.engine, kNear4, kFar4).outputs;
  loop.outputs[0].tunnel->epoch++;
  b.apply(plan_of(kind, {loop}, kFar4));
  Bytes going = run(a, kind.program, frame(Frame{})).frame;
  int hops = 0;
  for (Ran ran; hops < 30; hops++, going = ran.frame) {
    ran = run(b, kind.program, going);
    if (ran.verdict != kind.sent) break;
  }
  CHECK(hops == 15);
  CHECK(port_counts(b, kind.port).refused[RELAY_REFUSED_HOP_LIMIT] == 1);
}

TEST_CASE("a packet that the tunnel makes too large is dropped for its size") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench a;
  Rule first = sender(kind.engine, kNear4, kFar4);
  Frame f;
  first.outputs[0].mtu = static_cast<uint16_t>(packet(f).size() + HOP_OVERHEAD_IPV4 - 1);
  a.apply(plan_of(kind, {first}, kNear4));
  CHECK(run(a, kind.program, frame(f)).verdict == kind.dropped);
  CHECK(output_counts(a, "sender", "out").dropped[RELAY_DROPPED_MTU] == 1);
  first.outputs[0].mtu++;
  a.apply(plan_of(kind, {first}, kNear4));
  CHECK(run(a, kind.program, frame(f)).verdict == kind.sent);
}
