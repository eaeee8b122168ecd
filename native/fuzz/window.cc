// Enters: bytes that choose the numbers and clocks of one flow. Leaves: nothing, unless the window and the naive model
// of docs/semantics.md disagree after any packet, or a window without memory loses count.
#include "flow/window.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "../test/naive_window.h"

namespace {
using namespace tapline;

constexpr int64_t kSettle = 1'000'000;  ///< a few steps of Sequence::oldest
constexpr size_t kPackets = 400;

#define REQUIRE(condition)                                                                   \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "window.cc:%d: %s (packet %zu)\n", __LINE__, #condition, packet); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (0)

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool empty() const { return at_ == end_; }
  uint8_t one() { return empty() ? 0 : *at_++; }
  uint32_t four() { return one() | one() << 8 | one() << 16 | static_cast<uint32_t>(one()) << 24; }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

class Gaps final : public GapSink {
 public:
  std::vector<NaiveGap> all;
  void gap(const Gap& g) noexcept override { all.push_back({g.first, g.last, g.noticed, g.confirmed, g.jump}); }
  uint64_t size() const {
    uint64_t sum = 0;
    for (const NaiveGap& g : all) sum += static_cast<uint64_t>(g.last - g.first + 1);
    return sum;
  }
};

/// One window, its flow, and the memory it may use.
struct Subject {
  WindowMemory memory;
  Window window{kSettle, memory};
  Sequence s;
  int64_t hi = 0;
  uint64_t packets = 0;
  Gaps gaps;

  explicit Subject(size_t most_runs) : memory(most_runs, 1) {}
  uint64_t unique() const { return packets - window.not_unique(s); }
  uint64_t expected() const { return window.expected(s, hi); }
  uint64_t pending() const { return window.pending(s); }
  const Rarely& rarely() const { return window.rarely(s); }
};

/// Leaves a pool of one block of one run and one of two.
void starve(Pool<Run>& pool) {
  constexpr unsigned kBiggest = Pool<Run>::kClasses - 1;
  uint32_t kept[2] = {};
  for (uint32_t block; (block = pool.take(kBiggest)) != Pool<Run>::kNone;) {
    kept[1] = kept[0];
    kept[0] = block;
  }
  pool.give(kept[0], 0);
  pool.give(kept[1], 1);
}

constexpr int64_t kEdges[] = {1, 2, 63, 64, 65, 1022, 1023, 1024, 1025, 2000, 2998, 2999, 3000, 3001, 3002, 4000};
constexpr int64_t kPauses[] = {0, 1, kSettle / 2, kSettle - 1, kSettle, kSettle + 1};

int64_t edge(uint8_t byte) { return kEdges[byte % std::size(kEdges)]; }

uint32_t next_number(Bytes& bytes, uint8_t kind, const NaiveWindow& naive) {
  const int64_t hi = naive.hi;
  switch (kind) {
    case 0:
      return static_cast<uint32_t>(hi + 2 + bytes.one() % 8);
    case 1:
      return static_cast<uint32_t>(hi - bytes.one() % 16);
    case 2:
      return static_cast<uint32_t>(hi + edge(bytes.one()));
    case 3:
      return static_cast<uint32_t>(hi - edge(bytes.one()));
    case 4:
      return bytes.four();
    case 5:
      return (bytes.one() | bytes.one() << 8) % 3100;  // a restart, or nearly
    case 6:
      return static_cast<uint32_t>(naive.held().value_or(hi) + bytes.one() % 140 - 70);
    case 7:
      return 0;
    case 8:
      return ~uint32_t{0} - (bytes.one() | bytes.one() << 8) % 3100;  // before a wrap
    case 9:
      return static_cast<uint32_t>(hi - (bytes.one() | bytes.one() << 8) % 1100);
    case 10:
      return static_cast<uint32_t>(naive.base - 1 - bytes.one() % 70);
    default:
      return static_cast<uint32_t>(hi + 1);
  }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  Subject rich(32'768), poor(1024);
  starve(poor.memory.runs);
  NaiveWindow naive(kSettle);

  const uint8_t how = bytes.one();
  const uint32_t start = how & 1 ? bytes.four() : how & 2 ? ~uint32_t{0} - bytes.one() : 1 + bytes.one();
  if (start == 0) return 0;
  const bool resumed = how & 4;
  const int64_t hi = static_cast<int64_t>(start) + (resumed && how & 8 ? int64_t{1} << 32 : 0);
  size_t packet = 0;
  for (Subject* subject : {&rich, &poor}) {
    subject->hi = hi;
    subject->packets = resumed ? 0 : 1;
    Window::begin(subject->s, resumed ? hi + 1 : hi, resumed);
  }
  resumed ? naive.resume(hi) : naive.first(start);

  int64_t now = 0;
  unsigned in_order = 0;
  for (; packet < kPackets && (in_order > 0 || !bytes.empty()); packet++) {
    uint8_t kind = 11;
    if (in_order > 0) {
      in_order--;
    } else {
      const uint8_t choice = bytes.one();
      kind = choice % 13;
      if (choice >= 128) now += kPauses[bytes.one() % std::size(kPauses)];
      if (kind == 12) in_order = bytes.one() % 32;
    }
    const uint32_t number = next_number(bytes, kind, naive);
    REQUIRE(Window::valid(rich.hi, number) == naive.valid(number));
    REQUIRE(Window::valid(poor.hi, number) == naive.valid(number));
    if (!naive.valid(number)) continue;

    naive.arrive(number, now);
    for (Subject* subject : {&rich, &poor}) {
      const uint64_t lost_before = subject->s.lost;
      subject->packets++;
      subject->window.arrive(subject->s, subject->hi, number, now, subject->gaps);
      const Sequence& s = subject->s;
      REQUIRE(subject->hi == naive.hi);
      REQUIRE(s.base == naive.base);
      REQUIRE(s.lost >= lost_before);
      REQUIRE(subject->expected() == naive.expected());
      REQUIRE(subject->expected() == subject->unique() + s.lost + subject->pending());
      REQUIRE(subject->rarely().outliers == naive.outliers);
      REQUIRE(subject->rarely().jumps == naive.jumps);
      REQUIRE(subject->rarely().restarts == naive.restarts);
      if (subject->window.settled_early() > 0) continue;
      REQUIRE(subject->unique() == naive.unique);
      REQUIRE(subject->rarely().reordered == naive.reordered);
      REQUIRE(s.lost == naive.lost);
      REQUIRE(subject->pending() == naive.pending());
      REQUIRE(subject->rarely().duplicate + subject->rarely().late == naive.duplicate + naive.late);
    }
    REQUIRE(rich.rarely().duplicate == naive.duplicate);
    REQUIRE(rich.rarely().late == naive.late);
  }
  REQUIRE(rich.window.settled_early() == 0);

  now += kPauses[bytes.one() % std::size(kPauses)];
  naive.finish(now);
  for (Subject* subject : {&rich, &poor}) {
    subject->window.finish(subject->s, now, subject->gaps);
    const Sequence& s = subject->s;
    REQUIRE(subject->pending() == 0 && s.hold == Sequence::Hold::kNone && s.runs == Pool<Run>::kNone);
    REQUIRE(subject->expected() == subject->unique() + s.lost);
    REQUIRE(subject->rarely().late + subject->rarely().duplicate + subject->rarely().outliers + subject->unique() ==
            subject->packets);
    REQUIRE(subject->gaps.size() == s.lost);
    REQUIRE(subject->gaps.all.size() == s.gaps);
    for (const NaiveGap& gap : subject->gaps.all) REQUIRE(gap.confirmed >= gap.noticed && gap.last >= gap.first);
  }
  std::sort(rich.gaps.all.begin(), rich.gaps.all.end());
  std::sort(naive.gaps.begin(), naive.gaps.end());
  REQUIRE(rich.gaps.all == naive.gaps);
  REQUIRE(rich.s.lost == naive.lost && rich.rarely().late == naive.late && rich.rarely().outliers == naive.outliers);
  return 0;
}
