// The relay's counters as they are told. Enters: maps, and whose slot is whose. Leaves: one row each for interfaces,
// rules, outputs and tunnels.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "relay/tables.h"

namespace tapline::relay {

struct PortFigures {
  PortName port;
  relay_port_counts counts;
};
struct RuleFigures {
  std::string id;
  relay_rule_counts counts;
  uint64_t last_ns = 0;  ///< of the wall clock; 0: none yet
};
struct OutputFigures {
  std::string rule;
  std::string id;
  relay_output_counts counts;
};
struct HopFigures {
  relay_stream stream;
  hop_window window;  ///< as of now
};
struct Figures {
  std::vector<PortFigures> ports;
  std::vector<RuleFigures> rules;
  std::vector<OutputFigures> outputs;
  std::vector<HopFigures> hops;
};

/// Names of the plan that was applied last, in its order.
struct NamedOutput {
  Digest name;
  std::string id;
};
struct NamedRule {
  Digest name;
  std::string id;
  std::vector<NamedOutput> outputs;
};

/// `now_ns`: monotonic. `wall_ahead_ns`: what the wall clock is ahead of it.
Figures read_figures(const MapDescriptors& maps, const Tables& tables, const std::vector<NamedRule>& names,
                     uint64_t now_ns, uint64_t wall_ahead_ns);

/// Windows of an epoch that is over: idle for 10 minutes, while a newer one of the same path and stream is there.
void forget_old_windows(const MapDescriptors& maps, uint64_t now_ns);

}  // namespace tapline::relay
