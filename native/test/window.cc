// The window against docs/semantics.md: each rule by name, then random streams against the naive model.
#include "flow/window.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "naive_window.h"

using namespace tapline;

namespace {
constexpr int64_t kSettle = 2'000'000'000;
constexpr int64_t kMs = 1'000'000;

/// One flow: numbers go in, counters are looked at.
class Flow : public GapSink {
 public:
  WindowMemory memory;
  Window window;
  Sequence s;
  int64_t hi = 0;
  int64_t now = 0;
  uint64_t packets = 0;
  std::vector<NaiveGap> gaps;

  explicit Flow(size_t most_runs = 32'768) : memory(most_runs, 1), window(kSettle, memory) {}
  static Flow& begun(Flow& flow, uint32_t number) {
    Window::begin(flow.s, number, false);
    flow.hi = number;
    flow.packets = 1;
    return flow;
  }
  void resume(int64_t old_hi) {
    Window::begin(s, old_hi + 1, true);
    hi = old_hi;
  }
  void see(std::initializer_list<uint32_t> numbers) {
    for (const uint32_t n : numbers) see(n);
  }
  void see(uint32_t number) {
    packets++;
    window.arrive(s, hi, number, now, *this);
    CHECK(expected() == unique() + s.lost + pending());
  }
  void see_range(uint32_t from, uint32_t to) {
    for (uint32_t n = from; n <= to; n++) see(n);
  }
  void wait(int64_t ns) { now += ns; }
  void finish() {
    window.finish(s, now, *this);
    CHECK(pending() == 0);
    CHECK(expected() == unique() + s.lost);
    CHECK(unique() + rarely().duplicate + rarely().late + rarely().outliers == packets);
  }
  uint64_t unique() const { return packets - window.not_unique(s); }
  uint64_t expected() const { return window.expected(s, hi); }
  uint64_t pending() const { return window.pending(s); }
  const Rarely& rarely() const { return window.rarely(s); }
  void gap(const Gap& g) noexcept override { gaps.push_back({g.first, g.last, g.noticed, g.confirmed, g.jump}); }
};

struct FlowFrom : Flow {
  explicit FlowFrom(uint32_t first) { begun(*this, first); }
};
}  // namespace

TEST_CASE("numbers in order are unique and leave nothing behind") {
  FlowFrom flow(10);
  flow.see_range(11, 5000);
  CHECK(flow.unique() == 4991);
  CHECK(flow.s.calm());
  flow.finish();
  CHECK(flow.gaps.empty());
}

TEST_CASE("a skipped number is pending, and unique and reordered when it comes within settle") {
  FlowFrom flow(1);
  flow.see({2, 5});
  CHECK(flow.pending() == 2);
  flow.wait(kSettle - 1);
  flow.see({3, 4});
  CHECK(flow.pending() == 0);
  CHECK(flow.unique() == 5);
  CHECK(flow.rarely().reordered == 2);
  CHECK(flow.s.lost == 0);
  flow.finish();
  CHECK(flow.gaps.empty());
}

TEST_CASE("a number unseen for settle is lost, confirmed then, and late when it still comes") {
  FlowFrom flow(1);
  flow.wait(5);
  flow.see(4);
  flow.wait(kSettle);
  flow.see(5);
  CHECK(flow.s.lost == 2);
  flow.see(3);
  CHECK(flow.rarely().late == 1);
  CHECK(flow.s.lost == 2);
  flow.wait(7 * kSettle);
  flow.finish();
  CHECK(flow.gaps == std::vector<NaiveGap>{{2, 3, 5, 5 + kSettle, false}});
}

TEST_CASE("a number is lost after settle to the nanosecond, whenever it was noticed") {
  constexpr int64_t kStep = int64_t{1} << Sequence::kStep;
  for (const int64_t start : {int64_t{0}, int64_t{1}, kStep - 1, kStep, int64_t{1'700'000'000'123'456'789}}) {
    FlowFrom flow(1);
    flow.wait(start);
    flow.see(3);
    flow.wait(kSettle - 1);
    flow.see(4);
    CHECK(flow.s.lost == 0);
    flow.wait(1);
    flow.see(5);
    CHECK(flow.gaps == std::vector<NaiveGap>{{2, 2, start, start + kSettle, false}});
  }
}

TEST_CASE("a number that leaves the window unseen is lost then") {
  FlowFrom flow(1);
  flow.see(3);
  flow.wait(kMs);
  flow.see_range(4, 2 + 1023);
  CHECK(flow.s.lost == 0);
  CHECK(flow.pending() == 1);
  flow.see(2 + 1024);
  CHECK(flow.s.lost == 1);
  CHECK(flow.gaps == std::vector<NaiveGap>{{2, 2, 0, kMs, false}});
  flow.see(2);
  CHECK(flow.rarely().late == 1);
}

TEST_CASE("a number seen twice in the window is a duplicate, below it late") {
  FlowFrom flow(1);
  flow.see_range(2, 2000);
  flow.see({2000, 2000 - 1023, 2000 - 1024, 1});
  CHECK(flow.rarely().duplicate == 2);
  CHECK(flow.rarely().late == 2);
}

TEST_CASE("numbers before the first one move base, and what lies between is pending") {
  FlowFrom flow(1000);
  flow.see(995);
  CHECK(flow.s.base == 995);
  CHECK(flow.pending() == 4);
  CHECK(flow.rarely().reordered == 1);
  flow.see({997, 996, 999, 998});
  CHECK(flow.pending() == 0);
  CHECK(flow.unique() == 6);
}

TEST_CASE("base cannot move after a tombstone: what lies at or below the old highest is late") {
  Flow flow;
  flow.resume(1000);
  flow.see({1000, 999, 990});
  CHECK(flow.rarely().late == 3);
  CHECK(flow.expected() == 0);
  flow.see(1011);
  CHECK(flow.pending() == 10);
  flow.finish();
  CHECK(flow.gaps == std::vector<NaiveGap>{{1001, 1010, 0, 0, false}});
}

TEST_CASE("a skip of 3000 is near: what it leaves below the window is lost at once, in one gap with the rest") {
  FlowFrom flow(1);
  flow.see(3001);
  CHECK(flow.s.lost + flow.pending() == 2999);
  CHECK(flow.pending() == 1023);
  CHECK(flow.gaps.empty());
  flow.wait(kSettle);
  flow.see(3002);
  CHECK(flow.gaps == std::vector<NaiveGap>{{2, 3000, 0, kSettle, false}});
}

TEST_CASE("a number seen inside a run that is partly lost parts it into two gaps") {
  FlowFrom flow(1);
  flow.see(1501);  // window from 478: 2 to 477 are lost
  CHECK(flow.s.lost == 476);
  flow.wait(kMs);
  flow.see(600);
  CHECK(flow.rarely().reordered == 1);
  flow.finish();
  CHECK(flow.gaps.size() == 2);
  CHECK(flow.gaps[0] == NaiveGap{2, 599, 0, kMs, false});
  CHECK(flow.gaps[1] == NaiveGap{601, 1500, 0, kMs, false});
}

TEST_CASE("a number just above the lost part closes its gap at once, with the time its last number was counted") {
  FlowFrom flow(1);
  flow.see(1501);
  flow.wait(kMs);
  flow.see(478);
  CHECK(flow.gaps == std::vector<NaiveGap>{{2, 477, 0, 0, false}});
}

TEST_CASE("a skip of 3001 is held and confirmed only by a number within 64 above it") {
  FlowFrom flow(1);
  flow.see(3002);
  CHECK(flow.hi == 1);
  CHECK(flow.s.lost == 0);
  flow.wait(kMs);
  SECTION("64 above confirms, and the numbers below are lost at once as a jump") {
    flow.see(3002 + 64);
    CHECK(flow.rarely().jumps == 1);
    CHECK(flow.hi == 3066);
    CHECK(flow.s.lost == 3000);
    CHECK(flow.pending() == 63);
    CHECK(flow.gaps == std::vector<NaiveGap>{{2, 3001, 0, kMs, true}});
    flow.see(3001);
    CHECK(flow.rarely().late == 1);
  }
  SECTION("65 above replaces it") {
    flow.see(3002 + 65);
    CHECK(flow.rarely().jumps == 0);
    CHECK(flow.rarely().outliers == 1);
    CHECK(flow.rarely().held == 3067);
  }
  SECTION("the same again replaces it") {
    flow.see(3002);
    CHECK(flow.rarely().jumps == 0);
    CHECK(flow.rarely().outliers == 1);
  }
  SECTION("a near number leaves it alone") {
    flow.see({2, 3, 3003});
    CHECK(flow.rarely().jumps == 1);
    CHECK(flow.unique() == 5);
  }
  SECTION("settle drops it") {
    flow.wait(kSettle - kMs);
    flow.see(3003);
    CHECK(flow.rarely().outliers == 1);
    CHECK(flow.rarely().jumps == 0);
  }
  SECTION("the end drops it") {
    flow.finish();
    CHECK(flow.rarely().outliers == 1);
  }
}

TEST_CASE("a held number that the flow came up to is no gap when it is confirmed") {
  FlowFrom flow(1);
  flow.see(4001);
  flow.see({2000, 4000});
  CHECK(flow.hi == 4000);
  flow.see(4002);
  CHECK(flow.rarely().jumps == 1);
  CHECK(flow.hi == 4002);
  CHECK(flow.unique() == 5);
  for (const NaiveGap& gap : flow.gaps) CHECK(gap.last >= gap.first);
  flow.finish();
  CHECK(flow.s.gaps == 2);
  CHECK(flow.s.min_gap > 0);
}

TEST_CASE("a lone wild number is an outlier and costs nothing") {
  FlowFrom flow(100);
  flow.see_range(101, 200);
  flow.see(0x40000000);
  flow.see_range(201, 300);
  flow.finish();
  CHECK(flow.rarely().outliers == 1);
  CHECK(flow.s.lost == 0);
  CHECK(flow.unique() == 201);
}

TEST_CASE("a restart needs two small numbers near each other") {
  FlowFrom flow(1'000'000);
  flow.see(1'000'003);
  flow.see(1);
  CHECK(flow.rarely().restarts == 0);
  flow.wait(kMs);
  SECTION("a higher second: numbers between are pending") {
    flow.see(4);
    CHECK(flow.rarely().restarts == 1);
    CHECK(flow.s.base == 1);
    CHECK(flow.hi == 4);
    CHECK(flow.pending() == 2);
    CHECK(flow.rarely().reordered == 0);
    CHECK(flow.gaps == std::vector<NaiveGap>{{1'000'001, 1'000'002, 0, kMs, false}});
    CHECK(flow.rarely().first_number == 1'000'000);
    flow.see({2, 3, 5});
    flow.finish();
    CHECK(flow.expected() == 4 + 5);
    CHECK(flow.unique() == 7);
  }
  SECTION("a lower second is reordered") {
    flow.see(50);  // held: 1
    CHECK(flow.rarely().restarts == 1);
    flow.see(1'000'010);
    CHECK(flow.hi == 50);
    FlowFrom other(1'000'000);
    other.see({50, 49});
    CHECK(other.rarely().restarts == 1);
    CHECK(other.rarely().reordered == 1);
    CHECK(other.s.base == 49);
  }
  SECTION("too far apart: the first becomes late, since it lay behind") {
    flow.see(66);
    CHECK(flow.rarely().restarts == 0);
    CHECK(flow.rarely().late == 1);
  }
  SECTION("alone it is late") {
    flow.finish();
    CHECK(flow.rarely().late == 1);
  }
}

TEST_CASE("a restart may lie ahead, after the middle of the circle, and is an outlier when alone") {
  FlowFrom flow(0xC0000000);
  flow.see(5);
  CHECK(flow.s.hold == Sequence::Hold::kRestartAhead);
  SECTION("confirmed") {
    flow.see(6);
    CHECK(flow.rarely().restarts == 1);
    CHECK(flow.hi == 6);
  }
  SECTION("alone") {
    flow.finish();
    CHECK(flow.rarely().outliers == 1);
  }
}

TEST_CASE("small numbers shortly before a wrap are a jump over it, not a restart") {
  FlowFrom flow(0xFFFFFFFF - 2000);
  flow.see(2000);
  CHECK(flow.s.hold == Sequence::Hold::kJump);
  flow.see(2001);
  CHECK(flow.hi == (int64_t{1} << 32) + 2001);
}

TEST_CASE("the number wraps and 0 counts then, and only then") {
  FlowFrom flow(0xFFFFFFFE);
  CHECK(Window::valid(flow.hi, 0));
  flow.see({0xFFFFFFFF, 0, 1});
  CHECK(flow.hi == (int64_t{1} << 32) + 1);
  CHECK(flow.s.lost + flow.pending() == 0);
  flow.see(0xFFFFFFFF);
  CHECK(flow.rarely().duplicate == 1);

  CHECK_FALSE(Window::valid(1, 0));
  CHECK_FALSE(Window::valid(100'000, 0));
  CHECK(Window::valid((int64_t{1} << 32) - 3000, 0));
  CHECK_FALSE(Window::valid((int64_t{1} << 32) - 3001, 0));
  CHECK(Window::valid((int64_t{1} << 32) + 1023, 0));
  CHECK_FALSE(Window::valid((int64_t{1} << 32) + 1024, 0));
}

TEST_CASE("below zero and far behind is late") {
  FlowFrom flow(5);
  flow.see(0xFFFFFFF0);
  CHECK(flow.rarely().late == 1);
  FlowFrom high(1'000'000);
  high.see(900'000);
  CHECK(high.rarely().late == 1);
}

TEST_CASE("at the end pending numbers are confirmed when they would have settled, or at the end") {
  FlowFrom flow(1);
  flow.see(3);
  flow.wait(kSettle / 2);
  flow.see(5);
  flow.wait(kSettle / 2 + 1);
  flow.finish();
  CHECK(flow.gaps == std::vector<NaiveGap>{{2, 2, 0, kSettle, false}, {4, 4, kSettle / 2, kSettle + 1, false}});
}

TEST_CASE("every second number missing fills the window and no more") {
  FlowFrom flow(1);
  for (uint32_t n = 3; n < 20'001; n += 2) flow.see(n);
  CHECK(flow.s.run_count == 512);
  CHECK(flow.window.settled_early() == 0);
  for (uint32_t n = 20'000 - 1000; n < 20'000; n += 2) flow.see(n);
  flow.finish();
  CHECK(flow.rarely().reordered == 500);
  CHECK(flow.s.lost == 10'000 - 1 - 500);
}

TEST_CASE("without memory for runs numbers are lost early, and that is counted") {
  Flow flow(0);
  Flow::begun(flow, 1);
  flow.see({3, 5, 7});
  CHECK(flow.s.lost == 3);
  CHECK(flow.window.settled_early() == 3);
  flow.finish();
  CHECK(flow.gaps.size() == 3);
}

TEST_CASE("any order of arrival within the window gives the same unique, lost and duplicate") {
  std::mt19937 random(20240611);
  for (int round = 0; round < 200; round++) {
    std::vector<uint32_t> numbers;
    const uint32_t start = round % 3 == 0 ? 0xFFFFFFFF - 300 : 1 + random() % 100'000;
    std::set<uint32_t> distinct{start, start + 900};
    for (uint32_t n = 1; n < 900; n++) {
      if (random() % 10 == 0) continue;
      distinct.insert(start + n);
      numbers.push_back(start + n);
      if (random() % 20 == 0) numbers.push_back(start + n);
    }
    numbers.push_back(start + 900);
    std::shuffle(numbers.begin(), numbers.end(), random);
    FlowFrom flow(start);
    for (const uint32_t n : numbers) flow.see(n);
    flow.finish();
    REQUIRE(flow.unique() == distinct.size());
    REQUIRE(flow.rarely().duplicate == numbers.size() + 1 - distinct.size());
    REQUIRE(flow.s.lost == 901 - distinct.size());
    REQUIRE(flow.rarely().late + flow.rarely().outliers == 0);
  }
}

TEST_CASE("random streams agree with the naive model, and lost never falls") {
  std::mt19937 random(7);
  for (int round = 0; round < 150; round++) {
    const uint32_t start = round % 2 ? 0xFFFFFFFF - random() % 3000 : 1 + random() % 5000;
    FlowFrom flow(start);
    NaiveWindow naive(kSettle);
    naive.first(start);
    for (int i = 0; i < 300; i++) {
      const uint32_t dice = random() % 100;
      int64_t step = 1;
      if (dice >= 60) step = 1 + random() % 4;
      if (dice >= 75) step = -static_cast<int64_t>(random() % 30);
      if (dice >= 90) step = static_cast<int64_t>(random() % 6100) - 3050;
      if (dice >= 97) step = static_cast<int32_t>(random());
      uint32_t number = static_cast<uint32_t>(flow.hi + step);
      if (dice == 99) number = random() % 3000;
      if (random() % 4 == 0) flow.wait(random() % (kSettle / 8));
      REQUIRE(Window::valid(flow.hi, number) == naive.valid(number));
      if (!naive.valid(number)) continue;
      const uint64_t lost = flow.s.lost;
      flow.see(number);
      naive.arrive(number, flow.now);
      REQUIRE(flow.s.lost >= lost);
      REQUIRE(flow.hi == naive.hi);
      REQUIRE(flow.s.base == naive.base);
      REQUIRE(flow.unique() == naive.unique);
      REQUIRE(flow.rarely().reordered == naive.reordered);
      REQUIRE(flow.rarely().duplicate == naive.duplicate);
      REQUIRE(flow.rarely().late == naive.late);
      REQUIRE(flow.s.lost == naive.lost);
      REQUIRE(flow.pending() == naive.pending());
      REQUIRE(flow.expected() == naive.expected());
    }
    flow.finish();
    naive.finish(flow.now);
    std::sort(flow.gaps.begin(), flow.gaps.end());
    std::sort(naive.gaps.begin(), naive.gaps.end());
    REQUIRE(flow.gaps == naive.gaps);
  }
}
