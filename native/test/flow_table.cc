// The flow table and its parts, fed with packets made here.
#include "flow/flow_table.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <unordered_map>

using namespace tapline;

namespace {
constexpr int64_t kSecond = 1'000'000'000;

uint64_t hashed(uint64_t a, uint64_t b) {
  std::mt19937_64 mixed(a * 0x9E3779B97F4A7C15 ^ b);
  return mixed();
}

/// A flow table, the clock, and what came out of it.
class Bench {
 public:
  Outbox outbox{100'000};
  FlowTable table;
  std::vector<FlowTable::Tally> tally{1};
  int64_t now = 1000 * kSecond;
  uint64_t sent = 0;

  std::vector<FlowRecord> flows;
  std::vector<GapRecord> gaps;
  std::vector<LinkRecord> links;

  explicit Bench(uint32_t max_flows = 1000) : table({2 * kSecond, 60 * kSecond, max_flows}, outbox) {}

  static Packet numbered(Protocol protocol, uint64_t a, uint32_t number) {
    Packet p{};
    p.key = {a, static_cast<uint64_t>(protocol)};
    p.hash = hashed(a, p.key.b);
    p.protocol = protocol;
    p.number = number;
    p.wire_length = 100;
    p.addresses = kNoAddresses;
    p.verdict = Verdict::kTracked;
    if (protocol == Protocol::Macsec) p.sci = a;
    if (protocol == Protocol::Esp) p.spi = static_cast<uint32_t>(a);
    return p;
  }
  static Packet macsec(uint64_t sci, uint32_t number) { return numbered(Protocol::Macsec, sci, number); }

  void send(Packet p) {
    p.time_ns = now;
    p.ordinal = 0;
    table.follow({&p, 1}, std::numeric_limits<int64_t>::min(), 0, ++sent, tally);
  }
  /// Many at one clock, in one batch.
  void send(std::vector<Packet> packets) {
    for (size_t i = 0; i < packets.size(); i++) {
      packets[i].time_ns = now;
      packets[i].ordinal = static_cast<uint32_t>(i);
    }
    table.follow(packets, std::numeric_limits<int64_t>::min(), 0, sent + 1, tally);
    sent += packets.size();
  }
  void wait(int64_t ns) { now += ns; }
  /// Other traffic, so that the sweep comes round.
  void sweep() {
    for (int i = 0; i < 50; i++) send(macsec(0xFFFF, 1 + sweeps_++));
  }

  void finish() {
    table.finish(now);
    drain();
    std::sort(flows.begin(), flows.end(), [](auto& a, auto& b) { return a.packet < b.packet; });
  }
  void drain() {
    for (ResultBatch batch; outbox.take(batch);) {
      if (batch.kind == ResultKind::kFlows) append(flows, batch);
      if (batch.kind == ResultKind::kGaps) append(gaps, batch);
      if (batch.kind == ResultKind::kLinks) append(links, batch);
    }
  }
  const FlowRecord& flow(uint64_t packet) const {
    for (const FlowRecord& f : flows) {
      if (f.packet == static_cast<double>(packet)) return f;
    }
    FAIL("no flow " << packet);
    return flows[0];
  }

 private:
  template <typename T>
  static void append(std::vector<T>& to, const ResultBatch& batch) {
    const size_t count = batch.records.size() / sizeof(T), before = to.size();
    REQUIRE(count * sizeof(T) == batch.records.size());
    to.resize(before + count);
    std::memcpy(&to[before], batch.records.data(), batch.records.size());
  }
  uint32_t sweeps_ = 0;
};

FlowEnd ended(const FlowRecord& f) { return static_cast<FlowEnd>(f.meta[1]); }
}  // namespace

TEST_CASE("the index finds what a multimap finds, through inserts, erasures and growth") {
  SlotIndex index;
  std::unordered_multimap<uint32_t, uint32_t> truth;
  std::map<uint32_t, uint32_t> tags;  // by slot
  std::mt19937 random(11);
  uint32_t next = 0;
  for (int step = 0; step < 60'000; step++) {
    const bool growing = step % 20'000 < 12'000;
    // Few low bits, and the same tag for several slots: long probes across the table's end.
    const uint32_t tag = random() % 4 ? random() : (random() % 64 | 0xFFFFFFC0);
    if (tags.empty() || random() % 10 < (growing ? 8u : 2u)) {
      index.insert(tag, next);
      truth.emplace(tag, next);
      tags[next++] = tag;
    } else {
      auto it = tags.lower_bound(random() % next);
      if (it == tags.end()) it = tags.begin();
      index.erase(it->second, it->first);
      const auto [from, to] = truth.equal_range(it->second);
      truth.erase(std::find_if(from, to, [&](const auto& entry) { return entry.second == it->first; }));
      tags.erase(it);
    }
    if (step % 500) continue;
    for (const auto& [slot, of] : tags) {
      REQUIRE(index.find(of, [s = slot](uint32_t found) { return found == s; }) == slot);
    }
    std::vector<uint32_t> found;
    index.find(0xFFFFFFC5, [&](uint32_t slot) { return found.push_back(slot), false; });
    REQUIRE(found.size() == truth.count(0xFFFFFFC5));
  }
}

TEST_CASE("tombstones are found until taken, and the oldest gives way and is counted") {
  Tombstones ring(4);
  for (uint64_t i = 1; i <= 4; i++) ring.add({i, 0}, 7, static_cast<int64_t>(100 * i), 0, i);  // all of one tag
  CHECK(ring.find({3, 0}, 7)->hi == 300);
  CHECK(ring.find({3, 0}, 8) == nullptr);
  CHECK(ring.take({2, 0}, 7)->hi == 200);
  CHECK_FALSE(ring.take({2, 0}, 7));
  ring.add({5, 0}, 7, 500, 0, 5);
  CHECK(ring.dropped() == 1);
  CHECK(ring.find({1, 0}, 7) == nullptr);
  ring.add({6, 0}, 7, 600, 0, 6);  // the place of the one taken: nothing is lost by it
  CHECK(ring.dropped() == 1);
  CHECK(ring.find({4, 0}, 7)->packet == 4);
}

TEST_CASE("each flow becomes one record with its bytes, times and inter-arrival times") {
  Bench bench;
  bench.send(Bench::macsec(1, 10));
  bench.wait(5);
  bench.send(Bench::macsec(2, 10));
  bench.wait(2);
  bench.send(Bench::macsec(1, 11));
  bench.wait(100);
  bench.send(Bench::macsec(1, 12));
  bench.finish();
  REQUIRE(bench.flows.size() == 2);
  const FlowRecord& f = bench.flow(1);
  CHECK(f.packets == 3);
  CHECK(f.unique == 3);
  CHECK(f.bytes == 300);
  CHECK(f.last_time - f.first_time == 107);
  CHECK(f.min_inter_arrival == 7);
  CHECK(f.max_inter_arrival == 100);
  CHECK(f.first_number == 10);
  CHECK(f.last_number == 12);
  CHECK(f.expected == 3);
  CHECK(ended(f) == FlowEnd::CaptureEnd);
  CHECK(bench.tally[0].tracked == 4);
  CHECK(bench.table.counts().flows == 2);
  CHECK(bench.table.live().flows == 2);
}

TEST_CASE("an idle flow ends the same by the sweep as by its own return") {
  const auto run = [](bool swept) {
    auto bench = std::make_unique<Bench>();
    for (const uint32_t n : {1, 2, 5, 6, 100'000}) bench->send(Bench::macsec(1, n));
    bench->wait(60 * kSecond);
    if (swept) bench->sweep();  // exactly idle is not over
    bench->wait(1);
    if (swept) bench->sweep();
    bench->drain();
    CHECK(bench->flows.empty());  // records wait in the batch
    bench->wait(kSecond);
    bench->sent = 1000;
    bench->send(Bench::macsec(1, 9));
    bench->finish();
    return bench;
  };
  const auto lazily = run(false), swept = run(true);
  CHECK(std::memcmp(&lazily->flow(1), &swept->flow(1), sizeof(FlowRecord)) == 0);
  CHECK(std::memcmp(&lazily->flow(1001), &swept->flow(1001), sizeof(FlowRecord)) == 0);
  CHECK(ended(lazily->flow(1)) == FlowEnd::Evicted);
  CHECK(lazily->flow(1).outliers == 1);
  CHECK(lazily->gaps.size() == 2);
  CHECK(lazily->gaps[0].confirmed == 1002 * kSecond);
  CHECK(lazily->gaps.size() == swept->gaps.size());
  CHECK(lazily->links.size() == 1);
  CHECK(swept->links.size() == 1);
}

TEST_CASE("an outage longer than idle is a gap of the flow that comes back, and old numbers are late") {
  Bench bench;
  bench.send({Bench::macsec(1, 10), Bench::macsec(1, 11)});
  bench.wait(100 * kSecond);
  bench.send(Bench::macsec(1, 21));
  bench.send(Bench::macsec(1, 11));
  bench.send(Bench::macsec(1, 22));
  bench.finish();
  const FlowRecord& f = bench.flow(3);
  CHECK(f.lost == 9);
  CHECK(f.late == 1);
  CHECK(f.unique == 2);
  CHECK(f.first_number == 12);
  CHECK(f.expected == 11);
  CHECK(f.packets == 3);
  REQUIRE(bench.gaps.size() == 1);
  CHECK(bench.gaps[0].packet == 3);
  CHECK(bench.gaps[0].first == 12);
  CHECK(bench.gaps[0].last == 20);
  REQUIRE(bench.links.size() == 1);
  CHECK(bench.links[0].packet == 3);
  CHECK(bench.links[0].previous == 1);
  CHECK(bench.links[0].meta[0] == static_cast<uint8_t>(LinkKind::Resumed));
}

TEST_CASE("the cap evicts the flow longest unseen, says so, and its key resumes") {
  Bench bench(4);
  for (uint64_t sci = 1; sci <= 4; sci++) {
    bench.send(Bench::macsec(sci, 1));
    bench.wait(1);
  }
  bench.send(Bench::macsec(1, 2));  // now 2 is the oldest
  bench.wait(1);
  bench.send(Bench::macsec(5, 1));
  bench.send(Bench::macsec(2, 4));  // 3 has to go for it
  bench.finish();
  CHECK(bench.table.counts().cap_evictions == 2);
  CHECK(bench.table.counts().peak == 4);
  CHECK(bench.flows.size() == 6);
  CHECK(ended(bench.flow(2)) == FlowEnd::EvictedCap);
  CHECK(ended(bench.flow(3)) == FlowEnd::EvictedCap);
  CHECK(ended(bench.flow(1)) == FlowEnd::CaptureEnd);
  CHECK(bench.flow(7).lost == 2);
}

TEST_CASE("a full table whose oldest flow is idle has evicted nobody for lack of room") {
  Bench bench(2);
  bench.send(Bench::macsec(1, 1));
  bench.send(Bench::macsec(2, 1));
  bench.wait(61 * kSecond);
  bench.send({Bench::macsec(3, 1), Bench::macsec(4, 1)});
  bench.finish();
  CHECK(bench.table.counts().cap_evictions == 0);
  CHECK(ended(bench.flow(1)) == FlowEnd::Evicted);
  CHECK(ended(bench.flow(2)) == FlowEnd::Evicted);
}

TEST_CASE("a flood of a million keys stays within the cap and accounts for every packet") {
  constexpr uint64_t kKeys = 1'000'000, kCap = 10'000;
  Bench bench(kCap);
  std::vector<Packet> batch;
  uint64_t records = 0;
  for (uint64_t key = 1; key <= kKeys; key++) {
    batch.push_back(Bench::macsec(key << 16, 1 + static_cast<uint32_t>(key % 7)));
    if (batch.size() < 1000) continue;
    bench.send(std::move(batch));
    batch.clear();
    bench.wait(1000);
    bench.drain();
    records += bench.flows.size();
    bench.flows.clear();
  }
  CHECK(bench.table.counts().peak == kCap);
  CHECK(bench.table.counts().flows == kKeys);
  CHECK(bench.table.counts().cap_evictions == kKeys - kCap);
  CHECK(bench.table.tombstones_dropped() == kKeys - kCap - (1u << 18));
  bench.finish();
  CHECK(records + bench.flows.size() == kKeys);
  CHECK(bench.tally[0].tracked == kKeys);
}

TEST_CASE("an invalid zero touches no flow") {
  Bench bench;
  bench.send(Bench::macsec(1, 0));
  CHECK(bench.table.counts().flows == 0);
  bench.send(Bench::macsec(1, 5));
  bench.wait(10);
  bench.send(Bench::macsec(1, 0));
  bench.finish();
  CHECK(bench.tally[0].invalid_number == 2);
  CHECK(bench.tally[0].tracked == 1);
  CHECK(bench.flow(2).packets == 1);
  CHECK(bench.flow(2).last_time == bench.flow(2).first_time);
}

TEST_CASE("zero continues a wrap, also over an outage") {
  Bench bench;
  bench.send({Bench::macsec(1, 0xFFFFFFFE), Bench::macsec(1, 0xFFFFFFFF), Bench::macsec(1, 0), Bench::macsec(1, 1)});
  bench.send({Bench::macsec(2, 0xFFFFFFFF)});
  bench.wait(100 * kSecond);
  bench.send(Bench::macsec(2, 0));
  bench.finish();
  CHECK(bench.tally[0].invalid_number == 0);
  CHECK(bench.flow(1).last_number == 4294967297.0);
  CHECK(bench.flow(1).meta[5] == 1);
  CHECK(bench.flow(1).lost == 0);
  CHECK(bench.flow(6).first_number == 4294967296.0);
  CHECK(bench.flow(6).unique == 1);
}

TEST_CASE("IPv6 flows with the same hash differ by their addresses") {
  uint8_t addresses[2][32] = {};
  addresses[1][31] = 1;  // another destination
  uint8_t other_source[32] = {9};
  const auto packet = [](Protocol protocol, const uint8_t* at, uint32_t number) {
    Packet p = Bench::numbered(protocol, 77, number);
    p.ipv6 = true;
    p.frame = at;
    p.addresses = 0;
    return p;
  };
  Bench bench;
  bench.send({packet(Protocol::Esp, addresses[0], 1), packet(Protocol::Esp, addresses[1], 1),
              packet(Protocol::Esp, addresses[0], 2), packet(Protocol::Esp, other_source, 3)});
  bench.send({packet(Protocol::Udp, addresses[0], 0), packet(Protocol::Udp, other_source, 0)});
  bench.finish();
  CHECK(bench.flows.size() == 4);  // ESP: the destination alone counts
  CHECK(bench.flow(1).packets == 3);
  CHECK(bench.flow(2).packets == 1);
  CHECK(bench.flow(5).packets == 1);
}

TEST_CASE("TCP and UDP are counted without numbers and leave no tombstone") {
  Bench bench;
  for (int i = 0; i < 3; i++) bench.send(Bench::numbered(Protocol::Tcp, 5, 0));
  bench.wait(100 * kSecond);
  bench.send(Bench::numbered(Protocol::Tcp, 5, 0));
  bench.finish();
  CHECK(bench.flow(1).packets == 3);
  CHECK(bench.flow(1).expected == 0);
  CHECK(bench.flow(4).packets == 1);
  CHECK(bench.links.empty());
  CHECK(bench.table.associations().empty());
}

TEST_CASE("flows of a SCI or an address pair are noted together, apart by VLAN tags") {
  uint8_t pair[8] = {10, 0, 0, 1, 10, 0, 0, 2};
  const auto esp = [&](uint32_t spi, uint8_t tags, uint16_t id) {
    Packet p = Bench::numbered(Protocol::Esp, spi | uint64_t{tags} << 40, 1);
    p.frame = pair;
    p.addresses = 0;
    p.tags = tags;
    p.vlan[0] = id;
    return p;
  };
  Bench bench;
  bench.send({esp(1, 0, 0), esp(2, 0, 0), esp(3, 1, 0), esp(4, 1, 7), Bench::macsec(9, 1)});
  Packet rekeyed = Bench::macsec(9, 1);
  rekeyed.association = 1;
  rekeyed.key.b |= uint64_t{1} << 32;
  rekeyed.hash++;
  bench.send(rekeyed);
  bench.wait(100 * kSecond);
  bench.send(esp(1, 0, 0));
  const auto& all = bench.table.associations();
  REQUIRE(all.size() == 7);
  CHECK(all[0].group == all[1].group);
  CHECK(all[2].group != all[0].group);  // tagged with id 0 is not untagged
  CHECK(all[3].group != all[2].group);
  CHECK(all[4].group == all[5].group);
  CHECK(all[6].group == all[0].group);
  CHECK(all[6].resumed);
  CHECK_FALSE(all[1].resumed);
}

TEST_CASE("the running totals are the sums of the records, whatever comes") {
  const unsigned seed = GENERATE(range(0u, 20u));
  std::mt19937 random(seed);
  const auto chance = [&](unsigned one_in) { return random() % one_in == 0; };
  Bench bench(40);  // 60 keys: the cap evicts
  std::vector<uint32_t> next(60, 1);
  for (int i = 0; i < 20'000; i++) {
    const uint32_t key = random() % 60;
    const Protocol protocol = static_cast<Protocol>(key % 5);
    uint32_t& number = next[key];
    if (chance(50)) number += 1 + random() % 3;  // lost
    if (chance(2000)) number += 50000;           // an outage
    if (chance(2000)) number = 1;                // a restart
    uint32_t sent = number++;
    if (chance(30) && sent > 20) sent -= random() % 20;       // late, or twice
    if (chance(500)) sent = static_cast<uint32_t>(random());  // corrupt
    bench.send(Bench::numbered(protocol, key, sent | (sent == 0)));
    if (chance(400)) bench.wait(3 * kSecond);
    if (chance(3000)) bench.wait(90 * kSecond);
    if (chance(20)) bench.table.tick(bench.now, 5);
    if (chance(100)) {
      for (const Totals& totals : bench.table.totals()) REQUIRE(totals.pending() <= 40 * 1024);
    }
  }
  bench.finish();
  FlowTable::AllTotals sums{};
  for (const FlowRecord& r : bench.flows) {
    Totals& sum = sums[r.meta[0]];
    sum.flows++;
    sum.packets += static_cast<uint64_t>(r.packets);
    sum.bytes += static_cast<uint64_t>(r.bytes);
    sum.expected += static_cast<uint64_t>(r.expected);
    sum.unique += static_cast<uint64_t>(r.unique);
    sum.reordered += static_cast<uint64_t>(r.reordered);
    sum.duplicate += static_cast<uint64_t>(r.duplicate);
    sum.late += static_cast<uint64_t>(r.late);
    sum.lost += static_cast<uint64_t>(r.lost);
    sum.gaps += static_cast<uint64_t>(r.gaps);
    sum.jumps += static_cast<uint64_t>(r.jumps);
    sum.outliers += static_cast<uint64_t>(r.outliers);
    sum.restarts += static_cast<uint64_t>(r.restarts);
  }
  for (size_t i = 0; i < sums.size(); i++) {
    CAPTURE(seed, i);
    CHECK(std::memcmp(&sums[i], &bench.table.totals()[i], sizeof(Totals)) == 0);
    CHECK(sums[i].pending() == 0);
  }
  CHECK(sums[0].lost > 0);
  CHECK(sums[0].duplicate + sums[0].late > 0);
}
