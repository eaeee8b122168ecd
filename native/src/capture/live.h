// The live capture: interfaces in, finished flows, gaps and the ledger out.
// Each interface has as many members as threads are wanted; a member is one ring, one thread, one flow table. The
// fanout program keeps a flow on one member, so members share nothing.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "capture/fanout.h"
#include "capture/filter.h"
#include "capture/ring.h"
#include "decode/decode.h"
#include "flow/flow_table.h"
#include "flow/ledger.h"

namespace tapline {

struct LiveOptions {
  std::vector<std::string> interfaces;
  unsigned threads = 1;  ///< for each interface
  std::string filter;
  RingOptions ring;
  FlowLimits limits{2'000'000'000, 60'000'000'000, 1u << 20};
};

/// An interface's ledger and what stands beside it.
struct PortCounts {
  InterfaceLedger ledger;
  uint64_t bytes = 0;
  uint64_t super_packets = 0;      ///< frames that an offload merged
  uint64_t segments = 0;           ///< packets in them
  uint64_t partial_checksums = 0;  ///< frames whose checksum was left to the NIC
  uint64_t frozen = 0;             ///< times a ring was full
  uint64_t ring_bytes = 0;
  bool ring_locked = true;
  bool gone = false;  ///< down or deleted: not watched at the moment

  PortCounts& operator+=(const PortCounts& member) noexcept;
};

/// What one thread got of its interface.
struct MemberCounts {
  std::string interface;
  uint64_t frames, flows;
};

struct LiveSnapshot {
  std::vector<MemberCounts> members;
  std::vector<PortCounts> ports;
  uint64_t flows = 0, live_flows = 0, peak_flows = 0, lost = 0, gaps = 0;
  uint64_t cap_evictions = 0, tombstones_dropped = 0, links_dropped = 0, settled_early = 0, live_errors = 0;
  int64_t first_time = 0, last_time = 0;
  int64_t waited_ns = 0;
  bool ebpf = true;
};

class LiveCapture {
 public:
  static std::unique_ptr<LiveCapture> open(const LiveOptions& options, CaptureStatus& status);
  ~LiveCapture();

  /// Runs until stop(), then calls `done` from one of its threads, when every frame taken is in a record.
  void start(std::function<void(const LiveSnapshot&)> done);
  /// Closes the door first, then takes what is still in the rings: no frame is seen and not delivered.
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  LiveSnapshot snapshot();
  EngineProgress progress();
  Outbox& outbox() noexcept { return outbox_; }

  /// From now on each member keeps its flows in a file of its own (flow/live_file.h). Once.
  void keep_live(const LiveFlows& flows);

 private:
  struct Member;
  struct Port;

  explicit LiveCapture(const LiveOptions& options);
  CaptureStatus open_port(Port& port);
  CaptureStatus join(Port& port, Member& member);
  void come_back(Port& port, Member& member);
  void watch(Port& port, Member& member);
  bool take_block(Member& member);
  void publish(Member& member);
  void supervise(const std::function<void(const LiveSnapshot&)>& done);

  const LiveOptions options_;
  const HashSeed seed_;
  Outbox outbox_;
  LatestFlows latest_;
  LiveFlows live_flows_;  ///< written once, before keeping_ is set
  std::atomic<bool> keeping_{false};
  FanoutProgram program_;
  bool ebpf_ = true;
  std::vector<std::unique_ptr<Port>> ports_;
  std::thread supervisor_;
  std::atomic<bool> stop_{false};
};

}  // namespace tapline
