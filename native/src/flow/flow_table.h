// The flows of one thread. Enters: tracked packets in capture order. Leaves: finished flow records, gaps and links,
// into the outbox. A packet in order touches one index entry and one cache line; everything else about a flow is cold.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "decode/packet.h"
#include "flow/blind.h"
#include "flow/latest_flows.h"
#include "flow/live_file.h"
#include "flow/memory.h"
#include "flow/outbox.h"
#include "flow/pool.h"
#include "flow/slot_index.h"
#include "flow/tombstones.h"
#include "flow/totals.h"
#include "flow/window.h"

namespace tapline {

struct FlowLimits {
  int64_t settle_ns;
  int64_t idle_ns;
  uint32_t max_flows;
  uint32_t sample = 1;  ///< one flow of so many is followed

  /// By the hash's upper half. A sample of more flows holds those of one of fewer.
  bool follows(uint64_t hash) const noexcept { return (hash >> 32) * sample >> 32 == 0; }
};

/// A new flow of a SCI or an address pair: candidates that the end of the run chains into links.
struct Association {
  uint64_t group;        ///< hash of what the flows share
  uint64_t packet : 63;  ///< names the flow
  uint64_t resumed : 1;  ///< linked to its old self already; another may still follow it
};
static_assert(sizeof(Association) == 16);

class FlowTable final : private GapSink {
 public:
  /// What this table counted; read by others only after its thread has ended, but for `live`.
  struct Counts {
    uint64_t flows = 0;
    uint64_t gaps = 0;
    uint64_t cap_evictions = 0;
    uint64_t links_dropped = 0;
    uint64_t peak = 0;
    uint64_t live_errors = 0;  ///< writes of the live file that failed, and were tried again
  };
  struct Live {
    std::atomic<uint64_t> flows{0};
    std::atomic<uint64_t> lost{0};
  };

  /// `latest`: links rekeys as they come; without, associations() keeps them for the end.
  FlowTable(const FlowLimits& limits, Outbox& outbox, LatestFlows* latest = nullptr);
  bool allocated() const noexcept {
    return hot_ && cold_ && ipv6_ && associations_ && tombstones_.allocated() && missing_.allocated() &&
           sequences_.allocated();
  }

  /// Follows a batch. `clock` in each packet is already monotonic; `first` is the capture's number of ordinal 0.
  /// Counts each packet per interface as tracked or as an invalid number.
  struct Tally {
    uint64_t tracked = 0;
    uint64_t invalid_number = 0;
  };
  void follow(std::span<const Packet> packets, int64_t clock_floor, int64_t time_shift, uint64_t first,
              std::vector<Tally>& tally) noexcept;

  /// This sensor did not see what came in (since, until]. In order of time, before the packets that came after.
  void blind(int64_t since, int64_t until) noexcept { blind_.add(since, until); }

  /// The capture ended at `clock`: every flow becomes a record.
  void finish(int64_t clock) noexcept;

  /// Live captures: time passed, with or without packets. Confirms what has settled and ends what is idle; visits one
  /// `share`th of the table.
  void tick(int64_t now, unsigned share) noexcept;

  /// Live captures, by the table's own thread. A lower cap takes effect over the next calls, by eviction; flows outside
  /// a smaller sample end without leaving a tombstone: their numbers go on unseen.
  void set_limits(const FlowLimits& limits, int64_t now) noexcept;
  const FlowLimits& limits() const noexcept { return limits_; }

  /// From now on keep() writes the flows to a file, this table's own by its number.
  void keep_live(const LiveFlows& flows, unsigned number);
  /// To be called often with the wall clock: brings the live file up to date, each flow once a second.
  void keep(int64_t wall) noexcept;
  /// Waits until what keep() gave is in the file.
  void wait_kept() noexcept { live_file_->wait(); }

  const Counts& counts() const noexcept { return counts_; }
  uint64_t live_flows() const noexcept { return live_flows_; }
  /// By protocol, over ended and living flows alike.
  using AllTotals = std::array<Totals, 5>;
  const AllTotals& totals() const noexcept { return totals_; }
  const Live& live() const noexcept { return live_; }
  uint64_t tombstones_dropped() const noexcept { return tombstones_.dropped(); }
  uint64_t settled_early() const noexcept { return window_.settled_early(); }
  std::span<const Association> associations() const noexcept { return {associations_.data(), associated_}; }

 private:
  enum Flag : uint8_t {
    kLive = 1,
    kSequenced = 2,
    kHasSequence = 4,  ///< Cold::sequence is set
    kBusy = 8,         ///< something is missing or held: the number needs the window
    kIpv6 = 16,
    kWrapped = 32,
    kChanged = 64,  ///< since the live file was written
    kEnded = 128,   ///< the slot is free once the flow's record is stored: until then the live file holds the flow
  };
  struct alignas(64) Hot {
    FlowKey key;
    int64_t hi;
    int64_t last_seen;
    uint64_t packets_flags;  ///< packets << 8 | flags
    uint64_t bytes;
    int64_t min_inter_arrival;
    int64_t max_inter_arrival;

    bool has(Flag f) const noexcept { return packets_flags & f; }
    void set(Flag f, bool on) noexcept { packets_flags = on ? packets_flags | f : packets_flags & ~uint64_t{f}; }
    uint64_t packets() const noexcept { return packets_flags >> 8; }
  };
  static_assert(sizeof(Hot) == 64);
  struct Cold {
    uint8_t ends[12];  ///< IPv4: source and destination; MACsec: destination and source MAC, as in the frame; IPv6: see
                       ///< ipv6_
    uint32_t tag;      ///< of the index
    uint8_t tags[8];
    union {
      int64_t base;       ///< until there is a Sequence
      uint32_t sequence;  ///< in sequences_
      uint64_t ended_in;  ///< of an ended flow: the batch of flows_out_ with its record
    };
    int64_t first_seen;
    uint64_t packet : 53;  ///< names the flow, in a double, too; the next free slot while this one is free
    uint64_t protocol : 3;
    uint64_t association : 2;
    uint64_t nat_t : 1;
    uint64_t tag_count : 2;
  };
  static_assert(sizeof(Cold) == 48);
  static_assert(kProtocolCount <= 8);
  struct Ipv6Ends {
    uint8_t source[16];
    uint8_t destination[16];
  };

  void one(const Packet& p, int64_t now, uint64_t number, Tally& tally) noexcept;
  bool same(uint32_t slot, const Packet& p) const noexcept;
  uint32_t create(const Packet& p, uint32_t tag, int64_t now, uint64_t number, const Tombstone* resumed) noexcept;
  void end(uint32_t slot, FlowEnd how, int64_t at) noexcept;
  void describe(uint32_t slot, FlowEnd how, FlowRecord& r) const noexcept;
  template <typename RecordType>
  void identify(uint32_t slot, FlowEnd how, RecordType& r) const noexcept;
  bool keep_slot(uint32_t slot, uint64_t settled) noexcept;
  bool joins(uint32_t slot) const noexcept;
  void submit() noexcept;
  void kept(uint64_t settled) noexcept;
  void release(uint32_t slot) noexcept;
  void associate(const Packet& p, uint32_t slot, bool resumed) noexcept;
  uint32_t free_slot(int64_t now) noexcept;
  uint32_t evict_one(int64_t now) noexcept;
  uint32_t ended_slot(int64_t now) noexcept;
  void trim(size_t flows, int64_t now) noexcept;
  void visit(uint32_t slot, int64_t now) noexcept;
  bool unsampled(uint32_t slot) const noexcept;
  void sweep(size_t slots, int64_t now) noexcept;
  Sequence& sequence(uint32_t slot) noexcept { return *sequences_.at(cold_[slot].sequence); }
  Sequence& needed_sequence(uint32_t slot) noexcept;
  bool grow(uint32_t flows) noexcept;
  template <typename Change>
  void counted(uint32_t slot, Change&& change) noexcept;
  void gap(const Gap& gap) noexcept override;

  FlowLimits limits_;
  Reserved<Hot> hot_;
  Reserved<Cold> cold_;
  Reserved<Ipv6Ends> ipv6_;  ///< by slot, touched for IPv6 alone
  SlotIndex index_;
  Tombstones tombstones_;
  BlindTimes blind_;
  WindowMemory missing_;
  Pool<Sequence> sequences_;
  Window window_;
  Gather<FlowRecord> flows_out_;
  Gather<GapRecord> gaps_out_;
  Gather<LinkRecord> links_out_;
  Reserved<Association> associations_;
  size_t associated_ = 0;
  uint32_t used_ = 0;                 ///< slots ever used
  uint32_t free_ = SlotIndex::kNone;  ///< head of the list of freed slots
  uint64_t live_flows_ = 0;
  uint32_t hand_ = 0;         ///< of the sweep
  uint32_t tick_hand_ = 0;    ///< of the tick: the sweep must not let it pass anything over
  uint32_t victim_hand_ = 0;  ///< of the cap's eviction
  AllTotals totals_;
  int64_t sampled_since_ = 0;
  uint64_t to_visit_ = 0;  ///< slots that no tick has visited since the sample became smaller
  uint64_t lost_ = 0;
  uint32_t gap_of_ = 0;  ///< the slot whose gaps come now
  LatestFlows* const latest_;
  std::unique_ptr<LiveFile> live_file_;
  int64_t kept_at_ = 0;
  uint32_t keep_hand_ = 0;
  LiveFile::Batch* gathering_ = nullptr;
  Counts counts_;
  Live live_;
};

}  // namespace tapline
