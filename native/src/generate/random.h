// Enters: a seed. Leaves: the same numbers on every machine (no std:: distribution, no floating point).
#pragma once
#include <cstdint>

namespace tapline::generation {

__extension__ using Wide = unsigned __int128;

/// The finalizer of splitmix64: a bijection, so distinct inputs stay distinct.
inline uint64_t mix(uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// A bijection of the numbers below 2^bits (bits even): Feistel rounds, so that addresses and SPIs look drawn but never
/// meet.
inline uint32_t scatter(uint32_t x, unsigned bits, uint64_t seed) noexcept {
  const unsigned half = bits / 2;
  const uint32_t mask = (1u << half) - 1;
  uint32_t left = (x >> half) & mask;
  uint32_t right = x & mask;
  for (uint64_t round = 0; round < 4; ++round) {
    const uint32_t next = left ^ (static_cast<uint32_t>(mix(seed + (round << 56) + right)) & mask);
    left = right;
    right = next;
  }
  return left << half | right;
}

/// A probability as a threshold on 32 bits, from parts per billion.
inline uint64_t threshold(uint64_t numerator, uint64_t denominator) noexcept {
  if (numerator >= denominator) return 1ull << 32;
  return (numerator << 32) / denominator;
}

/// xoshiro256** by Blackman and Vigna.
class Random {
 public:
  explicit Random(uint64_t seed) noexcept {
    for (uint64_t& word : state_) word = mix(seed += 0x9E3779B97F4A7C15u);
  }
  uint64_t next() noexcept {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  /// Even over [0, n).
  uint64_t below(uint64_t n) noexcept { return static_cast<uint64_t>(Wide{next()} * n >> 64); }
  bool chance(uint64_t limit) noexcept { return limit != 0 && (next() >> 32) < limit; }

 private:
  static uint64_t rotate(uint64_t x, int k) noexcept { return x << k | x >> (64 - k); }
  uint64_t state_[4];
};

}  // namespace tapline::generation
