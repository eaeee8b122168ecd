// Internet checksums (RFC 1071), and what a change of a few words makes of one (RFC 1624). Sums are of words as they
// lie in memory: in the machine's order in and out, so nothing is swapped.
#pragma once
#include <cstdint>
#include <cstring>

namespace tapline::relay {

using Sum = uint64_t;  ///< not folded: has room for four billion words

inline uint16_t fold(Sum sum) noexcept {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16 & 0xFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

/// `at` begins at an even place of what is summed; only the last piece may be of odd length.
inline Sum sum_of(const uint8_t* at, size_t length, Sum sum = 0) noexcept {
  for (; length >= 4; at += 4, length -= 4) {
    uint32_t word;
    std::memcpy(&word, at, 4);
    sum += word;
  }
  if (length >= 2) {
    uint16_t word;
    std::memcpy(&word, at, 2);
    sum += word;
    at += 2, length -= 2;
  }
  if (length == 1) sum += *at;
  return sum;
}

/// What is to be added to a sum over bytes of which `before` became `after`; both of the same even length.
inline Sum change(const uint8_t* before, const uint8_t* after, size_t length) noexcept {
  Sum delta = 0;
  for (size_t i = 0; i < length; i += 2) {
    uint16_t was, is;
    std::memcpy(&was, before + i, 2);
    std::memcpy(&is, after + i, 2);
    delta += static_cast<uint16_t>(~was);
    delta += is;
  }
  return delta;
}

/// A checksum in a packet, after `delta` was added to what it covers.
inline void adjust(uint8_t* checksum, Sum delta) noexcept {
  uint16_t old;
  std::memcpy(&old, checksum, 2);
  const auto now = static_cast<uint16_t>(~fold(static_cast<uint16_t>(~old) + delta));
  std::memcpy(checksum, &now, 2);
}

}  // namespace tapline::relay
