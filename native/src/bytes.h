// Unaligned loads. Enters: a place in memory whose bytes the caller has checked to be there. Leaves: a number.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

namespace tapline {

static_assert(std::endian::native == std::endian::little, "the loads below swap for big-endian data only");

constexpr uint16_t swap_bytes(uint16_t value) noexcept { return __builtin_bswap16(value); }
constexpr uint32_t swap_bytes(uint32_t value) noexcept { return __builtin_bswap32(value); }
constexpr uint64_t swap_bytes(uint64_t value) noexcept { return __builtin_bswap64(value); }

template <typename T, bool kSwapped = false>
inline T load(const uint8_t* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return kSwapped ? swap_bytes(value) : value;
}

/// Network order.
inline uint16_t be16(const uint8_t* at) noexcept { return load<uint16_t, true>(at); }
inline uint32_t be32(const uint8_t* at) noexcept { return load<uint32_t, true>(at); }
inline uint64_t be64(const uint8_t* at) noexcept { return load<uint64_t, true>(at); }

}  // namespace tapline
