// Changing rules: what is written, what is left alone, and when what nobody uses is freed.
#include <linux/bpf.h>

#include "generated/relay_reasons.h"
#include "relay_frames.h"

using namespace relay_test;
using namespace tapline::relay;

namespace {

/// Rules on groups of their own.
std::vector<Rule> some_rules(size_t count, const std::string& prefix = "r") {
  std::vector<Rule> out;
  for (size_t i = 0; i < count; i++) {
    Rule one = rule(Engine::Xdp, (prefix + std::to_string(i)).c_str());
    std::get<WireInput>(one.input).destination = ip(239, 7, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i));
    out.push_back(one);
  }
  return out;
}

Plan plan_of(std::vector<Rule> rules) {
  Plan plan;
  plan.rules = std::move(rules);
  return plan;
}

Ran send(Bench& bench, size_t rule_number) {
  Frame f;
  f.destination = ip(239, 7, static_cast<uint8_t>(rule_number >> 8), static_cast<uint8_t>(rule_number));
  return run(bench, "relay_xdp", frame(f));
}

}  // namespace

TEST_CASE("a plan applied again touches nothing; a changed rule is the only one written") {
  Bench bench;
  std::vector<Rule> rules = some_rules(10);
  bench.apply(plan_of(rules));
  CHECK(bench.changes.rules_written == 10);
  bench.apply(plan_of(rules));
  CHECK(bench.changes.rules_written == 0);
  CHECK(bench.changes.rules_kept == 10);
  CHECK(send(bench, 3).verdict == XDP_REDIRECT);
  rules[3].outputs[0].port = 9999;
  bench.apply(plan_of(rules));
  CHECK(bench.changes.rules_written == 1);
  const Ran ran = send(bench, 3);
  CHECK((ran.frame[36] << 8 | ran.frame[37]) == 9999);
  CHECK(rule_counts(bench, "r3").matched == 2);  // the counters stay
}

TEST_CASE("a removed rule takes no packet any more; its counters start again when it comes back later") {
  Bench bench;
  bench.apply(plan_of(some_rules(3)));
  CHECK(send(bench, 2).verdict == XDP_REDIRECT);
  bench.apply(plan_of(some_rules(2)));
  CHECK(bench.changes.rules_removed == 1);
  CHECK(send(bench, 2).verdict == XDP_PASS);
  CHECK(send(bench, 1).verdict == XDP_REDIRECT);
  SECTION("at once: its numbers go on") {
    bench.apply(plan_of(some_rules(3)));
    CHECK(rule_counts(bench, "r2").matched == 1);
  }
  SECTION("after a second: from nothing") {
    bench.tables.collect(Bench::now() + 1'100'000'000);
    CHECK_FALSE(bench.tables.rules().find(digest_of("rule", "r2")));
    bench.apply(plan_of(some_rules(3)));
    CHECK(rule_counts(bench, "r2").matched == 0);
  }
  CHECK(send(bench, 2).verdict == XDP_REDIRECT);
}

TEST_CASE("a thousand changes leave no place behind that is not free") {
  Bench bench;
  std::vector<Rule> rules = some_rules(40);
  for (uint32_t i = 0; i < 1000; i++) {
    rules[i % 40].outputs[0].port = static_cast<uint16_t>(1 + i);
    auto status = bench.try_apply(plan_of(rules));
    // Freed after a second of the caller's clock.
    if (!status.ok()) {
      bench.tables.collect(Bench::now() + 1'100'000'000);
      status = bench.try_apply(plan_of(rules));
    }
    REQUIRE(status.ok());
  }
  for (size_t i = 0; i < 40; i++) CHECK(send(bench, i).verdict == XDP_REDIRECT);
}

TEST_CASE("a group goes from one rule to another in one step") {
  Bench bench;
  bench.apply(plan_of(some_rules(1, "old")));
  CHECK(send(bench, 0).verdict == XDP_REDIRECT);
  bench.apply(plan_of(some_rules(1, "new")));
  CHECK(send(bench, 0).verdict == XDP_REDIRECT);
  CHECK(rule_counts(bench, "new0").matched == 1);
  bench.tables.collect(Bench::now() + 1'100'000'000);
  CHECK(send(bench, 0).verdict == XDP_REDIRECT);
}

TEST_CASE("one output's counters stay while others come and go") {
  Bench bench;
  Rule one = rule(Engine::Tc);
  one.outputs.push_back(one.outputs[0]);
  one.outputs[1].id = "second";
  Plan plan = plan_of({one});
  bench.apply(plan);
  run(bench, "relay_tc", frame(Frame{}));
  one.outputs.erase(one.outputs.begin());
  bench.apply(plan_of({one}));
  run(bench, "relay_tc", frame(Frame{}));
  CHECK(output_counts(bench, "one", "second").wanted == 2);
}

TEST_CASE("more than there is room for changes nothing; a plan that replaces all goes in two steps") {
  Bench bench;  // room for 64 rules and a reserve
  const std::vector<Rule> first = some_rules(64, "a");
  bench.apply(plan_of(first));
  const Status full = bench.try_apply(plan_of(some_rules(1000, "b")));
  CHECK(full.code == std::string("RELAY_FULL"));
  CHECK(send(bench, 5).verdict == XDP_REDIRECT);
  CHECK(rule_counts(bench, "a5").matched == 1);
  const std::vector<Rule> second = some_rules(120, "b");
  CHECK(bench.try_apply(plan_of(second)).code == std::string("RELAY_ROOM"));
  CHECK(send(bench, 5).verdict == XDP_PASS);
  bench.tables.collect(Bench::now() + 1'100'000'000);
  bench.apply(plan_of(second));
  CHECK(send(bench, 5).verdict == XDP_REDIRECT);
}

TEST_CASE("a plan that contradicts itself changes nothing") {
  Bench bench;
  bench.apply(plan_of(some_rules(2)));
  std::vector<Rule> bad = some_rules(3);
  SECTION("two rules for the same packets") { std::get<WireInput>(bad[2].input) = std::get<WireInput>(bad[1].input); }
  SECTION("a rule twice") { bad[2].id = bad[1].id; }
  SECTION("an output twice") {
    bad[2].engine = Engine::Tc;
    bad[2].outputs.push_back(bad[2].outputs[0]);
  }
  SECTION("no output") { bad[2].outputs.clear(); }
  SECTION("two outputs by xdp") {
    bad[2].outputs.push_back(bad[2].outputs[0]);
    bad[2].outputs[1].id = "other";
  }
  SECTION("a tunnel without a source") { bad[2].outputs[0].tunnel = TunnelOutput{}; }
  SECTION("another family") {
    bad[2].engine = Engine::Tc;
    bad[2].outputs[0].destination = ip6(0xff15, 1);
  }
  SECTION("UDP without a port") { std::get<WireInput>(bad[2].input).port = 0; }
  SECTION("a path twice") {
    bad[1].input = TunnelInput{5, {}, {}};
    bad[2].input = TunnelInput{5, {}, {}};
  }
  CHECK(bench.try_apply(plan_of(bad)).code == std::string("RELAY_BAD_PLAN"));
  CHECK(send(bench, 0).verdict == XDP_REDIRECT);
  CHECK(send(bench, 1).verdict == XDP_REDIRECT);
}

TEST_CASE("10,000 rules are loaded in less than 2 s, and found as one is") {
  KernelOptions options;
  options.max_rules = 10'000;
  Programs programs;
  REQUIRE(programs.open(options).ok());
  Tables tables;
  REQUIRE(tables.open(programs.maps()).ok());
  const Plan plan = plan_of(some_rules(10'000));
  Compiled compiled;
  const uint64_t began = Bench::now();
  REQUIRE(compile(plan, compiled).ok());
  Changes changes;
  REQUIRE(tables.apply(compiled, Bench::now(), changes).ok());
  CHECK(changes.rules_written == 10'000);
  CHECK(Bench::now() - began < 2'000'000'000);
  WARN("10,000 rules in " << (Bench::now() - began) / 1'000'000 << " ms");
}
