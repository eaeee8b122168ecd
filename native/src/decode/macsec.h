// Enters: a frame and the offset behind EtherType 0x88E5. Leaves: SCI, AN and packet number, or why there are none.
// IEEE 802.1AE-2018, 9.3 to 9.9 (SecTAG) and 9.12 (what makes a tag invalid).
#pragma once
#include "decode/frame.h"
#include "decode/hash.h"

namespace tapline {

namespace sectag {
constexpr uint8_t kVersion = 0x80, kEndStation = 0x40, kSciPresent = 0x20, kBroadcast = 0x10, kEncrypted = 0x08,
                  kChanged = 0x04, kAssociation = 0x03;
}

/// `source` is the offset of the source MAC, `destination` that of the destination MAC or kNoAddresses.
inline void decode_macsec(const Frame& frame, uint32_t at, uint32_t source, uint16_t destination) noexcept {
  using namespace sectag;
  if (!frame.has(at, 6)) return frame.truncated();
  const uint8_t* tag = frame.bytes + at;
  const uint8_t control = tag[0];
  const bool explicit_sci = control & kSciPresent;
  // 9.12: version 0; an explicit SCI excludes ES and SCB; the upper two bits beside the short length are 0.
  if (control & kVersion || (explicit_sci && control & (kEndStation | kBroadcast)) || tag[1] & 0xC0)
    return frame.malformed();
  const uint32_t end = at + (explicit_sci ? 14 : 6);
  if (end > frame.captured) return frame.truncated();
  // The short length counts the secure data, which the frame must have held on the wire.
  if (tag[1] != 0 && end + tag[1] > frame.out.wire_length && end + tag[1] > frame.captured) return frame.malformed();

  Packet& out = frame.out;
  if ((control & (kEncrypted | kChanged)) == kEncrypted) return frame.untracked(Untracked::MacsecNotData);
  if (explicit_sci) {
    out.sci = be64(tag + 6);
  } else {
    const uint8_t* mac = frame.bytes + source;
    out.sci = uint64_t{be32(mac)} << 32 | uint64_t{be16(mac + 4)} << 16 | (control & kBroadcast ? 0 : 1);
  }
  out.association = control & kAssociation;
  out.number = be32(tag + 2);
  out.addresses = destination;
  const uint32_t tags = frame.tag_bits(Protocol::Macsec);
  out.key = {out.sci, uint64_t{out.association} << 32 | tags};
  out.hash = mix(out.key.a, out.key.b, frame.seed);
  out.shard = static_cast<uint32_t>(mix(out.sci, tags, frame.seed) >> 32);
  frame.tracked(Protocol::Macsec);
}

}  // namespace tapline
