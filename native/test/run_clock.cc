// The run's clock, with clocks set by hand.
#include "capture/run_clock.h"

#include <catch2/catch.hpp>

using namespace tapline;

namespace {
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kWall = 1'700'000'000 * kSecond;

/// The two clocks of a machine.
struct Machine {
  RunClock::Reading reading{kWall, 5 * kSecond};
  void pass(int64_t ns) {
    reading.wall += ns;
    reading.steady += ns;
  }
  void set(int64_t by) { reading.wall += by; }
};
}  // namespace

TEST_CASE("a run's clock begins as the wall's and passes as the steady one") {
  Machine machine;
  RunClock clock(machine.reading);
  CHECK(clock.now(machine.reading) == kWall);
  machine.pass(7 * kSecond);
  CHECK(clock.now(machine.reading) == kWall + 7 * kSecond);
  CHECK(clock.of(machine.reading.wall - 5, 0, clock.now(machine.reading)) == kWall + 7 * kSecond - 5);
  CHECK(clock.steps().count == 0);
}

TEST_CASE("a run's clock goes on evenly when the wall clock is set, forth or back, and counts it") {
  const int64_t by = GENERATE(3600 * kSecond, -3600 * kSecond, 2'000'000, -2'000'000);
  Machine machine;
  RunClock clock(machine.reading);
  machine.pass(kSecond);
  const int64_t before = clock.now(machine.reading);
  const int64_t stamped_before = machine.reading.wall;
  machine.set(by);
  machine.pass(kSecond);
  const int64_t now = clock.now(machine.reading);
  CHECK(now == before + kSecond);
  CHECK(clock.steps().count == 1);
  CHECK(clock.steps().sum_ns == by);

  // A frame stamped after the step has its right time; one of before, taken after, stays between floor and now.
  CHECK(clock.of(machine.reading.wall - 1000, before, now) == now - 1000);
  const int64_t old = clock.of(stamped_before, before, now);
  CHECK(old >= before);
  CHECK(old <= now + RunClock::kStep);
  machine.pass(kSecond);
  clock.now(machine.reading);
  CHECK(clock.steps().count == 1);
}

TEST_CASE("a run's clock is not stepped twice by a thread that read the clocks before the step") {
  Machine machine;
  RunClock clock(machine.reading);
  machine.pass(kSecond);
  const RunClock::Reading slow = machine.reading;
  machine.pass(1000);
  machine.set(60 * kSecond);
  clock.now(machine.reading);
  CHECK(clock.now(slow) == kWall + kSecond);
  machine.pass(1000);
  clock.now(machine.reading);
  CHECK(clock.steps().count == 1);
  CHECK(clock.steps().sum_ns == 60 * kSecond);
}

TEST_CASE("a run's clock takes two clocks that were read far apart for no step") {
  Machine machine;
  RunClock clock(machine.reading);
  machine.pass(kSecond);
  RunClock::Reading apart = machine.reading;
  apart.wall -= 20'000'000;  // read 20 ms before the other
  apart.apart = 20'000'000;
  clock.now(apart);
  CHECK(clock.steps().count == 0);
}

TEST_CASE("a run's clock on this machine does not see steps that are not there") {
  RunClock clock(RunClock::read());
  int64_t last = clock.now();
  for (int i = 0; i < 100'000; i++) {
    const int64_t now = clock.now();
    REQUIRE(now >= last);
    last = now;
  }
  CHECK(clock.steps().count == 0);
}
