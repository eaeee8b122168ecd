// Results on their way: in memory, then in a file, in the order they came.
#include "flow/outbox.h"

#include <sys/resource.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace tapline;

namespace {
constexpr size_t kSize = 1000;

/// A folder of its own, in which no file may appear.
struct Folder {
  std::filesystem::path path;
  Folder() : path(std::filesystem::temp_directory_path() / ("tapline-outbox-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string database() const { return (path / "x.db").string(); }
};

ResultBatch batch(uint8_t number) { return {ResultKind::kGaps, std::vector<uint8_t>(kSize + number, number)}; }

/// The numbers of all that can be taken now; each whole.
std::vector<int> take_all(Outbox& outbox) {
  std::vector<int> numbers;
  for (ResultBatch out; outbox.take(out);) {
    REQUIRE(out.records.size() == kSize + out.records[0]);
    REQUIRE(out.records.back() == out.records[0]);
    REQUIRE(out.kind == ResultKind::kGaps);
    numbers.push_back(out.records[0]);
  }
  return numbers;
}

/// No file of this process may become larger meanwhile: a disk that is full.
struct FullDisk {
  rlimit before{};
  explicit FullDisk(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit limit{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before); }
};
}  // namespace

TEST_CASE("results that have no room in memory wait in a file, and come out in order") {
  Folder folder;
  Outbox outbox(100, 3 * kSize);
  outbox.spill_beside(folder.database());
  for (uint8_t i = 1; i <= 50; i++) CHECK(outbox.put(batch(i)) == i);
  CHECK(outbox.spilled().bytes > 40 * kSize);
  CHECK(std::filesystem::is_empty(folder.path));

  ResultBatch first;
  for (int i = 1; i <= 10; i++) {
    REQUIRE(outbox.take(first));
    CHECK(first.records[0] == i);
  }
  for (uint8_t i = 51; i <= 60; i++) outbox.put(batch(i));  // there is memory again, but older ones are in the file
  const std::vector<int> rest = take_all(outbox);
  REQUIRE(rest.size() == 50);
  for (size_t i = 0; i < rest.size(); i++) CHECK(rest[i] == static_cast<int>(11 + i));

  const uint64_t before = outbox.spilled().bytes;
  outbox.put(batch(61));
  CHECK(outbox.spilled().bytes == before);  // all was taken: memory first
  CHECK(take_all(outbox) == std::vector<int>{61});
  CHECK(outbox.spilled().unread == 0);
}

TEST_CASE("without a folder an outbox has its memory and no more") {
  Outbox outbox(100, 3 * kSize);
  uint8_t taken = 0;
  while (taken < 100 && outbox.offer(batch(taken))) taken++;
  CHECK(taken == 3);
  CHECK(take_all(outbox).size() == 3);
  CHECK(outbox.offer(batch(9)));
}

TEST_CASE("a full disk makes the engine wait, loses nothing, and is tried again") {
  Folder folder;
  Outbox outbox(100, 3 * kSize);
  outbox.spill_beside(folder.database());
  std::vector<int> all;
  {
    FullDisk disk(5 * kSize);
    uint8_t given = 0;
    while (given < 100 && outbox.offer(batch(given))) given++;
    CHECK(given == 7);  // three in memory, four in the file
    std::thread writer([&] {
      for (uint8_t i = given; i < 30; i++) outbox.put(batch(i));
    });
    while (all.size() < 30) {
      for (const int number : take_all(outbox)) all.push_back(number);
    }
    writer.join();
  }
  REQUIRE(all.size() == 30);
  for (size_t i = 0; i < all.size(); i++) CHECK(all[i] == static_cast<int>(i));
  CHECK(outbox.waited_ns() > 0);
  CHECK(take_all(outbox).empty());
  for (uint8_t i = 0; i < 60; i++) REQUIRE(outbox.offer(batch(i)));
  CHECK(take_all(outbox).size() == 60);
}

TEST_CASE("an abandoned outbox lets go of whoever waits") {
  Outbox outbox(1, kSize);
  outbox.put(batch(1));
  std::thread writer([&] { outbox.put(batch(2)); });
  outbox.abandon();
  writer.join();
  CHECK(take_all(outbox).empty());
}
