#include "relay/afpacket/hops.h"

#include <cstring>

namespace tapline::relay {

Hops::Hops(Figures& figures) : figures_(figures) { index_all(); }

void Hops::index_all() {
  slots_ = MatchTable();
  count_ = 0;
  for (uint32_t i = 0; i < kHopSlots; i++) {
    const HopSlot& slot = figures_.hops[i];
    if (!slot.used) continue;
    slots_.add(key(slot.path, slot.stream, slot.epoch), i);
    count_++;
  }
}

HopSlot& Hops::find(uint32_t path, uint32_t stream, uint32_t epoch, uint64_t now_ns) noexcept {
  uint32_t at = slots_.find(key(path, stream, epoch));
  if (at == MatchTable::kNone) {
    at = 0;
    for (uint32_t i = 0; i < kHopSlots && figures_.hops[at].used; i++)
      if (!figures_.hops[i].used || figures_.hops[i].last_ns < figures_.hops[at].last_ns) at = i;
    HopSlot& slot = figures_.hops[at];
    const bool evicted = slot.used;
    if (evicted) figures_.hop_evictions.fetch_add(1, std::memory_order_relaxed);
    slot.used.store(0, std::memory_order_release);
    slot.path = path, slot.stream = stream, slot.epoch = epoch;
    std::memset(&slot.window, 0, sizeof slot.window);
    slot.used.store(1, std::memory_order_release);
    if (evicted)
      index_all();
    else
      slots_.add(key(path, stream, epoch), at);
  }
  last_ = at;
  figures_.hops[at].last_ns = now_ns;
  return figures_.hops[at];
}

}  // namespace tapline::relay
