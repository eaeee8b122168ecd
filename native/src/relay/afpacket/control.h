// The agent's end of a worker. Enters: the rules of one interface, as often as they change. Leaves: the file that the
// worker reads, in which every rule and output keeps the slot of its counters for as long as it exists, whoever starts
// again meanwhile; and the figures.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "relay/afpacket/figures.h"
#include "relay/afpacket/table_file.h"

namespace tapline::relay {

/// Which name has which slot. A slot that was given back is given out again only when no worker counts into it any
/// longer.
class Slots {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  void limit(uint32_t most) { most_ = most; }
  /// As a table has them; what lies between them is free with that table.
  void adopt(std::map<std::string, uint32_t> found, uint64_t generation);
  uint32_t find(const std::string& name) const;
  /// A slot that nobody has, with counters to be cleared; kNone: there is none. `applied`: the table the worker uses.
  uint32_t take(const std::string& name, uint64_t applied);
  /// Names that are not in `kept` give their slots back with this table.
  void keep(const std::map<std::string, uint32_t>& kept, uint64_t generation);

 private:
  uint32_t most_ = 0, unused_ = 0;
  std::map<std::string, uint32_t> slots_;
  std::multimap<uint64_t, uint32_t> returned_;  ///< by the first table without them
};

class Control {
 public:
  /// Empty when it worked. What an earlier agent left in the folder is taken over.
  [[nodiscard]] std::string open(const std::string& folder, uint32_t ifindex, uint32_t max_rules, uint32_t max_outputs);

  /// All or nothing; the same plan again changes nothing. Empty when the file lies there.
  [[nodiscard]] std::string apply(std::vector<Rule> rules, std::vector<Address> tunnel_addresses,
                                  std::vector<Address> own_addresses);
  void heartbeat(uint64_t orphan_after_ms) noexcept;
  /// The next packets of a rule. False: there is no such rule.
  bool trace(const std::string& rule, uint32_t packets) noexcept;
  /// Calls with each record that has come, with names for its slots' numbers by name_of().
  template <typename Each>
  void take_traces(const Each& each) {
    Figures& figures = file_.figures();
    const uint64_t made = figures.traces_made.load(std::memory_order_acquire);
    for (uint64_t i = figures.traces_taken.load(); i < made; i++) each(figures.traces[i % kTraceRecords]);
    figures.traces_taken.store(made, std::memory_order_release);
  }

  const Table& table() const noexcept { return table_; }
  FiguresFile& file() noexcept { return file_; }

 private:
  std::string slot_for(const std::string& name, Slots& slots, std::map<std::string, uint32_t>& kept, uint32_t& out,
                       bool& fresh);

  std::string folder_;
  FiguresFile file_;
  Table table_;
  Slots rules_, outputs_;
};

}  // namespace tapline::relay
