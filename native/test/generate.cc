// The generator against a reader that shares no code with it: headers and checksums recomputed, and every counter of
// the truth recounted from the packets alone.
#include "generate/generate.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace tapline;

namespace {

struct Files {
  std::string capture, truth;
  Files() {
    static int count = 0;
    const std::string stem = "/tmp/tapline-generate-" + std::to_string(getpid()) + "-" + std::to_string(count++);
    capture = stem + ".pcap";
    truth = stem + ".json";
  }
  ~Files() {
    std::remove(capture.c_str());
    std::remove(truth.c_str());
  }
};

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

GenerateResult make(const GenerateOptions& wanted, const Files& files) {
  GenerateOptions options = wanted;
  options.path = files.capture;
  options.truth_path = files.truth;
  std::atomic<uint64_t> made{0};
  const std::atomic<bool> stop{false};
  GenerateResult result = generate(options, made, stop);
  if (result.ok()) CHECK(made == result.packets);
  return result;
}

GenerateOptions hard(TrafficKind protocol) {
  GenerateOptions o;
  o.packets = 30000;
  o.flows = 60;
  o.protocol = protocol;
  o.seed = 7;
  o.loss = 0.05;
  o.reorder = 0.05;
  o.duplicate = 0.01;
  o.rekey = 150;
  o.xpn = o.esn = o.ipv6 = o.vlan = true;
  o.start_ns = 1700000000000000000;
  return o;
}

using Bytes = std::vector<uint8_t>;
struct Frame {
  Bytes bytes;
  uint64_t time_ns;
};

uint32_t little(const std::string& s, size_t at) {
  uint32_t v = 0;
  for (int i = 3; i >= 0; --i) v = v << 8 | static_cast<uint8_t>(s[at + static_cast<size_t>(i)]);
  return v;
}
uint32_t big(const Bytes& b, size_t at, size_t length) {
  uint32_t v = 0;
  for (size_t i = 0; i < length; ++i) v = v << 8 | b.at(at + i);
  return v;
}
std::string hex(const Bytes& b, size_t at, size_t length) {
  std::string out;
  char two[3];
  for (size_t i = 0; i < length; ++i) {
    std::snprintf(two, sizeof two, "%02x", b.at(at + i));
    out += two;
  }
  return out;
}

std::vector<Frame> read_capture(const std::string& path) {
  const std::string s = slurp(path);
  std::vector<Frame> frames;
  const auto cut = [&](size_t at, size_t length) {
    REQUIRE(at + length <= s.size());
    return Bytes(s.begin() + static_cast<long>(at), s.begin() + static_cast<long>(at + length));
  };
  const uint32_t magic = little(s, 0);
  if (magic == 0x0A0D0D0A) {
    for (size_t at = 0; at < s.size();) {
      const uint32_t type = little(s, at), total = little(s, at + 4);
      REQUIRE((total % 4 == 0 && total >= 12 && at + total <= s.size()));
      REQUIRE(little(s, at + total - 4) == total);
      if (type == 6) {
        const uint64_t time = static_cast<uint64_t>(little(s, at + 12)) << 32 | little(s, at + 16);
        frames.push_back({cut(at + 28, little(s, at + 20)), time});
      }
      at += total;
    }
    return frames;
  }
  const uint32_t unit = magic == 0xA1B23C4D ? 1 : 1000;
  REQUIRE((unit == 1 || magic == 0xA1B2C3D4));
  for (size_t at = 24; at < s.size();) {
    const uint32_t length = little(s, at + 8);
    REQUIRE(little(s, at + 12) == length);
    frames.push_back({cut(at + 16, length), little(s, at) * 1000000000ull + little(s, at + 4) * unit});
    at += 16 + length;
  }
  return frames;
}

uint32_t folded(const Bytes& b, size_t at, size_t length, uint32_t sum) {
  for (size_t i = 0; i < length; ++i) sum += static_cast<uint32_t>(b.at(at + i)) << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return sum;
}

/// What one frame says about itself.
struct Seen {
  std::string protocol, key;
  uint32_t number = 0;
  bool numbered = false;
};

Seen parse(const Bytes& f) {
  Seen seen;
  REQUIRE(f.size() >= 60);
  size_t at = 12;
  std::string tags;
  while (big(f, at, 2) == 0x8100 || big(f, at, 2) == 0x88A8) {
    tags += "/" + std::to_string(big(f, at + 2, 2) & 0xFFF);
    at += 4;
  }
  const uint32_t type = big(f, at, 2);
  at += 2;
  if (type == 0x888E) {
    REQUIRE(f.at(at + 1) == 5);
    REQUIRE(at + 4 + big(f, at + 2, 2) == f.size());
    seen.protocol = "eapol";
    return seen;
  }
  if (type == 0x88E5) {
    const uint8_t tci = f.at(at);
    const size_t head = (tci & 0x20) != 0 ? 14 : 6;
    const size_t secured = f.size() - at - head - 16;
    REQUIRE((tci & 0x80) == 0);
    REQUIRE(f.at(at + 1) == (secured < 48 ? secured : 0));
    std::string sci;
    if ((tci & 0x20) != 0) {
      REQUIRE((tci & 0x50) == 0);
      sci = hex(f, at + 6, 8);
    } else {
      REQUIRE((tci & 0x50) != 0);
      sci = hex(f, 6, 6) + ((tci & 0x10) != 0 ? "0000" : "0001");
    }
    return {"macsec", "macsec " + sci + " " + std::to_string(tci & 3) + tags, big(f, at + 2, 4), true};
  }
  const bool v6 = type == 0x86DD;
  REQUIRE((v6 || type == 0x0800));
  const size_t address = at + (v6 ? 8 : 12), width = v6 ? 16 : 4, transport = at + (v6 ? 40 : 20);
  const uint32_t protocol = f.at(at + (v6 ? 6 : 9));
  if (v6) {
    REQUIRE(big(f, at + 4, 2) == f.size() - transport);
  } else {
    REQUIRE(f.at(at) == 0x45);
    REQUIRE(big(f, at + 2, 2) == f.size() - at);
    REQUIRE(folded(f, at, 20, 0) == 0xFFFF);
  }
  const std::string to = hex(f, address + width, width), from = hex(f, address, width);
  const auto check = [&](size_t start, uint32_t kind) {
    const auto length = static_cast<uint32_t>(f.size() - start);
    REQUIRE(folded(f, start, length, folded(f, address, 2 * width, 0) + kind + length) == 0xFFFF);
  };
  size_t esp = 0;
  if (protocol == 50) esp = transport;
  if (protocol == 17) {
    REQUIRE(big(f, transport + 4, 2) == f.size() - transport);
    const bool nat_t = big(f, transport + 2, 2) == 4500;
    if (v6 || !nat_t) check(transport, 17);
    if (nat_t) esp = transport + 8;
  }
  if (esp != 0) {
    REQUIRE((f.size() - esp) % 4 == 0);
    REQUIRE(f.size() - esp >= 8 + 8 + 4 + 16);
    return {"esp", "esp " + to + " " + hex(f, esp, 4) + tags, big(f, esp + 4, 4), true};
  }
  if (protocol == 51) {
    REQUIRE(f.at(transport + 1) == 4);
    check(transport + 24, 17);
    return {"ah", "ah " + to + " " + hex(f, transport + 4, 4) + tags, big(f, transport + 8, 4), true};
  }
  REQUIRE((protocol == 6 || protocol == 17));
  if (protocol == 6) check(transport, 6);
  const std::string name = protocol == 6 ? "tcp" : "udp";
  return {name, name + " " + from + to + hex(f, transport, 4) + tags, 0, false};
}

struct Recount {
  std::string protocol;
  uint64_t packets = 0, bytes = 0, reordered = 0, duplicate = 0, gaps = 0, lost = 0, min_gap = 0, max_gap = 0;
  uint64_t first = 0, last = 0;
  std::set<uint64_t> numbers;
};

/// Keyed by the number of the flow's first packet.
std::map<uint64_t, Recount> recount(const std::vector<Frame>& frames, uint64_t& eapol) {
  std::map<std::string, uint64_t> names;
  std::map<uint64_t, Recount> flows;
  uint64_t packet = 0, before = 0;
  eapol = 0;
  for (const Frame& frame : frames) {
    ++packet;
    REQUIRE(frame.time_ns >= before);
    before = frame.time_ns;
    const Seen seen = parse(frame.bytes);
    if (seen.protocol == "eapol") {
      ++eapol;
      continue;
    }
    Recount& flow = flows[names.try_emplace(seen.key, packet).first->second];
    flow.protocol = seen.protocol;
    ++flow.packets;
    flow.bytes += frame.bytes.size();
    if (!seen.numbered) continue;
    const uint64_t highest = flow.numbers.empty() ? seen.number : *flow.numbers.rbegin();
    const uint64_t number =
        highest +
        static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(seen.number - static_cast<uint32_t>(highest))));
    REQUIRE(number != 0);
    REQUIRE(number + 1023 >= highest);  // else an observer would call it late
    if (!flow.numbers.insert(number).second) {
      ++flow.duplicate;
    } else if (number < highest) {
      ++flow.reordered;
    }
  }
  for (auto& [first, flow] : flows) {
    if (flow.numbers.empty()) continue;
    flow.first = *flow.numbers.begin();
    flow.last = *flow.numbers.rbegin();
    uint64_t previous = flow.first;
    for (const uint64_t number : flow.numbers) {
      const uint64_t gap = number - previous;
      previous = number;
      if (gap <= 1) continue;
      ++flow.gaps;
      flow.lost += gap - 1;
      flow.max_gap = std::max(flow.max_gap, gap - 1);
      flow.min_gap = flow.min_gap == 0 ? gap - 1 : std::min(flow.min_gap, gap - 1);
    }
  }
  return flows;
}

uint64_t value(const std::string& line, const std::string& name) {
  const size_t at = line.find("\"" + name + "\":");
  INFO(name << " in " << line);
  REQUIRE(at != std::string::npos);
  return std::stoull(line.substr(at + name.size() + 3));
}

/// The truth says what the packets say; returns the number of wrapped flows.
int compare(const GenerateResult& result, const Files& files) {
  REQUIRE(result.ok());
  uint64_t eapol = 0, lost = 0;
  int wrapped = 0;
  const std::vector<Frame> frames = read_capture(files.capture);
  std::map<uint64_t, Recount> flows = recount(frames, eapol);
  CHECK(frames.size() == result.packets);
  CHECK(flows.size() == result.flows);
  std::istringstream truth(slurp(files.truth));
  size_t lines = 0;
  for (std::string line; std::getline(truth, line);) {
    if (line.rfind("\"untracked\"", 0) == 0) CHECK(value(line, "eapol") == eapol);
    if (line.rfind("{\"protocol\"", 0) != 0) continue;
    ++lines;
    INFO(line);
    const auto found = flows.find(value(line, "packet"));
    REQUIRE(found != flows.end());
    const Recount& flow = found->second;
    CHECK(line.find("\"protocol\":\"" + flow.protocol + "\"") != std::string::npos);
    CHECK(value(line, "packets") == flow.packets);
    CHECK(value(line, "bytes") == flow.bytes);
    CHECK(value(line, "first_number") == flow.first);
    CHECK(value(line, "last_number") == flow.last);
    CHECK(value(line, "expected") == (flow.numbers.empty() ? 0 : flow.last - flow.first + 1));
    CHECK(value(line, "unique") == flow.numbers.size());
    CHECK(value(line, "reordered") == flow.reordered);
    CHECK(value(line, "duplicate") == flow.duplicate);
    CHECK(value(line, "lost") == flow.lost);
    CHECK(value(line, "gaps") == flow.gaps);
    CHECK(value(line, "min_gap") == flow.min_gap);
    CHECK(value(line, "max_gap") == flow.max_gap);
    CHECK(value(line, "late") == 0);
    CHECK(value(line, "sent") == value(line, "dropped") + flow.packets - value(line, "duplicated"));
    lost += flow.lost;
    if (flow.last >> 32 != 0) ++wrapped;
  }
  CHECK(lines == flows.size());
  CHECK(lost == result.lost);
  return wrapped;
}

constexpr TrafficKind kAll[] = {TrafficKind::kMacsec, TrafficKind::kIpsec, TrafficKind::kMixed, TrafficKind::kTcp};

}  // namespace

TEST_CASE("the same options give the same bytes, another seed others", "[generate]") {
  for (const TrafficKind kind : kAll) {
    const Files first, second, third;
    GenerateOptions options = hard(kind);
    REQUIRE(make(options, first).ok());
    REQUIRE(make(options, second).ok());
    options.seed = 8;
    REQUIRE(make(options, third).ok());
    CHECK(slurp(first.capture) == slurp(second.capture));
    CHECK(slurp(first.truth) == slurp(second.truth));
    CHECK(slurp(first.capture) != slurp(third.capture));
  }
}

TEST_CASE("frames are valid and the truth is what the packets say", "[generate]") {
  for (const TrafficKind kind : kAll) {
    const Files files;
    CHECK((compare(make(hard(kind), files), files) > 0) == (kind != TrafficKind::kTcp));
  }
}

TEST_CASE("every combination of options agrees with its own packets", "[generate]") {
  for (unsigned bits = 0; bits < 512; ++bits) {
    GenerateOptions options = hard(kAll[bits & 3]);
    options.packets = 600;
    options.flows = bits & 4 ? 7 : 90;
    options.seed = bits;
    options.rekey = bits & 8 ? 20 : 0;
    options.loss = bits & 16 ? 0.2 : 0;
    options.reorder = bits & 32 ? 0.5 : 0;
    options.duplicate = bits & 64 ? 0.3 : 0;
    options.xpn = options.esn = bits & 128;
    options.ipv6 = options.vlan = bits & 256;
    options.pcapng = bits & 4;
    options.nanosecond = bits & 8;
    const Files files;
    INFO(bits);
    const int wrapped = compare(make(options, files), files);
    if (!options.xpn) CHECK(wrapped == 0);
  }
}

TEST_CASE("the extremes hold: all loss and disorder at once, one flow, few packets, tiny and huge frames",
          "[generate]") {
  GenerateOptions options = hard(TrafficKind::kMixed);
  options.loss = 0.9;
  options.reorder = 0.5;
  options.duplicate = 1;
  options.rekey = 3;
  {
    const Files files;
    compare(make(options, files), files);
  }
  options = hard(TrafficKind::kIpsec);
  options.flows = 1;
  {
    const Files files;
    compare(make(options, files), files);
  }
  options = hard(TrafficKind::kMacsec);
  options.packets = 5;
  {
    const Files files;
    compare(make(options, files), files);
  }
  options = hard(TrafficKind::kMixed);
  options.packets = 2000;
  options.min_size = 0;
  options.max_size = 1;
  {
    const Files files;
    compare(make(options, files), files);
  }
  options.min_size = 65000;
  options.max_size = 65535;
  {
    const Files files;
    compare(make(options, files), files);
  }
}

TEST_CASE("loss, disorder and copies come at about the asked rates", "[generate]") {
  GenerateOptions options = hard(TrafficKind::kMacsec);
  options.packets = 200000;
  options.rekey = 0;
  options.max_size = 100;
  const Files files;
  const GenerateResult result = make(options, files);
  REQUIRE(result.ok());
  std::istringstream truth(slurp(files.truth));
  std::string line;
  while (std::getline(truth, line) && line.rfind("\"totals\"", 0) != 0) continue;
  const auto share = [&](const char* part, const char* of) {
    return static_cast<double>(value(line, part)) / static_cast<double>(value(line, of));
  };
  CHECK((share("dropped", "sent") > 0.045 && share("dropped", "sent") < 0.055));
  CHECK((share("reordered", "unique") > 0.045 && share("reordered", "unique") < 0.055));
  CHECK((share("duplicate", "unique") > 0.009 && share("duplicate", "unique") < 0.011));
}

TEST_CASE("every flow gets a packet, and nothing that was delayed comes more than a second later", "[generate]") {
  GenerateOptions options = hard(TrafficKind::kMacsec);
  options.rekey = 0;
  options.packets = options.flows;
  {
    const Files files;
    const GenerateResult result = make(options, files);
    CHECK(result.flows == options.flows);
    compare(result, files);
  }
  options.packets = 3000;
  options.flows = 100;
  options.pps = 20;  // a flow speaks every five seconds
  options.reorder = 0.3;
  const Files files;
  compare(make(options, files), files);
  std::map<std::string, std::pair<uint32_t, uint64_t>> highest;  // and when it came
  std::set<std::pair<std::string, uint32_t>> met;
  int reordered = 0;
  for (const Frame& frame : read_capture(files.capture)) {
    const Seen seen = parse(frame.bytes);
    if (!met.insert({seen.key, seen.number}).second) continue;
    auto& [number, time] = highest[seen.key];
    if (static_cast<int32_t>(seen.number - number) > 0 || time == 0) {
      if (time != 0) CHECK(frame.time_ns - time < 58000000000u);
      number = seen.number;
      time = frame.time_ns;
    } else {
      CHECK(frame.time_ns - time <= 1000000000u);
      ++reordered;
    }
  }
  CHECK(reordered > 100);
}

TEST_CASE("what cannot be made is refused with its code", "[generate]") {
  const Files files;
  GenerateOptions options = hard(TrafficKind::kMacsec);
  options.pps = 1;
  CHECK(std::string(make(options, files).code) == "GENERATE_TOO_SLOW");
  options = hard(TrafficKind::kMacsec);
  options.loss = 0.95;
  CHECK(std::string(make(options, files).code) == "GENERATE_BAD_OPTION");
  options = hard(TrafficKind::kMacsec);
  options.path = "/nonexistent/folder/x.pcap";
  std::atomic<uint64_t> made{0};
  const std::atomic<bool> stop{false};
  const GenerateResult result = generate(options, made, stop);
  CHECK(std::string(result.code) == "FILE_WRITE_FAILED");
  CHECK(result.path == options.path);
  CHECK(result.detail == "No such file or directory");
  if (access("/dev/full", W_OK) == 0) {
    options.path = "/dev/full";
    CHECK(std::string(generate(options, made, stop).code) == "FILE_WRITE_FAILED");
  }
}

TEST_CASE("after a stop both files are sound and agree", "[generate]") {
  const Files files;
  GenerateOptions options = hard(TrafficKind::kMixed);
  options.packets = 1ull << 40;
  options.path = files.capture;
  options.truth_path = files.truth;
  std::atomic<uint64_t> made{0};
  const std::atomic<bool> stop{true};
  const GenerateResult result = generate(options, made, stop);
  REQUIRE(result.ok());
  CHECK(!result.complete);
  CHECK(result.packets == made);
  compare(result, files);
}
