// Memory for what few flows have: blocks of 1, 2, 4 … 512 of one type, recycled by size, under one limit. A block is
// named by 32 bits, half of a pointer. Enters: sizes. Leaves: blocks, with whatever was in them before.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "flow/memory.h"

namespace tapline {

template <typename T>
class Pool {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) >= sizeof(uint32_t));

 public:
  static constexpr unsigned kClasses = 10;
  static constexpr uint32_t kNone = 0;

  /// `limit`: of T, in all blocks together. Address space only: a page exists once it was used.
  explicit Pool(size_t limit) : room_(limit + 1, Pages::kSmall), limit_(limit) {}
  bool allocated() const noexcept { return static_cast<bool>(room_); }
  /// Blocks keep their names, not their addresses.
  bool grow(size_t limit) noexcept {
    if (limit <= limit_) return true;
    if (!room_.grow(limit + 1)) return false;
    limit_ = limit;
    return true;
  }

  static constexpr unsigned capacity(unsigned size_class) noexcept { return 1u << size_class; }
  T* at(uint32_t block) noexcept { return room_.data() + block; }
  const T* at(uint32_t block) const noexcept { return room_.data() + block; }

  /// kNone when the limit is reached.
  [[nodiscard]] uint32_t take(unsigned size_class = 0) noexcept {
    uint32_t block = free_[size_class];
    if (block != kNone) {
      std::memcpy(&free_[size_class], static_cast<const void*>(at(block)), sizeof block);
    } else {
      if (used_ + capacity(size_class) > limit_) return kNone;
      block = static_cast<uint32_t>(used_ + 1);
      used_ += capacity(size_class);
    }
    taken_++;
    return block;
  }

  /// The last one to come back gives the pages back, if they were many.
  void give(uint32_t block, unsigned size_class = 0) noexcept {
    std::memcpy(static_cast<void*>(at(block)), &free_[size_class], sizeof block);
    free_[size_class] = block;
    if (--taken_ > 0 || used_ * sizeof(T) < kKept) return;
    room_.forget(used_ + 1);
    used_ = 0;
    for (uint32_t& head : free_) head = kNone;
  }

 private:
  static constexpr size_t kKept = size_t{4} << 20;
  Reserved<T> room_;  ///< the first place is nobody's: its number is kNone
  size_t limit_;
  size_t used_ = 0;
  size_t taken_ = 0;
  uint32_t free_[kClasses] = {};  ///< a free block holds the number of the next one
};

}  // namespace tapline
