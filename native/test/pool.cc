// Blocks of a pool: whose they are, what is in them, and when their memory goes back.
#include "flow/pool.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace tapline;

namespace {
struct Thing {
  uint64_t value[4];
};
constexpr size_t kMany = 200'000;  ///< more than a pool keeps when all of it came back

std::vector<uint32_t> take_all(Pool<Thing>& pool) {
  std::vector<uint32_t> taken;
  for (uint32_t block; (block = pool.take()) != Pool<Thing>::kNone;) taken.push_back(block);
  return taken;
}
}  // namespace

TEST_CASE("a pool gives no block twice, as many as its limit, and again what came back") {
  Pool<Thing> pool(100);
  REQUIRE(pool.allocated());
  const uint32_t four = pool.take(2);
  for (uint64_t i = 0; i < 4; i++) pool.at(four)[i].value[0] = i;
  std::vector<uint32_t> ones = take_all(pool);
  CHECK(ones.size() == 96);
  for (const uint32_t block : ones) *pool.at(block) = Thing{{7, 7, 7, 7}};
  for (uint64_t i = 0; i < 4; i++) CHECK(pool.at(four)[i].value[0] == i);
  CHECK(pool.take(1) == Pool<Thing>::kNone);
  pool.give(ones[10]);
  pool.give(ones[20]);
  CHECK(pool.take() == ones[20]);
  CHECK(pool.take() == ones[10]);
  CHECK(pool.take() == Pool<Thing>::kNone);
  pool.give(four, 2);
  CHECK(pool.take() == Pool<Thing>::kNone);
  CHECK(pool.take(2) == four);
}

TEST_CASE("blocks keep their names and contents when a pool grows") {
  Pool<Thing> pool(10);
  const std::vector<uint32_t> before = take_all(pool);
  for (const uint32_t block : before) pool.at(block)->value[3] = block;
  REQUIRE(pool.grow(kMany));
  CHECK(take_all(pool).size() == kMany - 10);
  for (const uint32_t block : before) CHECK(pool.at(block)->value[3] == block);
}

TEST_CASE("the last block that comes back gives the memory of many back") {
  Pool<Thing> pool(kMany);
  std::vector<uint32_t> taken = take_all(pool);
  for (const uint32_t block : taken) *pool.at(block) = Thing{{1, 1, 1, 1}};
  const Thing* early = pool.at(taken.front());
  const uint32_t last = taken.back();
  taken.pop_back();
  for (const uint32_t block : taken) pool.give(block);
  CHECK(early->value[3] == 1);
  pool.give(last);
  CHECK(early->value[3] == 0);  // a fresh page
  CHECK(take_all(pool).size() == kMany);
}
