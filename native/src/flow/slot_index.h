// From a key's hash to a slot number: open addressing with linear probing, 8 bytes an entry, grown by doubling.
// It knows hashes only; the caller compares keys.
#pragma once
#include <cstdint>

#include "flow/memory.h"

namespace tapline {

class SlotIndex {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  SlotIndex() : entries_(kStart), mask_(kStart - 1) { clear(); }

  void prefetch(uint32_t tag) const noexcept { __builtin_prefetch(&entries_[tag & mask_]); }
  /// The slot at the tag's first place, right or wrong: something to prefetch.
  uint32_t peek(uint32_t tag) const noexcept { return entries_[tag & mask_].slot; }

  template <typename Same>
  uint32_t find(uint32_t tag, Same&& same) const noexcept {
    for (uint32_t at = tag & mask_;; at = (at + 1) & mask_) {
      const Entry entry = entries_[at];
      if (entry.slot == kNone) return kNone;
      if (entry.tag == tag && same(entry.slot)) return entry.slot;
    }
  }

  void insert(uint32_t tag, uint32_t slot) noexcept {
    if (count_ * 5 >= (uint64_t{mask_} + 1) * 3) grow();
    place(tag, slot);
    count_++;
  }

  /// Removes by shifting later entries back, so that no tombstones slow the probes.
  void erase(uint32_t tag, uint32_t slot) noexcept {
    uint32_t hole = tag & mask_;
    while (entries_[hole].slot != slot) hole = (hole + 1) & mask_;
    for (uint32_t at = (hole + 1) & mask_; entries_[at].slot != kNone; at = (at + 1) & mask_) {
      const uint32_t home = entries_[at].tag & mask_;
      if (((at - home) & mask_) >= ((at - hole) & mask_)) {
        entries_[hole] = entries_[at];
        hole = at;
      }
    }
    entries_[hole].slot = kNone;
    count_--;
  }

 private:
  struct Entry {
    uint32_t tag;
    uint32_t slot;
  };
  static constexpr uint32_t kStart = 1024;

  void place(uint32_t tag, uint32_t slot) noexcept {
    uint32_t at = tag & mask_;
    while (entries_[at].slot != kNone) at = (at + 1) & mask_;
    entries_[at] = Entry{tag, slot};
  }
  void clear() noexcept {
    for (uint64_t i = 0; i <= mask_; i++) entries_[i].slot = kNone;
  }
  void grow() noexcept {
    Reserved<Entry> old = std::move(entries_);
    const uint64_t size = uint64_t{mask_} + 1;
    entries_ = Reserved<Entry>(size * 2);
    mask_ = static_cast<uint32_t>(size * 2 - 1);
    clear();
    for (uint64_t i = 0; i < size; i++) {
      if (old[i].slot != kNone) place(old[i].tag, old[i].slot);
    }
  }

  Reserved<Entry> entries_;
  uint32_t mask_;
  uint64_t count_ = 0;
};

}  // namespace tapline
