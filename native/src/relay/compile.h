// Enters: a plan (rules.h). Leaves: what it means in the maps of the kernel's engines (layout.h), with names where
// slots will stand; or which rule contradicts itself or another. Pure: asks nobody, changes nothing.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "relay/layout.h"
#include "relay/rules.h"
#include "relay/status.h"

namespace tapline::relay {

/// Of a name, under two keys: 128 bits, so that two names never share counters.
struct Digest {
  uint64_t halves[2] = {0, 0};
  auto operator<=>(const Digest&) const = default;
};
Digest digest_of(std::string_view kind, std::string_view first, std::string_view second = {});

struct CompiledOutput {
  Digest name;
  Digest path;          ///< of a tunnel
  relay_output layout;  ///< slot and sequence are not filled in
};

struct CompiledRule {
  Digest name;
  const Rule* rule;
  uint16_t flags = 0;  ///< enum relay_rule_flags
  std::vector<CompiledOutput> outputs;
};

/// By position in `rules`; kNoRule: no single rule.
constexpr uint32_t kNoRule = 0xffffffff;

struct CompiledInput {
  uint32_t rule = kNoRule;
  uint16_t flags = 0;  ///< enum relay_input_flags
};

struct CompiledPath {
  uint32_t rule;
  relay_path layout;
};

struct PortName {
  uint32_t ifindex;
  uint32_t engine;
  auto operator<=>(const PortName&) const = default;
};

/// What a packet must have, in either family.
struct InputKey {
  uint8_t family;
  relay_key6 key;  ///< of IPv4 too, with addresses in the first four bytes

  bool any_source() const noexcept { return key.source.halves[0] == 0 && key.source.halves[1] == 0; }
  relay_key4 ipv4() const noexcept {
    return {key.ifindex,        key.vlan, key.port, key.protocol, key.engine, {}, key.destination.words[0],
            key.source.words[0]};
  }
  static InputKey of(const relay_key4& from) noexcept {
    InputKey out{4, {from.ifindex, from.vlan, from.port, from.protocol, from.engine, {}, {}, {}}};
    out.key.destination.words[0] = from.destination;
    out.key.source.words[0] = from.source;
    return out;
  }
};
struct KeyOrder {
  bool operator()(const InputKey& a, const InputKey& b) const noexcept {
    return a.family != b.family ? a.family < b.family : std::memcmp(&a.key, &b.key, sizeof a.key) < 0;
  }
};
using InputMap = std::map<InputKey, CompiledInput, KeyOrder>;

struct Compiled {
  std::vector<CompiledRule> rules;  ///< of XDP and tc; they point into the plan
  InputMap inputs;
  std::map<uint32_t, CompiledPath> paths;
  std::set<PortName> ports;
  std::set<uint32_t> devices;  ///< where XDP sends to
  std::vector<relay_address> own;
};

Status compile(const Plan& plan, Compiled& out);

}  // namespace tapline::relay
