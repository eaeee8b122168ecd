// Live captures: the latest flow of each SCI or address pair, over all threads, so that a rekey is linked when it
// happens and a capture of months needs no list of every flow it ever saw. Bounded: the group longest without a new
// flow gives way, and is counted.
#pragma once
#include <cstdint>
#include <mutex>

#include "flow/memory.h"
#include "flow/slot_index.h"

namespace tapline {

class LatestFlows {
 public:
  static constexpr uint32_t kGroups = 1u << 18;

  explicit LatestFlows(uint32_t limit = kGroups) : ring_(limit), limit_(limit) {}
  bool allocated() const noexcept { return static_cast<bool>(ring_); }

  /// `packet` names the newest flow of its group from now on. Returns the one before it, or 0. Called for new flows
  /// alone: the lock is not on any packet's way.
  uint64_t replace(uint64_t group, uint64_t packet) noexcept {
    const std::lock_guard lock(mutex_);
    const auto tag = static_cast<uint32_t>(group >> 32);
    uint64_t before = 0;
    const uint32_t old = index_.find(tag, [&](uint32_t slot) { return ring_[slot].group == group; });
    if (old != SlotIndex::kNone) {
      before = ring_[old].packet;
      forget(old);
    }
    if (ring_[next_].packet != 0) {
      forget(next_);
      forgotten_++;
    }
    ring_[next_] = Latest{group, packet};
    index_.insert(tag, next_);
    next_ = (next_ + 1) % limit_;
    return before;
  }

  /// Groups that gave way: a rekey after that finds nothing to be linked to.
  uint64_t forgotten() const noexcept {
    const std::lock_guard lock(mutex_);
    return forgotten_;
  }

 private:
  struct Latest {
    uint64_t group;
    uint64_t packet;  ///< 0: a place that is free
  };

  void forget(uint32_t slot) noexcept {
    index_.erase(static_cast<uint32_t>(ring_[slot].group >> 32), slot);
    ring_[slot].packet = 0;
  }

  mutable std::mutex mutex_;
  Reserved<Latest> ring_;
  SlotIndex index_;
  const uint32_t limit_;
  uint32_t next_ = 0;
  uint64_t forgotten_ = 0;
};

}  // namespace tapline
