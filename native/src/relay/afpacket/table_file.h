// The rules of one input interface in a file. Enters: the agent's plan, with the counters' slots of every rule and
// output. Leaves: the same, read by the worker, whenever it starts and whenever the plan changes. It is written whole
// and renamed into place; one that is cut off or damaged is refused, and the rules in use stay.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "relay/rules.h"

namespace tapline::relay {

/// A rule and where its counters lie in the figures.
struct SlottedRule {
  Rule rule;
  uint32_t slot = 0;
  std::vector<uint32_t> output_slots;  ///< as many as outputs
};

struct Table {
  uint64_t generation = 0;
  uint32_t ifindex = 0;  ///< of the input
  std::vector<SlottedRule> rules;
  std::vector<Address> tunnel_addresses;  ///< of this node on this interface, where tunnel packets come to
  std::vector<Address> own_addresses;     ///< of this node: a packet from one of them is a loop
};

std::vector<uint8_t> write_table(const Table& table);

/// Empty when it was read; else what is wrong with it, in a few words.
[[nodiscard]] std::string read_table(std::span<const uint8_t> bytes, Table& out);

/// Both by a file; a file that is not there is an error too.
[[nodiscard]] std::string save_table(const std::string& path, const Table& table);
[[nodiscard]] std::string load_table(const std::string& path, Table& out);

}  // namespace tapline::relay
