// Whole analyses of files written here: the same result for any number of threads, whatever the file holds.
#include "replay/analysis.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>

using namespace tapline;

namespace {
constexpr int64_t kSecond = 1'000'000'000;

struct Bytes {
  std::string text;
  template <typename T>
  Bytes& put(T value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& u16(uint16_t v) { return put(v); }
  Bytes& u32(uint32_t v) { return put(v); }
  Bytes& fill(size_t count, char with = 0) {
    text.append(count, with);
    return *this;
  }
  Bytes& add(const std::string& more) {
    text += more;
    return *this;
  }

  static Bytes pcap() { return Bytes().u32(0xA1B23C4D).u16(2).u16(4).u32(0).u32(0).u32(65535).u32(1); }
  Bytes& record(int64_t ns, const std::string& frame) {
    const auto length = static_cast<uint32_t>(frame.size());
    return u32(static_cast<uint32_t>(ns / kSecond))
        .u32(static_cast<uint32_t>(ns % kSecond))
        .u32(length)
        .u32(length)
        .add(frame);
  }
  Bytes& block(uint32_t type, const std::string& body) {
    const size_t padded = (body.size() + 3) / 4 * 4;
    const auto length = static_cast<uint32_t>(padded + 12);
    return u32(type).u32(length).add(body).fill(padded - body.size()).u32(length);
  }
  Bytes& section() { return block(0x0A0D0D0A, Bytes().u32(0x1A2B3C4D).u16(1).u16(0).put(int64_t{-1}).text); }
  /// Of Ethernet, in nanoseconds.
  Bytes& interface() { return block(1, Bytes().u16(1).u16(0).u32(65535).u16(9).u16(1).u32(9).u32(0).text); }
  Bytes& packet(uint32_t interface, int64_t ns, const std::string& frame) {
    const auto length = static_cast<uint32_t>(frame.size());
    const auto time = static_cast<uint64_t>(ns);
    return block(6, Bytes()
                        .u32(interface)
                        .u32(static_cast<uint32_t>(time >> 32))
                        .u32(static_cast<uint32_t>(time))
                        .u32(length)
                        .u32(length)
                        .add(frame)
                        .text);
  }
};

void put_be(std::string& to, uint64_t value, int bytes) {
  while (bytes-- > 0) to += static_cast<char>(value >> (8 * bytes));
}

std::string macsec(uint64_t sci, unsigned an, uint32_t number, const std::string& payload) {
  std::string frame(12, '\x02');
  put_be(frame, 0x88E5, 2);
  frame += static_cast<char>(0x2C | an);
  frame += '\0';
  put_be(frame, number, 4);
  put_be(frame, sci, 8);
  return frame + payload + std::string(16, '\x55');
}

std::string arp() {
  std::string frame(12, '\x02');
  put_be(frame, 0x0806, 2);
  return frame + std::string(28, '\0');
}

/// Frames over many flows with loss, reordering, duplicates, rekeys, pauses and some ARP.
struct Traffic {
  std::mt19937 random;
  std::vector<uint32_t> next;
  int64_t now = 1'700'000'000 * kSecond;
  uint32_t most_payload;

  Traffic(unsigned seed, size_t flows, uint32_t payload) : random(seed), next(flows, 1), most_payload(payload) {}
  virtual ~Traffic() = default;
  virtual std::string payload() { return std::string(random() % most_payload, '\x11'); }

  std::string frame() {
    now += random() % 50'000;
    if (random() % 2000 == 0) now += 70 * kSecond;
    if (random() % 50 == 0) return arp();
    const size_t flow = random() % next.size();
    uint32_t& number = next[flow];
    const uint32_t dice = random() % 100;
    if (dice < 5) number += 1 + random() % 5;  // lost
    uint32_t sent = number++;
    if (dice >= 95) sent -= std::min(sent - 1, static_cast<uint32_t>(random() % 6));  // late, duplicate, or reordered
    if (dice == 50) sent = random();
    return macsec(0x0200'0000'0000'0001 + (flow / 3 << 16), flow % 3, sent, payload());
  }
};

class File {
 public:
  std::string path = std::filesystem::temp_directory_path() /
                     ("tapline-analysis-" + std::to_string(getpid()) + "-" + std::to_string(made_++));
  explicit File(const Bytes& bytes) { std::ofstream(path, std::ios::binary) << bytes.text; }
  ~File() { std::filesystem::remove(path); }

 private:
  static inline int made_ = 0;
};

struct Outcome {
  AnalysisResult result;
  std::vector<std::string> flows, gaps, links;

  int64_t residue() const {
    int64_t sum = 0;
    for (const InterfaceLedger& row : result.ledger) sum += std::abs(row.residue());
    return sum;
  }
  std::vector<uint64_t> ledger() const {
    std::vector<uint64_t> all;
    for (const InterfaceLedger& row : result.ledger) {
      const Tally& c = row.counts;
      all.insert(all.end(), {c.seen, c.delivered, c.decoded, row.tracked, row.invalid_number});
      all.insert(all.end(), c.undecodable, c.undecodable + kUndecodableCount);
      all.insert(all.end(), c.untracked, c.untracked + kUntrackedCount);
    }
    return all;
  }
  std::vector<FlowRecord> records() const {
    std::vector<FlowRecord> all(flows.size());
    for (size_t i = 0; i < flows.size(); i++) std::memcpy(&all[i], flows[i].data(), sizeof(FlowRecord));
    std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.packet < b.packet; });
    return all;
  }
};

void append(std::vector<std::string>& to, const ResultBatch& batch, size_t size) {
  for (size_t at = 0; at < batch.records.size(); at += size) {
    to.emplace_back(reinterpret_cast<const char*>(&batch.records[at]), size);
  }
}

/// Runs to the end, taking results as they come. `stop_at` > 0: stops once so many packets were read.
Outcome analyze(AnalysisOptions options, uint64_t stop_at = 0) {
  FileStatus status;
  auto analysis = Analysis::open(options, status);
  INFO(status.code);
  REQUIRE(analysis);
  Outcome out;
  std::promise<AnalysisResult> promise;
  auto done = promise.get_future();
  analysis->start([&](const AnalysisResult& result) { promise.set_value(result); });
  const auto take = [&] {
    for (ResultBatch batch; analysis->outbox().take(batch);) {
      if (batch.kind == ResultKind::kFlows) append(out.flows, batch, sizeof(FlowRecord));
      if (batch.kind == ResultKind::kGaps) append(out.gaps, batch, sizeof(GapRecord));
      if (batch.kind == ResultKind::kLinks) append(out.links, batch, sizeof(LinkRecord));
    }
  };
  while (done.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    take();
    if (stop_at > 0 && analysis->progress().packets >= stop_at) analysis->stop();
  }
  take();
  out.result = done.get();
  for (auto* records : {&out.flows, &out.gaps, &out.links}) std::sort(records->begin(), records->end());
  return out;
}

AnalysisOptions reading(const File& file, unsigned threads = 1) {
  AnalysisOptions options;
  options.path = file.path;
  options.threads = threads;
  options.limits.max_flows = 1 << 16;
  return options;
}

void check_same(const Outcome& a, const Outcome& b) {
  CHECK(a.flows == b.flows);
  CHECK(a.gaps == b.gaps);
  CHECK(a.links == b.links);
  CHECK(a.ledger() == b.ledger());
  CHECK(a.result.packets == b.result.packets);
  CHECK(a.result.time_reversed == b.result.time_reversed);
  CHECK(a.result.bytes_read == b.result.bytes_read);
  CHECK(a.result.last_time == b.result.last_time);
  CHECK(a.result.flows.flows == b.result.flows.flows);
  CHECK(a.residue() == 0);
  CHECK(b.residue() == 0);
}

void check_alike_for_all_threads(const File& file) {
  const Outcome one = analyze(reading(file));
  CHECK(one.result.complete);
  CHECK(one.result.flows.flows == one.flows.size());
  for (const unsigned threads : {2u, 3u, 4u}) {
    INFO(threads << " threads");
    check_same(one, analyze(reading(file, threads)));
  }
}

constexpr uint64_t kManyFrames = 30'000;

Bytes plain_capture(uint64_t frames = kManyFrames) {
  Traffic traffic(1, 500, 120);
  Bytes bytes = Bytes::pcap();
  for (uint64_t i = 0; i < frames; i++) {
    const std::string frame = traffic.frame();
    bytes.record(traffic.now - static_cast<int64_t>(traffic.random() % 3 * 20'000), frame);
  }
  return bytes;
}
}  // namespace

TEST_CASE("the result is the same for 1, 2, 3 and 4 threads") {
  const Bytes bytes = plain_capture();
  const File file(bytes);
  check_alike_for_all_threads(file);
  const Outcome one = analyze(reading(file));
  CHECK(one.result.packets == kManyFrames);
  CHECK(one.result.bytes_read == bytes.text.size() - 24);
  CHECK(one.result.time_reversed > 0);
  CHECK(one.gaps.size() > 500);
  CHECK(one.links.size() > 300);
  for (const FlowRecord& f : one.records()) {
    CHECK(f.expected == f.unique + f.lost);
    CHECK(f.packets == f.unique + f.duplicate + f.late + f.outliers);
  }
}

TEST_CASE("payloads that look like records mislead no thread") {
  struct Bait : Traffic {
    using Traffic::Traffic;
    std::string payload() override {
      Bytes fake;
      for (int i = 0; i < 30; i++) fake.record(now, macsec(0xBAD, 0, 1 + i, ""));
      return fake.text;
    }
  } traffic(2, 200, 1);
  Bytes bytes = Bytes::pcap();
  for (int i = 0; i < 2500; i++) {
    const std::string frame = traffic.frame();
    bytes.record(traffic.now, frame);
  }
  REQUIRE(bytes.text.size() > 4u << 20);
  const File file(bytes);
  check_alike_for_all_threads(file);
  const Outcome two = analyze(reading(file, 2));
  CHECK(two.result.chunks_read_again > 0);
  CHECK(two.result.packets == 2500);
}

namespace {
Bytes changing_capture() {
  Traffic traffic(3, 300, 200);
  Bytes bytes;
  bytes.section().interface();
  uint32_t interfaces = 1;
  for (uint64_t i = 0; i < kManyFrames; i++) {
    if (i % 4000 == 3999) {
      bytes.interface();
      interfaces++;
    }
    if (i == kManyFrames / 2) {
      bytes.section().interface();
      interfaces = 1;
    }
    const std::string frame = traffic.frame();
    bytes.packet(static_cast<uint32_t>(traffic.random() % interfaces), traffic.now, frame);
  }
  return bytes;
}
}  // namespace

TEST_CASE("pcapng with interfaces and sections in its middle") {
  const File file(changing_capture());
  check_alike_for_all_threads(file);
  const Outcome one = analyze(reading(file));
  CHECK(one.result.pcapng);
  CHECK(one.result.packets == kManyFrames);
  CHECK(one.result.ledger.size() == 9);
  for (const InterfaceLedger& row : one.result.ledger) CHECK(row.counts.seen > 0);
}

TEST_CASE("a second pass is marked, goes on in time, and knows the interfaces of the first") {
  const File file(changing_capture());
  AnalysisOptions twice = reading(file, 2);
  twice.loop = 2;
  const Outcome once = analyze(reading(file)), looped = analyze(twice);
  CHECK(looped.result.passes == 2);
  CHECK(looped.result.complete);
  CHECK(looped.result.packets == 2 * kManyFrames);
  CHECK(looped.result.bytes_read == 2 * once.result.bytes_read);
  CHECK(looped.result.ledger.size() == once.result.ledger.size());
  CHECK(looped.result.ledger[0].counts.seen == 2 * once.result.ledger[0].counts.seen);
  CHECK(looped.residue() == 0);
  CHECK(looped.result.time_reversed == 2 * once.result.time_reversed);
  const int64_t lasted = once.result.last_time - once.result.first_time;
  CHECK(looped.result.last_time - looped.result.first_time ==
        2 * lasted + lasted / static_cast<int64_t>(kManyFrames - 1));
  twice.threads = 1;
  check_same(analyze(twice), looped);
}

TEST_CASE("each pass adds the same time") {
  Bytes bytes = Bytes::pcap();
  for (int i = 0; i < 3; i++) bytes.record(5 * kSecond + i * 10, macsec(1, 0, 1 + i, ""));
  const File file(bytes);
  AnalysisOptions options = reading(file);
  options.loop = 100;
  const Outcome out = analyze(options);
  CHECK(out.result.packets == 300);
  CHECK(out.result.last_time - out.result.first_time == 299 * 10);
}

TEST_CASE("times at the ends of what a file can say") {
  Bytes bytes;
  bytes.section().interface();
  uint32_t number = 1;
  for (const int64_t time : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::min(), int64_t{5}}) {
    bytes.packet(0, time, macsec(1, 0, number += 2, ""));
  }
  const File file(bytes);
  AnalysisOptions options = reading(file);
  for (const unsigned loop : {1u, 9u}) {
    options.loop = loop;
    const Outcome out = analyze(options);
    CHECK(out.result.packets == 4 * loop);
    CHECK(out.residue() == 0);
    CHECK(out.result.last_time >= out.result.first_time);
    for (const FlowRecord& f : out.records()) CHECK(f.expected == f.unique + f.lost);
  }
}

TEST_CASE("a stop keeps what was read, whole, and says that it is not all") {
  const File file(plain_capture(60'000));
  for (const unsigned threads : {1u, 2u, 4u}) {
    AnalysisOptions options = reading(file, threads);
    options.loop = 10'000;
    const Outcome out = analyze(options, 30'000);
    CHECK_FALSE(out.result.complete);
    CHECK(out.result.packets >= 30'000);
    CHECK(out.residue() == 0);
    CHECK(out.result.flows.flows == out.flows.size());
    CHECK(out.result.flows.gaps == out.gaps.size());
  }
}

TEST_CASE("a reader that leaves without taking anything holds nobody up") {
  const File file(plain_capture());
  FileStatus status;
  AnalysisOptions options = reading(file, 3);
  options.loop = 1000;
  options.limits.max_flows = 50;  // evictions: many records
  auto analysis = Analysis::open(options, status);
  REQUIRE(analysis);
  analysis->start([](const AnalysisResult&) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  analysis.reset();
}

TEST_CASE("a damaged end is named, and what came before it counts") {
  Bytes bytes = plain_capture();
  bytes.text.resize(bytes.text.size() - 7);
  const File file(bytes);
  check_same(analyze(reading(file)), analyze(reading(file, 3)));
  const Outcome out = analyze(reading(file, 2));
  CHECK(std::string(out.result.status.code) == "FILE_TRUNCATED");
  CHECK_FALSE(out.result.complete);
  CHECK(out.result.packets == kManyFrames - 1);
}

TEST_CASE("a fixed rate and the capture's own gaps keep their pace") {
  Bytes bytes = Bytes::pcap();
  for (uint32_t i = 0; i < 200; i++) bytes.record(kSecond + i * 2'000'000, macsec(1, 0, 1 + i, ""));
  const File file(bytes);
  AnalysisOptions options = reading(file, 4);
  SECTION("1,000 a second") { options.pps = 1000; }
  SECTION("twice as fast") { options.speed = 2; }
  const Outcome out = analyze(options);
  CHECK(out.result.paced);
  CHECK(out.result.threads == 1);
  CHECK(out.result.packets == 200);
  CHECK(out.result.engine_ns >= 199'000'000);
  CHECK(out.result.engine_ns < 400'000'000);
  CHECK(out.result.late_p50 < 5'000'000);
  CHECK(out.records()[0].unique == 200);
}

TEST_CASE("a stop does not wait for a frame that is a century away") {
  Bytes bytes = Bytes::pcap();
  bytes.record(1, macsec(1, 0, 1, "")).record(4'000'000'000 * kSecond, macsec(1, 0, 2, ""));
  const File file(bytes);
  AnalysisOptions options = reading(file);
  options.speed = 1e-9;
  const Outcome out = analyze(options, 1);
  CHECK(out.result.packets == 2);
  CHECK(out.result.engine_ns < 2 * kSecond);
  CHECK(out.residue() == 0);
}
