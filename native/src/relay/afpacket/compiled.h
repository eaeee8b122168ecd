// A table as the packet thread uses it. Enters: a table from the file, the figures it counts into, the output
// interfaces' sockets. Leaves: an index of rules, and of every output what is the same for all its packets. Made by
// another thread than the one that uses it, then only read.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "relay/afpacket/device.h"
#include "relay/afpacket/rule_index.h"
#include "relay/afpacket/table_file.h"

namespace tapline::relay {

/// A way out.
struct Exit {
  const Output* output;
  uint32_t slot;
  OutputCounts* counts;
  Device* device;
  bool ready;
  relay_drop unready;    ///< why not
  uint8_t ethernet[14];  ///< with the EtherType of what leaves
};

struct CompiledRule {
  const Rule* rule;
  uint32_t slot;
  RuleCounts* counts;
  const TunnelInput* tunnel;  ///< null: from the wire
  bool keeps_ttl;             ///< no output has a TTL of its own, or a tunnel's
  uint32_t first_exit, exits;
};

/// Sockets by interface; one stays open from table to table while its interface is the same.
using Devices = std::map<unsigned, std::shared_ptr<Device>>;

class Compiled {
 public:
  /// `devices` gets what is new. Slots beyond the figures' room are left out and said to be `skipped`.
  Compiled(Table table, FiguresFile& figures, Devices& devices, uint32_t send_bytes, uint64_t seed);

  const Table& table() const noexcept { return table_; }
  const RuleIndex& index() const noexcept { return index_; }
  const CompiledRule& rule(uint32_t number) const noexcept { return rules_[number]; }
  const Exit* exits(const CompiledRule& rule) const noexcept { return &exits_[rule.first_exit]; }
  const std::vector<std::shared_ptr<Device>>& devices() const noexcept { return used_; }
  bool own(uint8_t family, const uint8_t* address) const noexcept { return known(own_, family, address); }
  bool tunnel_end(uint8_t family, const uint8_t* address) const noexcept { return known(ends_, family, address); }
  uint32_t skipped() const noexcept { return skipped_; }

 private:
  static bool known(const MatchTable& set, uint8_t family, const uint8_t* address) noexcept {
    return set.find(MatchKey::of(family, address, 0, 0, 0)) != MatchTable::kNone;
  }
  Exit exit_of(const Output& output, uint32_t slot, FiguresFile& figures, Devices& devices, uint32_t send_bytes);

  Table table_;
  RuleIndex index_;
  MatchTable own_, ends_;
  std::vector<CompiledRule> rules_;
  std::vector<Exit> exits_;
  std::vector<std::shared_ptr<Device>> used_;
  uint32_t skipped_ = 0;
};

}  // namespace tapline::relay
