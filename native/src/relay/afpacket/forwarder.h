// The worker's packet thread, one frame at a time. Enters: frames of the ring, and now and then another table. Leaves:
// packets on the outputs' interfaces, and in the figures for every frame one count at the port (received = passed +
// matched + refused) and for every packet of an output one more (wanted = sent + dropped).
#pragma once
#include <vector>

#include "capture/ring.h"
#include "relay/afpacket/compiled.h"
#include "relay/afpacket/hops.h"
#include "relay/afpacket/limiter.h"

namespace tapline::relay {

struct Segment;

class Forwarder {
 public:
  /// Counts of packets that the worker before had in hand when it ended become dropped(worker).
  /// `stream`: under which packets into tunnels are numbered (hop_header.h).
  Forwarder(FiguresFile& figures, uint16_t stream);

  /// From the next frame on; null: nothing is relayed. Whoever owns it keeps it until another was set.
  void use(const Compiled* table) noexcept { table_ = table; }

  /// Before the frames of a block: what need not be asked for each.
  void begin() noexcept;
  void frame(const RingFrame& frame) noexcept;
  /// After them, before the block is given back: nothing of it is needed any longer.
  void end() noexcept;

 private:
  /// One packet on its way through, or `count` of them in a super-packet.
  struct Way {
    const RingFrame& frame;
    Packet packet;
    uint32_t count;
    uint64_t bytes;  ///< of IP packets
    uint8_t hops;    ///< tunnels it came through
  };
  void wire(Way& way, uint16_t vlan) noexcept;
  void tunnel(const Way& way) noexcept;
  void tunnelled(const Way& outer, const uint8_t* header, uint32_t bytes) noexcept;
  void relay(const CompiledRule& rule, Way& way) noexcept;
  /// `last`: the packet is needed no more.
  void send(const Exit& exit, const Way& way, bool last, uint8_t* outcome) noexcept;
  void send_one(const Exit& exit, const Way& way, const Segment& segment, uint8_t ttl, bool last,
                uint8_t* outcome) noexcept;
  void send_in_place(const Exit& exit, const Packet& packet, const Segment& segment, uint8_t ttl,
                     uint8_t* outcome) noexcept;
  void pass(const Way& way) noexcept { port_.passed.add(way.count); }
  void refuse(const Way& way, relay_refusal why, const CompiledRule* rule = nullptr) noexcept;
  static void drop(const Exit& exit, uint32_t count, relay_drop why, uint8_t* outcome) noexcept;
  TraceRecord* trace(const CompiledRule& rule, const Way& way) noexcept;

  FiguresFile& file_;
  Figures& figures_;
  PortCounts& port_;
  const Compiled* table_ = nullptr;
  std::vector<Limiter> limiters_;  ///< by rule slot: they go on when the table changes
  Hops hops_;
  uint16_t stream_;
  uint64_t now_ns_ = 0;  ///< CLOCK_BOOTTIME, at the block's beginning
  bool orphaned_ = false;
  uint32_t traced_slot_ = UINT32_MAX, traces_left_ = 0;
  uint64_t traces_made_ = 0;
};

}  // namespace tapline::relay
