// Big arrays whose pages exist only once touched: a limit can be high without costing memory.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <utility>

namespace tapline {

enum class Pages {
  kHuge,   ///< 2 MiB: fewer TLB misses on random access
  kSmall,  ///< for what is seldom much
};

template <typename T>
class Reserved {
 public:
  Reserved() = default;
  explicit Reserved(size_t count, Pages pages = Pages::kHuge) : bytes_(count * sizeof(T)) {
    void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return;
    data_ = static_cast<T*>(at);
    if (pages == Pages::kHuge) madvise(at, bytes_, MADV_HUGEPAGE);  // a refusal costs nothing but speed
  }
  Reserved(Reserved&& other) noexcept { *this = std::move(other); }
  Reserved& operator=(Reserved&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Reserved() {
    if (data_) munmap(data_, bytes_);
  }

  /// Room for `count`, what is there kept (it may move). False when there is no room: all stays as it was.
  bool grow(size_t count) noexcept {
    if (count * sizeof(T) <= bytes_) return true;
    void* at = mremap(data_, bytes_, count * sizeof(T), MREMAP_MAYMOVE);
    if (at == MAP_FAILED) return false;
    data_ = static_cast<T*>(at);
    bytes_ = count * sizeof(T);
    return true;
  }

  /// Gives the pages of the first `count` back; they read as zeros from now on.
  void forget(size_t count) noexcept {
    if (data_) madvise(data_, count * sizeof(T) / kHugePage * kHugePage, MADV_DONTNEED);
  }

  T& operator[](size_t i) noexcept { return data_[i]; }
  const T& operator[](size_t i) const noexcept { return data_[i]; }
  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;
  T* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tapline
