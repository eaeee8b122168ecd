// Any bytes as a frame: two of link type, the rest in a heap block of exactly that size, cut at the end by the
// sanitizer.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "decode/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tapline;
  if (size < 2) return 0;
  uint16_t link_type;
  std::memcpy(&link_type, data, sizeof link_type);
  const auto captured = static_cast<uint32_t>(size - 2);
  const auto frame = std::make_unique<uint8_t[]>(captured);
  std::memcpy(frame.get(), data + 2, captured);
  Packet packet, again;
  decode(frame.get(), captured, captured + 10, link_type, {1, 2}, packet);
  decode(frame.get(), captured, captured + 10, link_type, {1, 2}, again);
  switch (packet.verdict) {
    case Verdict::kTracked: {
      if (!(packet.key == again.key) || packet.hash != again.hash || packet.shard != again.shard) abort();
      const uint32_t addresses = packet.protocol == Protocol::Macsec ? 12 : packet.ipv6 ? 32 : 8;
      if (packet.addresses != kNoAddresses && packet.addresses + addresses > captured) abort();
      break;
    }
    case Verdict::kUntracked:
      if (packet.reason >= kUntrackedCount) abort();
      break;
    case Verdict::kUndecodable:
      if (packet.reason >= kUndecodableCount) abort();
      break;
  }
  return 0;
}
