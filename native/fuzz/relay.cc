// Any bytes as what a relay worker gets: one that says which, the rest in a heap block of exactly that size, cut at the
// end by the sanitizer. As a packet: whatever is whole is still whole, and as long, when it was rewritten or wrapped.
// As a table's file behind a right digest it cannot be, so also as one behind a digest of its own. As lines for the
// holder.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "relay/afpacket/rewrite.h"
#include "relay/afpacket/table_file.h"
#include "relay/afpacket/tunnel.h"
#include "relay/joins/membership.h"

namespace {
using namespace tapline::relay;

void check(bool held) {
  if (!held) abort();
}

Output output_of(uint8_t family, bool tunnel) {
  Output out;
  out.destination.family = family;
  out.destination.bytes = {239, 9, 9, 9};  // of IPv6 it will do as well
  out.source = out.destination;
  out.port = 7;
  out.dscp = 46;
  if (tunnel) out.tunnel = TunnelOutput{1, 2, {3}};
  return out;
}

void as_packet(const uint8_t* bytes, uint32_t length, bool super) {
  Packet packet;
  if (parse(bytes, length, super, packet) != Packet::Form::Whole) return;
  const uint32_t head = packet.transport + 8;
  check(head <= packet.length && packet.length <= length);
  const Segment segment{bytes + head, packet.length - head, 0, true, true};
  std::vector<uint8_t> out(HOP_OVERHEAD_IPV6 + packet.length);
  const Output plain = output_of(packet.family, false);
  check(rewrite(out.data(), packet, segment, &plain, 9) == head);
  std::memcpy(&out[head], segment.payload, segment.bytes);
  Packet again;
  if (!super) {
    check(parse(out.data(), packet.length, false, again) == Packet::Form::Whole);
    check(again.length == packet.length && again.transport == packet.transport && again.ttl() == 9);
  }
  const Output tunnel = output_of(4, true);
  const uint32_t around = overhead(tunnel), inside = packet.length;
  rewrite(&out[around], packet, segment, nullptr, 0);
  std::memcpy(&out[around + head], segment.payload, segment.bytes);
  if (around + inside > 65535) return;
  wrap(out.data(), tunnel, packet, inside, 64, {1, 2, 3, 4});
  check(parse(out.data(), around + inside, false, again) == Packet::Form::Whole);
  hop_header header;
  std::memcpy(&header, out.data() + 28, sizeof header);
  const TunnelInput input{1, {3}, {*tunnel.source}};
  check(right_tag(input, header, packet) && known_peer(input, again));
}

void as_table(const uint8_t* bytes, size_t length) {
  Table table;
  if (read_table({bytes, length}, table).empty()) check(write_table(table).size() == length);
  std::vector<uint8_t> whole(bytes, bytes + length);
  if (length < 16) return;
  uint64_t digest = 0xCBF29CE484222325;  // as table_file.cc: a damaged file that has it anyway
  for (size_t i = 16; i < length; i++) digest = (digest ^ bytes[i]) * 0x100000001B3;
  std::memcpy(&whole[8], &digest, sizeof digest);
  Table again;
  if (read_table(whole, again).empty()) check(write_table(again).size() <= length);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 65535) return 0;
  const size_t length = size - 1;
  const auto bytes = std::make_unique<uint8_t[]>(length);
  std::memcpy(bytes.get(), data + 1, length);
  switch (data[0] % 4) {
    case 0:
      as_packet(bytes.get(), static_cast<uint32_t>(length), false);
      break;
    case 1:
      as_packet(bytes.get(), static_cast<uint32_t>(length), true);
      break;
    case 2:
      as_table(bytes.get(), length);
      break;
    default:
      if (const auto found = read_membership({reinterpret_cast<const char*>(bytes.get()), length}))
        check(read_membership(text_of(*found)) == found);
  }
  return 0;
}
