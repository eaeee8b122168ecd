// Memory for the runs of missing numbers: blocks of 1, 2, 4 … 512 runs, recycled by size, under one limit. A flow in
// order owns none.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace tapline {

/// Consecutive numbers that were not seen. The first `lost` of them are counted lost, the rest are pending.
struct Run {
  int64_t first;
  uint32_t length;
  uint32_t lost : 31;
  uint32_t suspect : 1;  ///< noticed over a time in which this sensor was blind
  int64_t noticed;       ///< clock when a higher number showed that they are missing
  int64_t confirmed;     ///< clock when the latest of the lost ones was counted

  int64_t last() const noexcept { return first + length - 1; }
  bool pending() const noexcept { return lost < length; }
};
static_assert(sizeof(Run) == 32);

class RunPool {
 public:
  static constexpr unsigned kClasses = 10;  ///< 1 << 9 = 512 runs: a window of 1,024 numbers cannot hold more

  explicit RunPool(size_t limit_bytes) : limit_(limit_bytes) {}

  static constexpr unsigned capacity(unsigned size_class) noexcept { return 1u << size_class; }

  /// Null when the limit is reached.
  [[nodiscard]] Run* take(unsigned size_class) noexcept {
    if (!free_[size_class] && used_ + capacity(size_class) * sizeof(Run) > kArena && arenas_.size() * kArena >= limit_)
      return nullptr;
    return static_cast<Run*>(take_always(size_class));
  }

  /// For what is bounded elsewhere: by the number of flows.
  [[nodiscard]] void* take_always(unsigned size_class) noexcept {
    if (Free* block = free_[size_class]) {
      free_[size_class] = block->next;
      return block;
    }
    const size_t bytes = capacity(size_class) * sizeof(Run);
    if (used_ + bytes > kArena) {
      arenas_.emplace_back(new std::byte[kArena]);
      used_ = 0;
    }
    void* block = arenas_.back().get() + used_;
    used_ += bytes;
    return block;
  }

  void give(void* runs, unsigned size_class) noexcept {
    Free* block = static_cast<Free*>(runs);
    block->next = free_[size_class];
    free_[size_class] = block;
  }

 private:
  struct Free {
    Free* next;
  };
  static constexpr size_t kArena = (size_t{256} << 10) - 64;  ///< with malloc's own words it fills its pages
  const size_t limit_;
  size_t used_ = kArena;
  Free* free_[kClasses] = {};
  std::vector<std::unique_ptr<std::byte[]>> arenas_;
};

}  // namespace tapline
