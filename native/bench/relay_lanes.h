// What both sinks of the relay's proof rig share: lanes as they are typed, and what came of each as JSON.
// Enters: "STREAM,ADDRESS[+COUNT],PORT"; counts, a bitmap of numbers, a histogram. Leaves: lanes; one object a lane.
#pragma once
#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "relay_stamp.h"

namespace tapline::rig {

/// False: not understood.
[[nodiscard]] inline bool lane_from(const char* typed, relay_lane& lane) {
  const std::string text = typed;
  const size_t first = text.find(','), last = text.rfind(',');
  if (first == std::string::npos || first == last) return false;
  std::string address = text.substr(first + 1, last - first - 1);
  lane = {};
  lane.stream = static_cast<uint32_t>(std::strtoul(text.c_str(), nullptr, 10));
  lane.port = static_cast<uint16_t>(std::strtoul(text.c_str() + last + 1, nullptr, 10));
  lane.count = 1;
  if (const size_t plus = address.find('+'); plus != std::string::npos) {
    lane.count = static_cast<uint32_t>(std::strtoul(address.c_str() + plus + 1, nullptr, 10));
    address.resize(plus);
  }
  in_addr v4;
  in6_addr v6;
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) {
    lane.family = 4;
    lane.destination[3] = ntohl(v4.s_addr);
    return lane.count > 0;
  }
  if (inet_pton(AF_INET6, address.c_str(), &v6) != 1) return false;
  lane.family = 6;
  for (int i = 0; i < 4; i++) {
    uint32_t word;
    std::memcpy(&word, v6.s6_addr + 4 * i, 4);
    lane.destination[i] = ntohl(word);
  }
  return lane.count > 0;
}

inline std::string address_text(const uint32_t (&words)[4], unsigned family) {
  char text[INET6_ADDRSTRLEN] = "";
  uint32_t network[4];
  for (int i = 0; i < 4; i++) network[i] = htonl(words[i]);
  if (family == 4)
    inet_ntop(AF_INET, &network[3], text, sizeof text);
  else
    inet_ntop(AF_INET6, network, text, sizeof text);
  return text;
}

/// How many of the numbers below `expected` never came, in how many runs, and the first of them.
struct Missing {
  uint64_t lost = 0, runs = 0, first = 0;
};
inline Missing missing_of(const volatile uint64_t* bits, uint64_t expected) {
  Missing found;
  bool in_run = false;
  for (uint64_t n = 0; n < expected; n++) {
    if (n % 64 == 0 && bits[n / 64] == ~0ull) {
      in_run = false;
      n += 63;
      continue;
    }
    if (bits[n / 64] >> (n % 64) & 1) {
      in_run = false;
      continue;
    }
    if (found.lost++ == 0) found.first = n;
    if (!in_run) found.runs++;
    in_run = true;
  }
  return found;
}

/// Lower end of a cell of the latency histogram (relay_sink.bpf.c), in ns.
inline uint64_t latency_of(uint64_t cell) {
  return (uint64_t{RELAY_LATENCY_STEPS} + cell % RELAY_LATENCY_STEPS) << (cell / RELAY_LATENCY_STEPS);
}
inline uint64_t latency_cell(uint64_t ns) {
  if (ns < RELAY_LATENCY_STEPS) return 0;
  const auto power = static_cast<unsigned>(63 - __builtin_clzll(ns));
  const uint64_t cell = uint64_t{power - 5} * RELAY_LATENCY_STEPS + ((ns >> (power - 5)) & (RELAY_LATENCY_STEPS - 1));
  return std::min<uint64_t>(cell, RELAY_LATENCY_CELLS - 1);
}

/// What a sink knows of a lane, summed over CPUs.
struct LaneFound {
  relay_lane lane;
  relay_counts counts{};
  relay_first first{};
  const volatile uint64_t* bits = nullptr;
  std::vector<uint64_t> latency;
  uint64_t corrupt = 0, bad_checksum = 0;  ///< only the sink that reads whole payloads can tell
};

inline void print_lane(const LaneFound& found, uint64_t numbers, uint64_t expected) {
  const relay_counts& c = found.counts;
  const uint64_t wanted = std::min(expected, numbers);
  const Missing missing = missing_of(found.bits, wanted);
  auto u = [](uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf(
      "{\"destination\":\"%s\",\"stream\":%u,\"received\":%llu,\"bytes\":%llu,\"unique\":%llu,\"duplicate\":%llu,"
      "\"lost\":%llu,\"runs\":%llu,\"first_lost\":%llu,\"ahead\":%llu,\"behind\":%llu,\"beyond\":%llu,"
      "\"wrong_length\":%llu,\"varied\":%llu,\"corrupt\":%llu,\"bad_checksum\":%llu,\"highest\":%llu,\"seconds\":%.6f",
      address_text(found.lane.destination, found.lane.family).c_str(), found.lane.stream, u(c.received), u(c.bytes),
      u(c.unique), u(c.duplicate), u(missing.lost), u(missing.runs), u(missing.first), u(c.ahead), u(c.behind),
      u(c.beyond), u(c.wrong_length), u(c.varied), u(found.corrupt), u(found.bad_checksum), u(found.first.highest),
      static_cast<double>(c.last_ns - c.first_ns) / 1e9);
  if (found.first.taken)
    std::printf(",\"first\":{\"source\":\"%s\",\"source_port\":%u,\"ttl\":%u,\"dscp\":%u,\"vlan\":%u}",
                address_text(found.first.source, found.lane.family).c_str(), found.first.source_port, found.first.ttl,
                found.first.dscp, found.first.vlan);
  uint64_t samples = 0;
  for (const uint64_t n : found.latency) samples += n;
  if (samples > 0) {
    std::printf(",\"latency\":{\"samples\":%llu", u(samples));
    const struct {
      const char* name;
      double share;
    } marks[] = {{"p50_ns", 0.5}, {"p90_ns", 0.9}, {"p99_ns", 0.99}, {"p999_ns", 0.999}, {"max_ns", 1}};
    for (const auto& mark : marks) {
      const auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(samples) * mark.share));
      uint64_t passed = 0, cell = 0;
      while (cell < found.latency.size() && (passed += found.latency[cell]) < rank) cell++;
      std::printf(",\"%s\":%llu", mark.name, u(latency_of(cell)));
    }
    std::printf("}");
  }
  std::printf("}");
}

}  // namespace tapline::rig
