// Enters: a frame and the offset of an IPv4 or IPv6 header. Leaves: a flow of ESP, AH, TCP or UDP, or why there is
// none. `end` below is where the headers say the packet ends (behind it is padding); it may lie past the captured
// bytes.
#pragma once
#include "decode/transport.h"

namespace tapline {

inline void decode_ipv4(const Frame& frame, uint32_t at) noexcept {
  if (!frame.has(at, 20)) return frame.truncated();
  const uint8_t* ip = frame.bytes + at;
  const uint32_t header = (ip[0] & 0x0F) * 4u;
  if (ip[0] >> 4 != 4 || header < 20) return frame.malformed();
  // 0: segmentation offload, captured before the card filled it in.
  const uint32_t total = be16(ip + 2);
  if (total != 0 && total < header) return frame.malformed();
  if (!frame.has(at, header)) return frame.truncated();
  frame.out.addresses = static_cast<uint16_t>(at + 12);
  const uint16_t fragment = be16(ip + 6);
  if (fragment & 0x1FFF) return frame.untracked(Untracked::Fragment);
  const bool more = fragment & 0x2000;
  decode_transport<false>(frame, ip[9], {ip + 12, ip + 16}, at + header, total ? at + total : UINT32_MAX, more);
}

/// Extension headers that are walked over; more than kMaxExtensions is not followed.
constexpr int kMaxExtensions = 8;

inline void decode_ipv6(const Frame& frame, uint32_t at) noexcept {
  enum : uint8_t { kHopByHop = 0, kRouting = 43, kFragment = 44, kDestination = 60 };
  if (!frame.has(at, 40)) return frame.truncated();
  const uint8_t* ip = frame.bytes + at;
  if (ip[0] >> 4 != 6) return frame.malformed();
  frame.out.addresses = static_cast<uint16_t>(at + 8);
  frame.out.ipv6 = true;
  const uint32_t payload = be16(ip + 4);  // 0: a jumbogram, or segmentation offload
  const uint32_t end = payload ? at + 40 + payload : UINT32_MAX;
  uint8_t next = ip[6];
  bool more = false;
  at += 40;
  for (int i = 0; i < kMaxExtensions; ++i) {
    if (next != kHopByHop && next != kRouting && next != kDestination && next != kFragment) break;
    if (uint64_t{at} + 8 > end) return frame.malformed();
    if (!frame.has(at, 8)) return frame.truncated();
    const uint8_t* extension = frame.bytes + at;
    if (next == kFragment) {
      const uint16_t fragment = be16(extension + 2);
      if (fragment & 0xFFF8) return frame.untracked(Untracked::Fragment);
      more = fragment & 1;
      at += 8;
    } else {
      at += (extension[1] + 1u) * 8;
    }
    next = extension[0];
  }
  if (at > end) return frame.malformed();
  if (at > frame.captured) return frame.truncated();
  decode_transport<true>(frame, next, {ip + 8, ip + 24}, at, end, more);
}

/// Raw IP: the version says which.
inline void decode_ip(const Frame& frame, uint32_t at) noexcept {
  if (!frame.has(at, 1)) return frame.truncated();
  switch (frame.bytes[at] >> 4) {
    case 4:
      return decode_ipv4(frame, at);
    case 6:
      return decode_ipv6(frame, at);
    default:
      return frame.malformed();
  }
}

}  // namespace tapline
