#include "generate/frame.h"

#include <cstring>
#include <new>

#include "generate/bytes.h"
#include "generate/capture_writer.h"
#include "generate/random.h"

namespace tapline::generation {

namespace {

constexpr uint32_t kOffsets = 32768;  // payloads begin at an even offset below this
constexpr uint32_t kBlock = kOffsets + 65536;
constexpr uint32_t kIcv = 16;

uint64_t draw_of(const Association& association, uint64_t number) noexcept {
  return mix(association.salt + number * 0x9E3779B97F4A7C15u);
}
uint32_t offset_of(uint64_t draw) noexcept { return static_cast<uint32_t>(draw & (kOffsets / 2 - 1)) * 2; }

uint32_t checksum(uint64_t sum) noexcept {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return ~static_cast<uint32_t>(sum) & 0xFFFF;
}

uint64_t words(const uint8_t* at, uint32_t length) noexcept {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < length; i += 2) sum += get16(at + i);
  return sum;
}

/// UDP over what follows it; 0 would mean "none", so it is sent as 0xFFFF.
void finish_udp(const Flow& flow, uint8_t* udp, uint32_t length, uint64_t payload_sum) noexcept {
  put16(udp + 4, length);
  const uint32_t value = checksum(flow.pseudo_sum + length + words(udp, 6) + payload_sum);
  put16(udp + 6, value == 0 ? 0xFFFF : value);
}

}  // namespace

bool FrameBuilder::init(const GenerateOptions& options) {
  min_size_ = options.min_size;
  max_size_ = options.max_size;
  block_.reset(new (std::nothrow) uint8_t[kBlock + 8]);
  sums_.reset(new (std::nothrow) uint32_t[kBlock / 2 + 1]);
  if (!block_ || !sums_) return false;
  Random random(options.seed ^ 0x7061796C6F6164u);
  // Payloads begin at even offsets, where each byte is one of ` to o, and odd ones follow: no dissector takes that for
  // RTP, STUN, CLTP or the like.
  for (uint32_t at = 0; at < kBlock; at += 8)
    put64(block_.get() + at, (random.next() & 0x0FFF0FFF0FFF0FFFu) | 0x6001600160016001u);
  uint32_t sum = 0;
  for (uint32_t word = 0; word <= kBlock / 2; ++word) {
    sums_[word] = sum;
    sum += get16(block_.get() + 2 * word);
  }
  return true;
}

uint32_t FrameBuilder::sum(uint32_t from, uint32_t length) const noexcept {
  const uint32_t first = from / 2;
  const uint32_t last = first + length / 2;
  uint32_t total = sums_[last] - sums_[first];
  // An odd byte counts as the high half of a word. 65,535 bytes of words fit in 32 bits.
  if (length & 1) total += static_cast<uint32_t>(block_[from + length - 1]) << 8;
  return total;
}

uint32_t FrameBuilder::length(const Flow& flow, const Association& association, uint64_t number) const noexcept {
  const uint64_t draw = draw_of(association, number);
  uint32_t size = min_size_ + static_cast<uint32_t>((draw >> 32) * (max_size_ - min_size_ + 1) >> 32);
  if (size < flow.min_frame) size = flow.min_frame;
  if (flow.kind == Kind::kEsp || flow.kind == Kind::kNatTEsp) {
    const uint32_t over = (size - flow.header_length) & 3;  // what is encrypted is padded to words
    size -= over;
    if (over != 0 && size < min_size_ && size + 4 <= max_size_) size += 4;
  }
  return size;
}

uint32_t FrameBuilder::build(const Flow& flow, const Association& association, uint64_t number, uint32_t sequence,
                             uint32_t acknowledged, uint8_t* out) const noexcept {
  const uint64_t draw = draw_of(association, number);
  const uint32_t size = length(flow, association, number);
  const uint32_t head = flow.header_length;
  const uint32_t from = offset_of(draw);
  const uint32_t rest = size - head;
  const auto wire_number = static_cast<uint32_t>(number);
  std::memcpy(out, flow.header, kHeaderRoom);
  std::memcpy(out + head, block_.get() + from, rest);

  if (flow.kind == Kind::kMacsec) {
    uint8_t* tag = out + flow.network;
    tag[0] |= association.number;
    tag[1] = rest - kIcv < 48 ? static_cast<uint8_t>(rest - kIcv) : 0;  // SL, IEEE 802.1AE 9.7
    put32(tag + 2, wire_number);
    if ((tag[0] & 0x0C) == 0) put16(out + head, 0x88B5);
    return size;
  }

  uint8_t* ip = out + flow.network;
  uint8_t* transport = ip + (flow.ipv6 ? 40 : 20);
  if (flow.ipv6) {
    put16(ip + 4, size - flow.network - 40);
  } else {
    const uint32_t total = size - flow.network;
    const uint32_t identification = wire_number & 0xFFFF;
    put16(ip + 2, total);
    put16(ip + 4, identification);
    put16(ip + 10, checksum(uint64_t{flow.header_sum} + total + identification));
  }
  const auto after = static_cast<uint32_t>(out + size - transport);  // bytes from the transport header on
  switch (flow.kind) {
    case Kind::kEsp:
      put32(transport, association.spi);
      put32(transport + 4, wire_number);
      break;
    case Kind::kNatTEsp:
      put32(transport + 8, association.spi);
      put32(transport + 12, wire_number);
      put16(transport + 4, after);
      // RFC 3948: no checksum in IPv4; IPv6 needs one.
      if (flow.ipv6) finish_udp(flow, transport, after, words(transport + 8, 8) + sum(from, rest));
      break;
    case Kind::kAh:
      put32(transport + 4, association.spi);
      put32(transport + 8, wire_number);
      put64(transport + 12, mix(draw));  // a 96-bit ICV
      put32(transport + 20, static_cast<uint32_t>(mix(draw + 1)));
      finish_udp(flow, transport + 24, after - 24, sum(from, rest));
      break;
    case Kind::kTcp:
      put32(transport + 4, sequence);
      put32(transport + 8, acknowledged);
      put16(transport + 16, checksum(flow.pseudo_sum + after + words(transport, 16) + sum(from, rest)));
      break;
    default:
      finish_udp(flow, transport, after, sum(from, rest));
  }
  return size;
}

uint32_t FrameBuilder::build_mka(const Flow& flow, uint64_t draw, uint8_t* out) const noexcept {
  static constexpr uint8_t kGroup[6] = {0x01, 0x80, 0xC2, 0x00, 0x00, 0x03};
  constexpr uint32_t kBasic = 44;  // SCI, member identifier and number, agility, a CAK name of 16 bytes
  constexpr uint32_t kBody = 4 + kBasic + kIcv;
  std::memcpy(out, kGroup, 6);
  std::memcpy(out + 6, flow.header + 6, 6);
  put16(out + 12, 0x888E);
  out[14] = 3;  // EAPOL version of IEEE 802.1X-2020
  out[15] = 5;  // MKA
  put16(out + 16, kBody);
  uint8_t* at = out + 18;
  at[0] = 3;                       // MKA version
  at[1] = 0x10;                    // key server priority
  put16(at + 2, 0x6000 | kBasic);  // MACsec desired, integrity and confidentiality
  std::memcpy(at + 4, flow.header + 6, 6);
  put16(at + 10, 1);
  std::memcpy(at + 12, block_.get() + offset_of(mix(draw)), 12);
  put32(at + 24, 1 + static_cast<uint32_t>(draw & 0xFFFF));
  put32(at + 28, 0x0080C201);
  std::memcpy(at + 32, block_.get(), 16);
  std::memcpy(at + 48, block_.get() + offset_of(draw), kIcv);
  return 18 + kBody;
}

}  // namespace tapline::generation
