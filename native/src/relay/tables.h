// Brings the maps from what they hold to what a plan means, while packets run. Enters: a compiled plan. Leaves: the
// maps, changed where the plan differs: new runs of outputs are written first, then each rule's one word is stored.
// What nobody uses any more is freed a second later, for a program may be in the middle of it.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "relay/compile.h"
#include "relay/maps.h"
#include "relay/slots.h"

namespace tapline::relay {

/// What apply() did, for whoever wants to see that nothing else was touched.
struct Changes {
  uint32_t rules_written = 0;
  uint32_t rules_kept = 0;
  uint32_t rules_removed = 0;
};

class Tables {
 public:
  /// Reads what is there.
  Status open(const MapDescriptors& maps);

  /// RELAY_FULL: too much for the maps; nothing changed. RELAY_ROOM: what the plan drops is gone, and its room is free
  /// in a second: apply again.
  Status apply(const Compiled& plan, uint64_t now_ns, Changes& changes);
  /// Frees what has not been used for a second.
  void collect(uint64_t now_ns);

  const Slots& rules() const noexcept { return rule_slots_; }
  const Slots& outputs() const noexcept { return output_slots_; }
  const std::map<PortName, uint32_t>& ports() const noexcept { return port_slots_; }

 private:
  struct Run {
    uint32_t first;
    uint16_t count;
  };
  Status check_room(const Compiled& plan);
  void drop_others(const Compiled& plan, uint64_t now_ns, Changes& changes);
  Status add_ports(const Compiled& plan);
  Status write_rules(const Compiled& plan, uint64_t now_ns, Changes& changes);
  void write_limit(const CompiledRule& rule, uint32_t slot);
  Status write_paths(const Compiled& plan);
  Status write_inputs(const Compiled& plan);
  void drop_inputs(const Compiled& plan);
  Status write_input(const InputKey& key, const relay_input& input);
  void erase_input(const InputKey& key);
  void write_own(const Compiled& plan);
  std::optional<uint32_t> find_run(uint16_t count);
  void mark(Run run, bool used);
  bool is_live(uint32_t slot) const noexcept { return runs_[slot].word != 0; }

  MapDescriptors maps_;
  MappedArray<relay_run> runs_;
  MappedArray<relay_output> outputs_;
  MappedArray<relay_settings> settings_;
  Slots rule_slots_, output_slots_, path_slots_;
  std::map<InputKey, relay_input, KeyOrder> inputs_;
  std::map<uint32_t, relay_path> paths_;
  std::map<PortName, uint32_t> port_slots_;
  std::vector<bool> used_;  ///< of `outputs`
  uint32_t next_ = 0;       ///< where the search for a free run begins
  // What will be freed, since when nobody uses it.
  std::vector<std::pair<uint64_t, Run>> old_runs_;
  std::map<Digest, uint64_t> old_rules_, old_outputs_;
  std::set<Digest> live_outputs_, live_paths_;
};

}  // namespace tapline::relay
