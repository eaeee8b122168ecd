// Frames for the relay's tests, and the tables without interfaces. Enters: fields. Leaves: bytes whose checksums are
// summed over the whole packet, unlike the relay's own, which are adjusted.
#pragma once
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "relay/compile.h"
#include "relay/programs.h"
#include "relay/tables.h"

namespace relay_test {

using Bytes = std::vector<uint8_t>;
using tapline::relay::Address;

inline void put16(Bytes& out, uint32_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}

inline uint32_t sum16(const uint8_t* at, size_t length, uint32_t sum = 0) {
  for (size_t i = 0; i < length; i += 2) sum += static_cast<uint32_t>(at[i] << 8 | (i + 1 < length ? at[i + 1] : 0));
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

inline Address ip(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  Address out;
  out.bytes = {a, b, c, d};
  return out;
}
inline Address ip6(uint16_t first, uint16_t last) {
  Address out;
  out.family = 6;
  out.bytes[0] = static_cast<uint8_t>(first >> 8);
  out.bytes[1] = static_cast<uint8_t>(first);
  out.bytes[14] = static_cast<uint8_t>(last >> 8);
  out.bytes[15] = static_cast<uint8_t>(last);
  return out;
}

enum class Check { Full, None, Partial };

struct Frame {
  tapline::relay::Mac to{1, 0, 0x5e, 1, 1, 1}, from{2, 2, 2, 2, 2, 2};
  int vlan = -1;
  Address source = ip(10, 0, 0, 9), destination = ip(239, 1, 1, 1);
  uint8_t ttl = 8, tos = 0x2a, protocol = 17;
  uint16_t id = 0x1234, fragment = 0x4000;
  uint16_t source_port = 4000, port = 5001;
  Check check = Check::Full;
  Bytes payload = Bytes(100, 0x5a);
  Bytes options;       ///< of IPv4; a multiple of 4
  size_t padding = 0;  ///< behind the packet
  int length_lie = 0;  ///< added to the IP header's length
  int udp_lie = 0;     ///< added to UDP's
};

/// The IP packet without Ethernet.
inline Bytes packet(const Frame& f) {
  const size_t address = f.source.family == 4 ? 4 : 16;
  Bytes l4;
  if (f.protocol == 17) {
    put16(l4, f.source_port);
    put16(l4, f.port);
    put16(l4, static_cast<uint32_t>(static_cast<int>(8 + f.payload.size()) + f.udp_lie));
    put16(l4, 0);
  }
  l4.insert(l4.end(), f.payload.begin(), f.payload.end());
  if (f.protocol == 17 && f.check != Check::None) {
    Bytes pseudo(f.source.bytes.begin(), f.source.bytes.begin() + static_cast<long>(address));
    pseudo.insert(pseudo.end(), f.destination.bytes.begin(), f.destination.bytes.begin() + static_cast<long>(address));
    put16(pseudo, f.protocol);
    put16(pseudo, static_cast<uint32_t>(l4.size()));
    const uint32_t partial = sum16(pseudo.data(), pseudo.size());
    uint32_t check = f.check == Check::Partial ? partial : ~sum16(l4.data(), l4.size(), partial) & 0xffff;
    if (check == 0) check = 0xffff;
    l4[6] = static_cast<uint8_t>(check >> 8);
    l4[7] = static_cast<uint8_t>(check);
  }
  Bytes out;
  if (f.source.family == 4) {
    out.push_back(static_cast<uint8_t>(0x45 + f.options.size() / 4));
    out.push_back(f.tos);
    put16(out, static_cast<uint32_t>(static_cast<int>(20 + f.options.size() + l4.size()) + f.length_lie));
    put16(out, f.id);
    put16(out, f.fragment);
    out.push_back(f.ttl);
    out.push_back(f.protocol);
    put16(out, 0);
  } else {
    out.push_back(static_cast<uint8_t>(0x60 | f.tos >> 4));
    out.push_back(static_cast<uint8_t>(f.tos << 4));
    put16(out, 0x1234);
    put16(out, static_cast<uint32_t>(static_cast<int>(l4.size()) + f.length_lie));
    out.push_back(f.protocol);
    out.push_back(f.ttl);
  }
  out.insert(out.end(), f.source.bytes.begin(), f.source.bytes.begin() + static_cast<long>(address));
  out.insert(out.end(), f.destination.bytes.begin(), f.destination.bytes.begin() + static_cast<long>(address));
  out.insert(out.end(), f.options.begin(), f.options.end());
  if (f.source.family == 4) {
    const uint32_t check = ~sum16(out.data(), out.size()) & 0xffff;
    out[10] = static_cast<uint8_t>(check >> 8);
    out[11] = static_cast<uint8_t>(check);
  }
  out.insert(out.end(), l4.begin(), l4.end());
  return out;
}

inline Bytes frame(const Frame& f) {
  Bytes out(f.to.begin(), f.to.end());
  out.insert(out.end(), f.from.begin(), f.from.end());
  if (f.vlan >= 0) {
    put16(out, 0x8100);
    put16(out, static_cast<uint32_t>(f.vlan));
  }
  put16(out, f.source.family == 4 ? 0x0800 : 0x86dd);
  const Bytes ip_packet = packet(f);
  out.insert(out.end(), ip_packet.begin(), ip_packet.end());
  out.resize(out.size() + f.padding, 0xee);
  return out;
}

/// Programs and tables, attached nowhere; BPF_PROG_TEST_RUN's packets come in by the loopback interface.
struct Bench {
  static constexpr uint32_t kLoopback = 1;
  tapline::relay::Programs programs;
  tapline::relay::Tables tables;
  tapline::relay::MappedArray<relay_settings> settings;
  tapline::relay::Changes changes;

  Bench() {
    tapline::relay::KernelOptions options;
    options.max_rules = 64;
    options.max_outputs = 256;
    const auto opened = programs.open(options);
    INFO(opened.code << " " << opened.detail);
    REQUIRE(opened.ok());
    REQUIRE(tables.open(programs.maps()).ok());
    REQUIRE(settings.map(programs.maps().settings).ok());
    settings[0].orphan_after_ns = 3'600'000'000'000;
    settings[0].heartbeat_ns = now();
  }
  static uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
  }
  tapline::relay::Status try_apply(const tapline::relay::Plan& plan) {
    tapline::relay::Compiled compiled;
    if (auto status = compile(plan, compiled); !status.ok()) return status;
    for (const uint32_t device : compiled.devices) programs.add_device(device);
    changes = {};
    return tables.apply(compiled, now(), changes);
  }
  void apply(const tapline::relay::Plan& plan) {
    const auto status = try_apply(plan);
    INFO(status.code << " " << status.detail);
    REQUIRE(status.ok());
  }
};

struct Ran {
  int verdict = -1;
  Bytes frame;
  uint64_t ns = 0;
};

/// One packet through relay_xdp or relay_tc.
Ran run(const Bench& bench, const char* program, const Bytes& in, uint32_t gso_segments = 0, uint32_t gso_size = 0);

inline tapline::relay::Rule rule(tapline::relay::Engine engine, const char* id = "one") {
  tapline::relay::Rule out;
  out.id = id;
  out.engine = engine;
  tapline::relay::WireInput input;
  input.ifindex = Bench::kLoopback;
  input.destination = ip(239, 1, 1, 1);
  input.port = 5001;
  out.input = input;
  tapline::relay::Output output;
  output.id = "out";
  output.ifindex = Bench::kLoopback;
  output.destination = ip(239, 2, 2, 2);
  output.port = 6002;
  output.destination_mac = {1, 0, 0x5e, 2, 2, 2};
  output.source_mac = {2, 0, 0, 0, 0, 1};
  output.mtu = 1500;
  out.outputs = {output};
  return out;
}

/// What rule() makes of a frame, unless told otherwise.
inline Frame relayed(Frame f) {
  f.to = {1, 0, 0x5e, 2, 2, 2};
  f.from = {2, 0, 0, 0, 0, 1};
  f.destination = ip(239, 2, 2, 2);
  f.port = 6002;
  f.ttl--;
  f.vlan = -1;
  return f;
}

inline relay_port_counts port_counts(const Bench& bench, uint32_t engine) {
  const uint32_t slot = bench.tables.ports().at({Bench::kLoopback, engine});
  return tapline::relay::read_counts<relay_port_counts>(bench.programs.maps().port_counts, slot + 1)[slot];
}
inline relay_output_counts output_counts(const Bench& bench, const char* rule_id, const char* id) {
  const auto slot = bench.tables.outputs().find(tapline::relay::digest_of("output", rule_id, id));
  REQUIRE(slot);
  return tapline::relay::read_counts<relay_output_counts>(bench.programs.maps().output_counts, *slot + 1)[*slot];
}
inline relay_rule_counts rule_counts(const Bench& bench, const char* id) {
  const auto slot = bench.tables.rules().find(tapline::relay::digest_of("rule", id));
  REQUIRE(slot);
  return tapline::relay::read_counts<relay_rule_counts>(bench.programs.maps().rule_counts, *slot + 1)[*slot];
}
/// received − passed − matched − refused
inline int64_t residue(const relay_port_counts& counts) {
  auto left = static_cast<int64_t>(counts.received - counts.passed - counts.matched);
  for (const uint64_t refused : counts.refused) left -= static_cast<int64_t>(refused);
  return left;
}

inline std::string hex(const Bytes& bytes) {
  static const char* digits = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i++) {
    if (i % 16 == 0 && i > 0) out += '\n';
    out += digits[bytes[i] >> 4];
    out += digits[bytes[i] & 15];
  }
  return out;
}

}  // namespace relay_test
