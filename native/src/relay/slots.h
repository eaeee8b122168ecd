// Which slot's counters belong to which name. Enters: names. Leaves: slots that a name keeps for as long as it is
// wanted, through changes and through restarts of the agent, because the table lies in a pinned map.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "relay/compile.h"
#include "relay/maps.h"

namespace tapline::relay {

class Slots {
 public:
  Status open(int fd) {
    const Status status = names_.map(fd);
    if (!status.ok()) return status;
    for (uint32_t slot = names_.size(); slot-- > 0;) {
      const Digest name = at(slot);
      if (name != Digest{})
        taken_.emplace(name, slot);
      else
        free_.push_back(slot);
    }
    return {};
  }

  std::optional<uint32_t> find(const Digest& name) const {
    const auto found = taken_.find(name);
    return found == taken_.end() ? std::nullopt : std::optional(found->second);
  }
  size_t free() const noexcept { return free_.size(); }
  /// Its own, or a free one. There must be one: free() was asked.
  uint32_t take(const Digest& name) {
    if (const auto known = find(name)) return *known;
    const uint32_t slot = free_.back();
    free_.pop_back();
    taken_.emplace(name, slot);
    std::memcpy(names_[slot].digest, name.halves, sizeof name.halves);
    return slot;
  }
  void release(const Digest& name) {
    const auto found = taken_.find(name);
    if (found == taken_.end()) return;
    names_[found->second] = {};
    free_.push_back(found->second);
    taken_.erase(found);
  }
  const std::map<Digest, uint32_t>& all() const noexcept { return taken_; }
  /// One above the highest slot in use.
  uint32_t end() const {
    uint32_t last = 0;
    for (const auto& [name, slot] : taken_) last = std::max(last, slot + 1);
    return last;
  }

 private:
  Digest at(uint32_t slot) const { return {{names_[slot].digest[0], names_[slot].digest[1]}}; }

  MappedArray<relay_name> names_;
  std::map<Digest, uint32_t> taken_;
  std::vector<uint32_t> free_;  ///< the lowest last: used first
};

}  // namespace tapline::relay
