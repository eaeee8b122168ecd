// The live file: what a reader finds there of a table whose flows come, change and end.
#include "flow/live_file.h"

#include <sys/resource.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "flow/flow_table.h"

using namespace tapline;

namespace {
constexpr int64_t kSecond = 1'000'000'000;

class Kept {
 public:
  Outbox outbox{100'000};
  LatestFlows latest;
  FlowTable table;
  std::vector<FlowTable::Tally> tally{1};
  int64_t now = 1000 * kSecond;
  uint64_t sent = 0;
  const std::filesystem::path folder;

  explicit Kept(uint32_t max_flows = 10'000)
      : table({2 * kSecond, 60 * kSecond, max_flows}, outbox, &latest),
        folder(std::filesystem::temp_directory_path() / ("tapline-live-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder);
    table.keep_live({(folder / "x.db").string(), 7, 5}, 3);
  }
  ~Kept() { std::filesystem::remove_all(folder); }

  std::filesystem::path path() const { return folder / "x.db-live-7-3"; }

  void send(uint64_t spi, uint32_t number) {
    Packet p{};
    p.key = {spi, static_cast<uint64_t>(Protocol::Esp)};
    p.hash = spi * 0x9E3779B97F4A7C15u;
    p.protocol = Protocol::Esp;
    p.number = number;
    p.spi = static_cast<uint32_t>(spi);
    p.wire_length = 100;
    p.segments = 1;
    p.addresses = kNoAddresses;
    p.verdict = Verdict::kTracked;
    p.time_ns = now;
    table.follow({&p, 1}, std::numeric_limits<int64_t>::min(), 0, ++sent, tally);
  }
  /// As a capture's thread does, every 20 ms.
  void pass(int64_t ns) {
    for (const int64_t until = now + ns; now < until;) {
      now += kSecond / 50;
      if (now % (kSecond / 5) == 0) table.tick(now, 5);
      table.keep(now);
      table.wait_kept();
    }
  }
  /// The reader took all that is in the outbox and stored it.
  size_t store() {
    ResultBatch batch;
    size_t flows = 0;
    for (; outbox.take(batch); taken_++) {
      if (batch.kind == ResultKind::kFlows) flows += batch.records.size() / sizeof(FlowRecord);
    }
    outbox.store(taken_);
    return flows;
  }

  LiveHeader header() const {
    LiveHeader header{};
    std::ifstream(path(), std::ios::binary).read(reinterpret_cast<char*>(&header), sizeof header);
    return header;
  }
  /// By their first packet; a slot that does not pass the check fails the test.
  std::map<uint64_t, FlowRecord> flows() const {
    std::ifstream in(path(), std::ios::binary);
    in.seekg(kLivePage);
    std::map<uint64_t, FlowRecord> found;
    LiveSlot slot;
    for (double i = 0; i < header().slots && in.read(reinterpret_cast<char*>(&slot), sizeof slot); i++) {
      if (slot.flow.packet == 0) continue;
      uint32_t check;
      std::memcpy(&check, slot.mark.check, sizeof check);
      REQUIRE(check == live_check(&slot));
      found[static_cast<uint64_t>(slot.flow.packet)] = slot.flow;
    }
    return found;
  }

 private:
  uint64_t taken_ = 0;
};
}  // namespace

TEST_CASE("within a second the live file holds every flow as it is") {
  Kept kept;
  for (uint32_t spi = 1; spi <= 3000; spi++) kept.send(spi, 10);
  kept.pass(kSecond + kSecond / 10);
  REQUIRE(kept.flows().size() == 3000);
  const LiveHeader header = kept.header();
  CHECK(std::memcmp(header.magic, kLiveMagic, 8) == 0);
  CHECK(header.run == 7);
  CHECK(header.started == 5);
  CHECK(header.member == 3);
  CHECK(header.process == getpid());
  CHECK(header.slots == 3000);
  CHECK(kept.now - header.visited <= kSecond / 5);

  kept.send(2000, 12);  // 11 is missing
  kept.send(2001, 11);
  kept.pass(kSecond + kSecond / 10);
  auto flows = kept.flows();
  const FlowRecord& r = flows[2000];
  CHECK(r.packets == 2);
  CHECK(r.pending == 1);
  CHECK(r.expected == r.unique + r.lost + r.pending);
  CHECK(r.meta[1] == static_cast<uint8_t>(FlowEnd::Active));
  CHECK(flows[2001].last_number == 11);
  CHECK(flows[1999].packets == 1);

  kept.pass(3 * kSecond);  // no packet says so, but 11 is lost now
  flows = kept.flows();
  CHECK(flows[2000].lost == 1);
  CHECK(flows[2000].pending == 0);
  CHECK(flows[2000].gaps == 1);
}

TEST_CASE(
    "a flow that ended stays in the live file until its record is stored, then its slot is empty and used again") {
  Kept kept;
  for (uint32_t spi = 1; spi <= 600; spi++) kept.send(spi, 1);
  kept.pass(50 * kSecond);
  for (uint32_t spi = 301; spi <= 600; spi++) kept.send(spi, 2);
  kept.pass(15 * kSecond);
  CHECK(kept.table.live_flows() == 300);
  CHECK(kept.flows().size() == 600);
  kept.pass(5 * kSecond);  // however long that takes
  CHECK(kept.flows().size() == 600);

  CHECK(kept.store() == 300);
  kept.pass(kSecond + kSecond / 10);
  auto flows = kept.flows();
  CHECK(flows.size() == 300);
  CHECK(flows.begin()->first == 301);
  for (uint32_t spi = 1001; spi <= 1300; spi++) kept.send(spi, 1);
  kept.pass(kSecond + kSecond / 10);
  CHECK(kept.header().slots == 600);
  CHECK(kept.flows().size() == 600);
}

TEST_CASE("a full table takes the slot of a flow that ended before it ends one that lives") {
  Kept kept(16);
  for (uint32_t spi = 1; spi <= 16; spi++) kept.send(spi, 1);
  kept.pass(30 * kSecond);
  for (uint32_t spi = 2; spi <= 16; spi++) kept.send(spi, 2);
  kept.pass(35 * kSecond);  // the first has ended; nobody stored it
  REQUIRE(kept.table.live_flows() == 15);
  kept.send(99, 1);
  CHECK(kept.table.live_flows() == 16);
  CHECK(kept.table.counts().cap_evictions == 0);
  kept.send(100, 1);
  CHECK(kept.table.counts().cap_evictions == 1);
  kept.pass(2 * kSecond);
  const auto flows = kept.flows();
  CHECK(flows.size() == 16);
  CHECK(flows.count(1) == 0);
}

TEST_CASE("a lower cap holds with a live file whose flows nobody stores: no more slots, and as many flows as it says") {
  Kept kept(1000);
  for (uint32_t spi = 1; spi <= 1000; spi++) kept.send(spi, 1);
  kept.pass(2 * kSecond);
  kept.table.set_limits({2 * kSecond, 60 * kSecond, 100}, kept.now);
  kept.pass(kSecond);
  CHECK(kept.table.live_flows() == 100);
  CHECK(kept.table.counts().cap_evictions == 900);
  for (uint32_t spi = 2001; spi <= 4000; spi++) kept.send(spi, 1);
  CHECK(kept.table.live_flows() == 100);
  CHECK(kept.table.counts().cap_evictions == 2900);
  kept.pass(2 * kSecond);
  CHECK(kept.header().slots == 1000);
  CHECK(kept.flows().size() == 1000);  // those that ended are there until they are stored

  kept.table.set_limits({2 * kSecond, 60 * kSecond, 2000}, kept.now);
  kept.store();
  kept.pass(2 * kSecond);
  CHECK(kept.flows().size() == 100);
  for (uint32_t spi = 5001; spi <= 6900; spi++) kept.send(spi, 1);
  kept.pass(2 * kSecond);
  CHECK(kept.table.live_flows() == 2000);
  CHECK(kept.flows().size() == 2000);
  CHECK(kept.header().slots == 2000);
  kept.table.finish(kept.now);
  CHECK(kept.store() + 2900 - kept.table.counts().cap_evictions == 2000);
}

TEST_CASE("a smaller sample ends every flow outside it, also when new ones come meanwhile") {
  Kept kept;
  for (uint32_t spi = 1; spi <= 2000; spi++) kept.send(spi, 1);
  kept.pass(kSecond * 2 / 5);
  for (uint32_t spi = 1; spi <= 1000; spi++) kept.send(spi, 2);  // both hands are in the middle
  kept.table.set_limits({2 * kSecond, 60 * kSecond, 10'000, 2}, kept.now);
  const auto followed = [&](uint32_t spi) { return kept.table.limits().follows(spi * 0x9E3779B97F4A7C15u); };
  uint64_t left = 0;
  for (uint32_t spi = 1; spi <= 2000; spi++) left += followed(spi);
  REQUIRE(left > 500);
  REQUIRE(left < 1500);
  for (uint32_t tick = 0; tick < 5; tick++) {
    for (uint32_t spi = 10'000 + tick * 1000; spi < 11'000 + tick * 1000; spi++) {
      if (!followed(spi)) continue;
      kept.send(spi, 1);
      left++;
    }
    kept.pass(kSecond / 5);
  }
  kept.pass(kSecond);
  CHECK(kept.table.live_flows() == left);
  kept.store();
  kept.pass(2 * kSecond);
  CHECK(kept.flows().size() == left);
}

TEST_CASE("a check differs for every byte that is not what was written") {
  LiveSlot slot{};
  slot.flow.packet = 12345;
  slot.flow.bytes = 1e9;
  slot.mark.visited = 5;
  const uint32_t check = live_check(&slot);
  auto* bytes = reinterpret_cast<uint8_t*>(&slot);
  for (size_t i = 0; i < 248; i++) {
    for (const uint8_t change : {1, 0x80, 0xFF}) {
      bytes[i] ^= change;
      CHECK(live_check(&slot) != check);
      bytes[i] ^= change;
    }
  }
  // Half of an older version and half of a newer one.
  LiveSlot newer = slot;
  newer.flow.packets = 8;
  newer.mark.visited = 6;
  for (size_t cut = 32; cut < 248; cut += 8) {
    LiveSlot torn = slot;
    std::memcpy(static_cast<void*>(&torn), &newer, cut);
    if (std::memcmp(&torn, &slot, 248) != 0 && std::memcmp(&torn, &newer, 248) != 0) CHECK(live_check(&torn) != check);
  }
}

TEST_CASE("a live file that cannot grow is counted, stops nothing, and is caught up with") {
  Kept kept;
  for (uint32_t spi = 1; spi <= 100; spi++) kept.send(spi, 1);
  kept.pass(2 * kSecond);
  REQUIRE(kept.flows().size() == 100);

  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{kLivePage + 100 * sizeof(LiveSlot), before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  for (uint32_t spi = 101; spi <= 1000; spi++) kept.send(spi, 1);
  kept.pass(2 * kSecond);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);
  CHECK(kept.table.counts().live_errors > 0);
  CHECK(kept.table.live_flows() == 1000);
  CHECK(kept.flows().size() == 100);

  kept.pass(kSecond / 5);  // the count of a write is seen at the next visit
  const uint64_t errors = kept.table.counts().live_errors;
  kept.pass(kSecond + kSecond / 10);
  CHECK(kept.flows().size() == 1000);
  CHECK(kept.table.counts().live_errors == errors);
}

TEST_CASE("a live file that cannot be made is made once its folder is there") {
  Kept kept;
  kept.send(1, 1);
  std::filesystem::remove_all(kept.folder);
  kept.pass(kSecond);
  CHECK(kept.table.counts().live_errors > 0);
  std::filesystem::create_directories(kept.folder);
  kept.pass(kSecond + kSecond / 10);
  CHECK(kept.flows().size() == 1);
}

TEST_CASE("a rekey of a live capture is linked when it happens, and groups that give way are counted") {
  Outbox outbox{1000};
  LatestFlows latest(4);
  CHECK(latest.replace(1, 10) == 0);
  CHECK(latest.replace(1, 11) == 10);
  for (uint64_t group = 2; group <= 4; group++) CHECK(latest.replace(group << 32, group * 10) == 0);
  CHECK(latest.replace(1, 12) == 11);  // used again: not the oldest any more
  CHECK(latest.forgotten() == 0);
  CHECK(latest.replace(9, 90) == 0);
  CHECK(latest.forgotten() == 1);
  CHECK(latest.replace(1, 13) == 12);
  CHECK(latest.replace(uint64_t{2} << 32, 21) == 0);
}

TEST_CASE("whatever flows change, end and come anew between two visits, the live file follows") {
  Kept kept(2000);
  std::map<uint64_t, std::pair<uint64_t, uint64_t>> truth;  // by SPI: first packet's number, packets
  std::map<uint64_t, int64_t> last;
  std::set<uint64_t> kept_until_stored;
  std::map<uint64_t, uint32_t> numbers;
  std::mt19937 random(11);
  for (int round = 0; round < 80; round++) {
    const unsigned share = random() % 20 + 1;  // from nearly all to few, so that runs are joined and broken
    for (uint64_t spi = 1; spi <= 1500; spi++) {
      if (random() % share != 0 || (spi % 3 == 0 && round / 20 % 2 == 1)) continue;  // a third falls idle, and returns
      if (auto it = truth.find(spi); it != truth.end() && kept.now - last[spi] > 60 * kSecond) truth.erase(it);
      kept.send(spi, ++numbers[spi]);
      auto [it, fresh] = truth.try_emplace(spi, kept.sent, 0);
      it->second.second++;
      kept_until_stored.insert(it->second.first);
      last[spi] = kept.now;
    }
    kept.pass(4 * kSecond);
    if (round % 4 == 3) {
      const auto before = kept.flows();
      for (const uint64_t packet : kept_until_stored) REQUIRE(before.count(packet) == 1);
      kept.store();
      kept.pass(kSecond + kSecond / 10);
      std::map<uint64_t, uint64_t> expected;
      for (const auto& [spi, flow] : truth) {
        if (kept.now - last[spi] <= 60 * kSecond) expected[flow.first] = flow.second;
      }
      const auto flows = kept.flows();
      kept_until_stored.clear();
      for (const auto& [packet, count] : expected) {
        kept_until_stored.insert(packet);
        const auto found = flows.find(packet);
        REQUIRE(found != flows.end());
        REQUIRE(found->second.packets == count);
      }
    }
  }
  for (int i = 0; i < 4; i++) {
    kept.pass(30 * kSecond);
    kept.store();
  }
  kept.pass(2 * kSecond);
  CHECK(kept.table.live_flows() == 0);
  CHECK(kept.flows().empty());
}
