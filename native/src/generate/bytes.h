// Enters: integers. Leaves: bytes in network or little-endian order, wherever the machine stands.
#pragma once
#include <cstdint>

namespace tapline::generation {

inline void put16(uint8_t* at, uint32_t value) noexcept {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
inline void put32(uint8_t* at, uint32_t value) noexcept {
  put16(at, value >> 16);
  put16(at + 2, value);
}
inline void put64(uint8_t* at, uint64_t value) noexcept {
  put32(at, static_cast<uint32_t>(value >> 32));
  put32(at + 4, static_cast<uint32_t>(value));
}
inline void little16(uint8_t* at, uint32_t value) noexcept {
  at[0] = static_cast<uint8_t>(value);
  at[1] = static_cast<uint8_t>(value >> 8);
}
inline void little32(uint8_t* at, uint32_t value) noexcept {
  little16(at, value);
  little16(at + 2, value >> 16);
}
inline uint32_t get16(const uint8_t* at) noexcept { return static_cast<uint32_t>(at[0]) << 8 | at[1]; }

}  // namespace tapline::generation
