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

struct KeyOrder {
  bool operator()(const relay_key& a, const relay_key& b) const noexcept { return std::memcmp(&a, &b, sizeof a) < 0; }
};
using InputMap = std::map<relay_key, CompiledInput, KeyOrder>;

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
