// The kernel's engines, one packet at a time, in the kernel: each frame that leaves is compared with one built from
// nothing.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include "generated/relay_reasons.h"
#include "relay_frames.h"

using namespace relay_test;
using namespace tapline::relay;

namespace {

struct Kind {
  Engine engine;
  const char* program;
  uint32_t port;
  int sent, passed, dropped;
};
const Kind kXdp{Engine::Xdp, "relay_xdp", RELAY_XDP, XDP_REDIRECT, XDP_PASS, XDP_DROP};
const Kind kTc{Engine::Tc, "relay_tc", RELAY_TC, TC_ACT_REDIRECT, TC_ACT_UNSPEC, TC_ACT_SHOT};

Plan plan_of(const Rule& one) {
  Plan plan;
  plan.rules = {one};
  return plan;
}
WireInput& wire(Rule& one) { return std::get<WireInput>(one.input); }

void check_same(const Bytes& got, const Bytes& wanted) {
  INFO("got\n" << hex(got) << "\nwanted\n" << hex(wanted));
  CHECK((got == wanted));
}

}  // namespace

TEST_CASE("a relayed frame is the frame that the output would have sent, byte for byte") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench bench;
  Rule one = rule(kind.engine);
  Frame in;
  Frame out = relayed(in);
  SECTION("another group and port") {}
  SECTION("an odd number of bytes") { in.payload = out.payload = Bytes(33, 7); }
  SECTION("no checksum stays none") { in.check = out.check = Check::None; }
  SECTION("TTL and DSCP are set; the congestion bits stay") {
    one.outputs[0].ttl = 64;
    one.outputs[0].dscp = 46;
    out.ttl = 64;
    out.tos = 46 << 2 | (in.tos & 3);
    in.ttl = 1;
  }
  SECTION("the source address is set") {
    one.outputs[0].source = ip(192, 0, 2, 200);
    out.source = ip(192, 0, 2, 200);
  }
  SECTION("to one address") {
    one.outputs[0].destination = out.destination = ip(198, 51, 100, 7);
    one.outputs[0].destination_mac = out.to = {6, 5, 4, 3, 2, 1};
  }
  SECTION("IP options stay") { in.options = out.options = Bytes{0x94, 4, 0, 0}; }
  SECTION("the same group and port") {
    one.outputs[0].destination = out.destination = in.destination;
    one.outputs[0].port = out.port = in.port;
  }
  SECTION("ESP is not looked into") {
    wire(one).protocol = Carried::Esp;
    wire(one).port = one.outputs[0].port = 0;
    in.protocol = out.protocol = 50;
  }
  bench.apply(plan_of(one));
  const Ran ran = run(bench, kind.program, frame(in));
  CHECK(ran.verdict == kind.sent);
  check_same(ran.frame, frame(out));
  CHECK(port_counts(bench, kind.port).matched == 1);
  CHECK(output_counts(bench, "one", "out").wanted == 1);
  CHECK(rule_counts(bench, "one").bytes == packet(in).size());
}

TEST_CASE("a checksum that nobody completed yet is right afterwards") {
  Frame in;
  in.check = Check::Partial;
  Frame out = relayed(in);
  SECTION("xdp: IPv4 needs none") {
    Bench bench;
    bench.apply(plan_of(rule(Engine::Xdp)));
    out.check = Check::None;
    check_same(run(bench, "relay_xdp", frame(in)).frame, frame(out));
  }
}

TEST_CASE("IPv6 goes by tc, with its full checksum") {
  Bench bench;
  Rule one = rule(Engine::Tc);
  wire(one).destination = ip6(0xff15, 1);
  one.outputs[0].destination = ip6(0xff15, 2);
  Frame in;
  in.source = ip6(0x2001, 9);
  in.destination = ip6(0xff15, 1);
  Frame out = relayed(in);
  out.destination = ip6(0xff15, 2);
  SECTION("as it is") {}
  SECTION("with source, hop limit and DSCP") {
    one.outputs[0].source = out.source = ip6(0x2001, 0xabcd);
    one.outputs[0].ttl = out.ttl = 99;
    one.outputs[0].dscp = 10;
    out.tos = 10 << 2 | (in.tos & 3);
  }
  bench.apply(plan_of(one));
  const Ran ran = run(bench, "relay_tc", frame(in));
  CHECK(ran.verdict == TC_ACT_REDIRECT);
  check_same(ran.frame, frame(out));
  CHECK(bench
            .try_apply(plan_of([&] {
              Rule other = one;
              other.engine = Engine::Xdp;
              return other;
            }()))
            .code == std::string("RELAY_BAD_PLAN"));
}

TEST_CASE("a VLAN's rule takes that VLAN only, and its packets leave untagged") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench bench;
  Rule one = rule(kind.engine);
  wire(one).vlan = 7;
  bench.apply(plan_of(one));
  Frame in;
  CHECK(run(bench, kind.program, frame(in)).verdict == kind.passed);
  in.vlan = 8;
  CHECK(run(bench, kind.program, frame(in)).verdict == kind.passed);
  in.vlan = 7 | 0x6000;  // with a priority
  // BPF_PROG_TEST_RUN gives tc frames whose tag is still in the frame, which no interface does.
  if (kind.port == RELAY_XDP) {
    const Ran ran = run(bench, kind.program, frame(in));
    CHECK(ran.verdict == kind.sent);
    check_same(ran.frame, frame(relayed(in)));
  }
}

TEST_CASE("what no rule asks for passes untouched") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench bench;
  bench.apply(plan_of(rule(kind.engine)));
  Frame in;
  SECTION("another group") { in.destination = ip(239, 1, 1, 2); }
  SECTION("another port") { in.port = 5002; }
  SECTION("TCP") { in.protocol = 6; }
  SECTION("ESP") { in.protocol = 50; }
  SECTION("IPv6") { in.source = ip6(0x2001, 9), in.destination = ip6(0xff15, 1); }
  SECTION("UDP port 0") { in.port = 0; }
  const Bytes bytes = frame(in);
  const Ran ran = run(bench, kind.program, bytes);
  CHECK(ran.verdict == kind.passed);
  check_same(ran.frame, bytes);
  const relay_port_counts counts = port_counts(bench, kind.port);
  CHECK(counts.received == 1);
  CHECK(counts.passed == 1);
  CHECK(counts.bytes == bytes.size());
}

TEST_CASE("a packet that a rule refuses goes on untouched, and is counted under its reason") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench bench;
  Rule one = rule(kind.engine);
  Plan plan;
  plan.own_addresses = {ip(10, 0, 0, 1)};
  Frame in;
  uint32_t reason = 0;
  bool of_rule = true;
  SECTION("TTL") { in.ttl = 1, reason = RELAY_REFUSED_TTL; }
  SECTION("TTL 0") { in.ttl = 0, reason = RELAY_REFUSED_TTL; }
  SECTION("own address") { in.source = ip(10, 0, 0, 1), reason = RELAY_REFUSED_LOOP; }
  SECTION("first fragment") { in.fragment = 0x2000, reason = RELAY_REFUSED_FRAGMENT; }
  SECTION("later fragment") { in.fragment = 0x0010, in.port = 99, reason = RELAY_REFUSED_FRAGMENT; }
  SECTION("longer than the frame") { in.length_lie = 4, reason = RELAY_REFUSED_MALFORMED; }
  SECTION("too short for UDP") { in.length_lie = -105, reason = RELAY_REFUSED_MALFORMED; }
  SECTION("UDP longer than the packet") { in.udp_lie = 1, reason = RELAY_REFUSED_MALFORMED; }
  SECTION("source") { wire(one).sources = {ip(10, 9, 9, 9)}, reason = RELAY_REFUSED_SOURCE, of_rule = false; }
  SECTION("orphaned") {
    bench.settings[0].orphan_after_ns = 1'000'000;
    bench.settings[0].heartbeat_ns = Bench::now() - 100'000'000;
    reason = RELAY_REFUSED_ORPHANED;
  }
  plan.rules = {one};
  bench.apply(plan);
  const Bytes bytes = frame(in);
  const Ran ran = run(bench, kind.program, bytes);
  CHECK(ran.verdict == kind.passed);
  check_same(ran.frame, bytes);
  const relay_port_counts counts = port_counts(bench, kind.port);
  CHECK(counts.refused[reason] == 1);
  CHECK(counts.received == 1);
  CHECK(residue(counts) == 0);
  CHECK(rule_counts(bench, "one").refused[reason] == (of_rule ? 1 : 0));
  CHECK(output_counts(bench, "one", "out").wanted == 0);
}

TEST_CASE("a packet that an output does not send is dropped under its reason") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench bench;
  Rule one = rule(kind.engine);
  Frame in;
  uint32_t reason = 0, packets = 1;
  SECTION("MTU") { in.payload.resize(1473), reason = RELAY_DROPPED_MTU; }
  SECTION("no route") { one.outputs[0].unready = Unready::NoRoute, reason = RELAY_DROPPED_NO_ROUTE; }
  SECTION("no neighbour") { one.outputs[0].unready = Unready::NoNeighbour, reason = RELAY_DROPPED_NO_NEIGHBOUR; }
  SECTION("interface") { one.outputs[0].unready = Unready::Interface, reason = RELAY_DROPPED_INTERFACE; }
  SECTION("rate") { one.limit_pps = 1, one.limit_burst = 2, packets = 3, reason = RELAY_DROPPED_RATE; }
  SECTION("storm") { one.storm_pps = 2, packets = 3, reason = RELAY_DROPPED_STORM; }
  bench.apply(plan_of(one));
  Ran ran;
  for (uint32_t i = 0; i < packets; i++) ran = run(bench, kind.program, frame(in));
  CHECK(ran.verdict == kind.dropped);
  const relay_output_counts counts = output_counts(bench, "one", "out");
  CHECK(counts.wanted == packets);
  CHECK(counts.dropped[reason] == 1);
  CHECK(residue(port_counts(bench, kind.port)) == 0);
}

TEST_CASE("1472 bytes fit an MTU of 1500") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench bench;
  bench.apply(plan_of(rule(kind.engine)));
  Frame in;
  in.payload.resize(1472);
  const Ran ran = run(bench, kind.program, frame(in));
  CHECK(ran.verdict == kind.sent);
  check_same(ran.frame, frame(relayed(in)));
}

TEST_CASE("two sources of one group are two rules; a third is refused, or taken by the rule for any") {
  const Kind kind = GENERATE(kXdp, kTc);
  Bench bench;
  Plan plan;
  for (const uint8_t last : {1, 2}) {
    Rule one = rule(kind.engine, last == 1 ? "first" : "second");
    wire(one).sources = {ip(10, 0, 0, last)};
    one.outputs[0].port = 7000 + last;
    plan.rules.push_back(one);
  }
  const bool any = GENERATE(false, true);
  if (any) plan.rules.push_back(rule(kind.engine, "any"));
  bench.apply(plan);
  for (const uint8_t last : {1, 2, 3}) {
    Frame in;
    in.source = ip(10, 0, 0, last);
    const Ran ran = run(bench, kind.program, frame(in));
    if (last == 3 && !any) {
      CHECK(ran.verdict == kind.passed);
      continue;
    }
    CHECK(ran.verdict == kind.sent);
    Frame out = relayed(in);
    if (last < 3) out.port = 7000 + last;
    check_same(ran.frame, frame(out));
  }
  CHECK(port_counts(bench, kind.port).refused[RELAY_REFUSED_SOURCE] == (any ? 0 : 1));
}

TEST_CASE("a super-packet counts as what it will be cut into") {
  Bench bench;
  bench.apply(plan_of(rule(Engine::Tc)));
  Frame in;
  in.payload.resize(1600);
  const Ran ran = run(bench, "relay_tc", frame(in), 4, 400);
  CHECK(ran.verdict == TC_ACT_SHOT);  // a clone was sent: its verdict is of all segments
  CHECK(port_counts(bench, RELAY_TC).matched == 4);
  CHECK(output_counts(bench, "one", "out").wanted == 4);
  CHECK(rule_counts(bench, "one").bytes == 4 * 28 + 1600);
}

TEST_CASE("the node's own subscribers get the packet as it came") {
  Bench bench;
  Rule one = rule(Engine::Tc);
  one.deliver_local = true;
  one.outputs[0].ttl = 77;
  one.outputs[0].dscp = 1;
  one.outputs[0].source = ip(10, 1, 2, 3);
  bench.apply(plan_of(one));
  const Bytes in = frame(Frame{});
  const Ran ran = run(bench, "relay_tc", in);
  CHECK(ran.verdict == TC_ACT_UNSPEC);
  check_same(ran.frame, in);
  CHECK(output_counts(bench, "one", "out").wanted == 1);
}
