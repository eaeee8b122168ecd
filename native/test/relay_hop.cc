// The hop tunnel's bytes, tag and window, against the paper's vectors and a naive set of numbers.
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "relay/hop_header.h"
#include "relay/hop_window.h"

namespace {

uint64_t siphash_of(const std::vector<uint8_t>& message) {
  uint64_t key[2];
  for (uint8_t i = 0; i < 16; i++) reinterpret_cast<uint8_t*>(key)[i] = i;
  siphash s;
  siphash_begin(&s, key[0], key[1]);
  for (size_t at = 0; at < message.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, message.data() + at, 8);
    siphash_word(&s, word);
  }
  return siphash_end(&s, message.size());
}

/// Every number ever seen; what is not, below the window, is lost.
struct Naive {
  std::set<uint64_t> seen;
  uint64_t base = 0, hi = 0, duplicate = 0, late = 0, reordered = 0;

  bool arrive(uint64_t v) {
    if (seen.empty()) {
      base = hi = v;
      seen.insert(v);
      return true;
    }
    if (v > hi) {
      hi = v;
      seen.insert(v);
      return true;
    }
    bool lost_one = false;
    for (uint64_t n = base; n + 1024 <= hi && !lost_one; n++) lost_one = !seen.contains(n);
    const bool below = v + 1024 <= hi;
    if (!below && seen.contains(v)) {
      duplicate++;
      return false;
    }
    if (below || (v < base && (hi - base >= 1024 || lost_one))) {
      late++;
      return false;
    }
    if (v < base) base = v;
    reordered++;
    seen.insert(v);
    return true;
  }
  uint64_t unseen(uint64_t from, uint64_t to) const {
    uint64_t count = 0;
    for (uint64_t n = from; n < to; n++) count += seen.contains(n) ? 0 : 1;
    return count;
  }
  uint64_t low() const { return hi - base >= 1024 ? hi - 1023 : base; }
};

}  // namespace

TEST_CASE("SipHash-2-4 gives the paper's values") {
  CHECK(siphash_of({}) == 0x726fdb47dd0e0e31);
  CHECK(siphash_of({0, 1, 2, 3, 4, 5, 6, 7}) == 0x93f5f5799a932462);
  CHECK(siphash_of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) == 0x3f2acc7f57c29bdb);
}

TEST_CASE("a hop's tag changes with every byte of its header and of the inner addresses") {
  __u64 header[3] = {1, 2, 3}, addresses[4] = {4, 5, 6, 7}, key[2] = {8, 9};
  for (const int ipv6 : {0, 1}) {
    const uint64_t tag = hop_tag(key, header, addresses, ipv6);
    for (size_t byte = 0; byte < sizeof header; byte++) {
      reinterpret_cast<uint8_t*>(header)[byte] ^= 1;
      CHECK(hop_tag(key, header, addresses, ipv6) != tag);
      reinterpret_cast<uint8_t*>(header)[byte] ^= 1;
    }
    for (size_t byte = 0; byte < sizeof addresses; byte++) {
      reinterpret_cast<uint8_t*>(addresses)[byte] ^= 1;
      CHECK((hop_tag(key, header, addresses, ipv6) != tag) == (ipv6 || byte < 8));
      reinterpret_cast<uint8_t*>(addresses)[byte] ^= 1;
    }
    key[1] ^= 1;
    CHECK(hop_tag(key, header, addresses, ipv6) != tag);
    key[1] ^= 1;
  }
}

TEST_CASE("a hop's source ports lie where no service listens, and streams of a path differ") {
  std::set<uint16_t> ports;
  for (uint16_t stream = 0; stream < 64; stream++) ports.insert(hop_source_port(7, stream));
  CHECK(*ports.begin() >= 49152);
  CHECK(ports.size() > 60);
}

TEST_CASE("a hop's window counts as a naive set of numbers does") {
  for (uint32_t seed = 0; seed < 60; seed++) {
    std::mt19937 random(seed);
    const auto below = [&](uint32_t n) { return random() % n; };
    hop_window window{};
    Naive naive;
    // Wraps in every third run.
    uint64_t next = (1ull << 32) + (seed % 3 == 0 ? 0xfffffc00u : below(1u << 31));
    for (int i = 0; i < 4000; i++) {
      next += below(20) == 0 ? below(seed % 7 == 0 ? 2500 : 40) : 1;
      uint64_t v = next;
      if (below(10) == 0) v -= below(seed % 5 == 0 ? 1100 : 30);
      const bool fresh = hop_window_arrive(&window, static_cast<uint32_t>(v), 1000);
      if (fresh != naive.arrive(v)) FAIL("number " << i);
    }
    INFO("seed " << seed);
    CHECK(window.hi == naive.hi);
    CHECK(window.base == naive.base);
    CHECK(window.unique == naive.seen.size());
    CHECK(window.duplicate == naive.duplicate);
    CHECK(window.late == naive.late);
    CHECK(window.reordered == naive.reordered);
    CHECK(window.lost == naive.unseen(naive.base, naive.low()));
    CHECK(hop_window_pending(&window) == naive.unseen(naive.low(), naive.hi + 1));
  }
}

TEST_CASE("a number missing for 2 to 4 s is lost, whether others come or not, and late when it comes") {
  const uint64_t s = 1'000'000'000;
  hop_window window{};
  hop_window_arrive(&window, 10, 0);
  hop_window_arrive(&window, 12, s / 2);
  CHECK(hop_window_pending(&window) == 1);
  SECTION("silence") {
    hop_window copy = window;
    hop_window_settle(&copy, 2 * s);
    CHECK(copy.lost == 0);
    copy = window;
    hop_window_settle(&copy, 3 * s);
    CHECK(copy.lost == 1);
    CHECK(window.lost == 0);
    CHECK_FALSE(hop_window_arrive(&window, 11, 3 * s));
    CHECK(window.late == 1);
  }
  SECTION("traffic") {
    for (uint32_t i = 1; i <= 40; i++) hop_window_arrive(&window, 12 + i, s / 2 + i * s / 10);
    CHECK(window.lost == 1);
    CHECK_FALSE(hop_window_arrive(&window, 11, 5 * s));
  }
  SECTION("in time") {
    CHECK(hop_window_arrive(&window, 11, s));
    CHECK(window.reordered == 1);
    CHECK(hop_window_pending(&window) == 0);
  }
  CHECK(window.hi - window.base + 1 == window.unique + window.lost + hop_window_pending(&window));
}

TEST_CASE("one-way times go into buckets by powers of two of a microsecond") {
  hop_window window{};
  for (const int64_t ns : {-5, 0, 999, 1000, 1999, 2000, 4'000'000}) hop_window_date(&window, ns);
  hop_window_date(&window, int64_t{1} << 60);
  CHECK(window.latency[0] == 3);
  CHECK(window.latency[1] == 2);
  CHECK(window.latency[2] == 1);
  CHECK(window.latency[12] == 1);
  CHECK(window.latency[HOP_LATENCIES - 1] == 1);
}
