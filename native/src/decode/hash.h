// Enters: the parts of a flow's key and the process's secret. Leaves: 64 bits that are unpredictable without the
// secret. The mixer is wyhash's: a 64x64 multiplication whose halves are folded together.
#pragma once
#include <cstdint>

#include "bytes.h"
#include "decode/decode.h"

namespace tapline {

inline uint64_t fold_multiply(uint64_t x, uint64_t y) noexcept {
  const auto product = static_cast<unsigned __int128>(x) * y;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

/// Two rounds: after one, a key whose second half is constant would only be scaled by a constant.
inline uint64_t mix(uint64_t x, uint64_t y, const HashSeed& seed) noexcept {
  return fold_multiply(fold_multiply(x ^ seed.k0, y ^ seed.k1) ^ 0x9E3779B97F4A7C15, seed.k0 | 1);
}

/// Of an IPv6 address and what belongs to it.
inline uint64_t mix_address(const uint8_t* address, uint64_t with, const HashSeed& seed) noexcept {
  return mix(fold_multiply(load<uint64_t>(address) ^ seed.k1, load<uint64_t>(address + 8) ^ seed.k0), with, seed);
}

}  // namespace tapline
