// Enters: packets that shall be written later. Leaves: the one to write now, by its flow's position or by the time it
// has waited.
#pragma once
#include <cstdint>
#include <vector>

#include "generate/association.h"
#include "generate/flow.h"
#include "generate/random.h"

namespace tapline::generation {

struct Delayed {
  uint64_t number;
  uint64_t position;  ///< of its flow, from which it may be written
  uint64_t deadline;  ///< the slot that must write it
  uint32_t flow;
  uint32_t association;
  uint32_t sequence;  ///< TCP
  uint32_t acknowledged;
  uint32_t in_flow;  ///< the flow's next one
  uint32_t older;    ///< neighbours among all; all wait equally long, so this is also the order of the deadlines
  uint32_t newer;
  bool copy;
};

/// At most one enters per slot and all wait equally many slots: every deadline is a slot of its own, and can be kept.
class DelayedPackets {
 public:
  uint64_t count() const noexcept { return count_; }
  Delayed& at(uint32_t id) noexcept { return all_[id]; }
  uint32_t oldest() const noexcept { return oldest_; }

  void add(const Delayed& packet, Flow& flow) {
    uint32_t id = free_;
    if (id == kNone) {
      id = static_cast<uint32_t>(all_.size());
      all_.push_back(packet);
    } else {
      free_ = all_[id].in_flow;
      all_[id] = packet;
    }
    Delayed& entry = all_[id];
    entry.in_flow = flow.delayed;
    flow.delayed = id;
    entry.older = newest_;
    entry.newer = kNone;
    (newest_ == kNone ? oldest_ : all_[newest_].newer) = id;
    newest_ = id;
    ++count_;
  }

  /// The packet of this flow that has waited long enough; kNone when there is none.
  uint32_t due(const Flow& flow, const Association& current) const noexcept {
    // Far inside the observer's window of 1,024 numbers, one more run of drops included.
    constexpr uint64_t kReach = 500;
    uint32_t found = kNone;
    for (uint32_t id = flow.delayed; id != kNone; id = all_[id].in_flow) {
      const Delayed& entry = all_[id];
      const bool far = entry.association == flow.association && current.next - entry.number > kReach;
      if (entry.position <= flow.written || far) found = id;  // the list runs from young to old
    }
    return found;
  }

  Delayed remove(uint32_t id, Flow& flow) noexcept {
    const Delayed entry = all_[id];
    uint32_t* link = &flow.delayed;
    while (*link != id) link = &all_[*link].in_flow;
    *link = entry.in_flow;
    (entry.older == kNone ? oldest_ : all_[entry.older].newer) = entry.newer;
    (entry.newer == kNone ? newest_ : all_[entry.newer].older) = entry.older;
    all_[id].in_flow = free_;
    free_ = id;
    --count_;
    return entry;
  }

 private:
  std::vector<Delayed> all_;
  uint32_t free_ = kNone;
  uint32_t oldest_ = kNone;
  uint32_t newest_ = kNone;
  uint64_t count_ = 0;
};

}  // namespace tapline::generation
