// What a rig's packet carries behind its stamp: made bytes, the same for the same number, and their hash.
// Enters: a number, a length. Leaves: bytes that live as long as this, their hash and their one's-complement sum;
// nothing is made per packet.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace tapline::rig {

/// Over every byte; eight at a time.
inline uint64_t body_hash(const uint8_t* bytes, size_t length) {
  uint64_t hash = 0x9e3779b97f4a7c15ull ^ length;
  auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * 0xd6e8feb86659fd93ull;
    hash ^= hash >> 32;
  };
  uint64_t word = 0;
  for (; length >= 8; bytes += 8, length -= 8) {
    std::memcpy(&word, bytes, 8);
    mix(word);
  }
  if (length > 0) {
    word = 0;
    std::memcpy(&word, bytes, length);
    mix(word);
  }
  return hash;
}

/// RFC 1071, of bytes in network order, folded to 16 bits; `from` an even number of bytes before.
inline uint32_t ones_sum(const uint8_t* bytes, size_t length, uint32_t from) {
  uint64_t sum = from;
  for (; length >= 2; bytes += 2, length -= 2) sum += static_cast<uint32_t>(bytes[0]) << 8 | bytes[1];
  if (length > 0) sum += static_cast<uint32_t>(bytes[0]) << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum);
}

class Bodies {
 public:
  explicit Bodies(size_t length) : bytes_(kKinds * kStep + length), hashes_(kKinds), sums_(kKinds) {
    uint64_t state = 1;
    for (uint8_t& byte : bytes_) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      byte = static_cast<uint8_t>(state);
    }
    for (size_t i = 0; i < kKinds; i++) {
      hashes_[i] = body_hash(&bytes_[i * kStep], length);
      sums_[i] = ones_sum(&bytes_[i * kStep], length, 0);
    }
  }
  const uint8_t* at(uint64_t number) const { return &bytes_[number % kKinds * kStep]; }
  uint64_t hash(uint64_t number) const { return hashes_[number % kKinds]; }
  uint32_t sum(uint64_t number) const { return sums_[number % kKinds]; }

 private:
  static constexpr size_t kKinds = 251, kStep = 8;
  std::vector<uint8_t> bytes_;
  std::vector<uint64_t> hashes_;
  std::vector<uint32_t> sums_;
};

}  // namespace tapline::rig
