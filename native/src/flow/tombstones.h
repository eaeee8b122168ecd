// What an evicted flow leaves behind: its key and highest number, so that an outage longer than the idle time is still
// a gap. A ring of fixed size: the oldest gives way, and is counted when it was still of use.
#pragma once
#include <cstdint>
#include <optional>

#include "decode/packet.h"
#include "flow/memory.h"
#include "flow/slot_index.h"

namespace tapline {

struct Tombstone {
  FlowKey key;  ///< for IPv6 the 128-bit seeded hash stands for the addresses
  int64_t hi;
  int64_t last_seen;
  uint64_t packet;  ///< names the flow that ended
  uint32_t tag;
  bool live;
};

class Tombstones {
 public:
  explicit Tombstones(uint32_t limit) : ring_(limit), limit_(limit) {}
  bool allocated() const noexcept { return static_cast<bool>(ring_); }

  void add(const FlowKey& key, uint32_t tag, int64_t hi, int64_t last_seen, uint64_t packet) noexcept {
    Tombstone& place = ring_[next_];
    if (place.live) {
      index_.erase(place.tag, next_);
      dropped_++;
    }
    place = Tombstone{key, hi, last_seen, packet, tag, true};
    index_.insert(tag, next_);
    next_ = (next_ + 1) % limit_;
  }

  const Tombstone* find(const FlowKey& key, uint32_t tag) const noexcept {
    const uint32_t slot = index_.find(tag, [&](uint32_t s) { return ring_[s].key == key; });
    return slot == SlotIndex::kNone ? nullptr : &ring_[slot];
  }

  std::optional<Tombstone> take(const FlowKey& key, uint32_t tag) noexcept {
    const uint32_t slot = index_.find(tag, [&](uint32_t s) { return ring_[s].key == key; });
    if (slot == SlotIndex::kNone) return std::nullopt;
    index_.erase(tag, slot);
    ring_[slot].live = false;
    return ring_[slot];
  }

  /// Forgets those whose tag `wanted` refuses: of no use any more, so not counted.
  template <typename Wanted>
  void keep(Wanted&& wanted) noexcept {
    for (uint32_t i = 0; i < limit_; i++) {
      if (!ring_[i].live || wanted(ring_[i].tag)) continue;
      index_.erase(ring_[i].tag, i);
      ring_[i].live = false;
    }
  }

  uint64_t dropped() const noexcept { return dropped_; }

 private:
  Reserved<Tombstone> ring_;
  SlotIndex index_;
  const uint32_t limit_;
  uint32_t next_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace tapline
