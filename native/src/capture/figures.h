// What a live capture counts: by thread, by interface, in all. Each is summed from the one before it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "capture/ring.h"
#include "flow/flow_table.h"
#include "flow/ledger.h"

namespace tapline {

/// An interface's ledger and what stands beside it.
struct PortCounts {
  InterfaceLedger ledger;
  uint64_t bytes = 0;
  uint64_t super_packets = 0;      ///< frames that an offload merged
  uint64_t segments = 0;           ///< packets in them
  uint64_t partial_checksums = 0;  ///< frames whose checksum was left to the NIC
  uint64_t frozen = 0;             ///< times a ring was full

  PortCounts& operator+=(const PortCounts& member) noexcept {
    ledger.counts += member.ledger.counts;
    ledger.tracked += member.ledger.tracked;
    ledger.invalid_number += member.ledger.invalid_number;
    ledger.ring_drops += member.ledger.ring_drops;
    ledger.in_flight += member.ledger.in_flight;
    bytes += member.bytes;
    super_packets += member.super_packets;
    segments += member.segments;
    partial_checksums += member.partial_checksums;
    frozen += member.frozen;
    return *this;
  }
};

/// What a thread did, and how long it took: measured per block.
struct Stages {
  uint64_t blocks = 0, frames = 0, idle_polls = 0;
  int64_t decode_ns = 0, follow_ns = 0, publish_ns = 0;

  Stages& operator+=(const Stages& other) noexcept {
    blocks += other.blocks;
    frames += other.frames;
    idle_polls += other.idle_polls;
    decode_ns += other.decode_ns;
    follow_ns += other.follow_ns;
    publish_ns += other.publish_ns;
    return *this;
  }
};

/// All that one thread counts. Those of threads that have ended are kept as a sum.
struct MemberFigures {
  PortCounts counts;
  FlowTable::Counts flows;
  FlowTable::AllTotals totals{};  ///< by protocol
  Stages stages;
  uint64_t lost = 0, live = 0, tombstones_dropped = 0, settled_early = 0;
  int64_t first_time = 0, last_time = 0;

  MemberFigures& operator+=(const MemberFigures& member) noexcept {
    counts += member.counts;
    flows.flows += member.flows.flows;
    flows.gaps += member.flows.gaps;
    flows.cap_evictions += member.flows.cap_evictions;
    flows.links_dropped += member.flows.links_dropped;
    flows.peak += member.flows.peak;
    flows.live_errors += member.flows.live_errors;
    for (size_t i = 0; i < totals.size(); i++) totals[i] += member.totals[i];
    stages += member.stages;
    lost += member.lost;
    live += member.live;
    tombstones_dropped += member.tombstones_dropped;
    settled_early += member.settled_early;
    if (member.first_time != 0 && (first_time == 0 || member.first_time < first_time)) first_time = member.first_time;
    last_time = std::max(last_time, member.last_time);
    return *this;
  }
};

struct MemberRow {
  std::string interface;
  uint64_t frames = 0, flows = 0;
  int cpu_wanted = -1, cpu = -1;    ///< negative: any; not known yet
  int node_wanted = -1, node = -1;  ///< the same, of its ring's memory
};

struct PortRow {
  PortCounts counts;
  uint64_t ring_bytes = 0, ring_wanted = 0;
  bool ring_locked = true;
  PortState state = PortState::Absent;
  int64_t since = 0;
  CaptureStatus problem;  ///< why it is not watched although it is there
};

struct LiveSnapshot {
  std::vector<MemberRow> members;
  std::vector<PortRow> ports;
  MemberFigures all;
  FlowLimits limits;
  std::string filter;
  int64_t waited_ns = 0;
  Outbox::Spilled spilled;
  bool ebpf = true;
  uint64_t clock_steps = 0;
  int64_t clock_step_ns = 0;
  uint64_t blinds_dropped = 0;
  uint64_t links_dropped = 0;
};

}  // namespace tapline
