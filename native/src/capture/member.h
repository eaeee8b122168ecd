// One thread of a capture, with its flow table, and with a ring while its interface is watched. Members share nothing:
// the fanout program keeps a flow on one of them.
#pragma once
#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "capture/blind_log.h"
#include "capture/figures.h"
#include "capture/live_files.h"
#include "capture/placement.h"
#include "capture/ring.h"
#include "capture/run_clock.h"
#include "decode/decode.h"
#include "flow/flow_table.h"

namespace tapline {

/// Numbers of threads in one capture. A frame's number is its place among its member's, times this, plus the member's
/// own: so no two flows of a capture have one name, whoever comes and goes.
inline constexpr unsigned kMembers = 256;

/// The members' numbers. One that is given back goes on where its last holder stopped.
class MemberNumbers {
 public:
  /// kMembers when all are taken.
  unsigned take() noexcept;
  void give(unsigned number, uint64_t frames) noexcept;
  uint64_t frames_before(unsigned number) const noexcept { return places_[number].frames; }

 private:
  struct Place {
    bool taken = false;
    uint64_t frames = 0;
  };
  Place places_[kMembers];
};

/// What all members of a capture work with.
struct MemberSurroundings {
  Outbox& outbox;
  BlindLog& blinds;
  RunClock& clock;
  HashSeed seed;
  int64_t retire_ns;  ///< until the kernel hands on a block that is not full
  LatestFlows& latest;
  LiveFiles& live_files;
};

class Member {
 public:
  struct Place {
    size_t port;
    unsigned number;
    uint64_t frames_before;
    int cpu;
  };

  Member(const Place& place, const FlowLimits& limits, const MemberSurroundings& around);
  ~Member();
  bool allocated() const noexcept { return table_.allocated(); }

  // By the keeper of the capture, one after another. The ring is the keeper's while the member is away.
  Ring& ring() noexcept { return ring_; }
  void start();
  /// The ring's door is open: take what comes.
  void watch() noexcept {
    node_.store(ring_.node(), std::memory_order_relaxed);
    become(Phase::kWatching);
  }
  /// The door is closed: take what is inside, then be away.
  void drain() noexcept;
  bool away() const noexcept { return phase_.load(std::memory_order_acquire) == Phase::kAway; }
  /// Away: make a record of every flow, and end.
  void end() noexcept { become(Phase::kEnding); }
  bool ended() const noexcept { return phase_.load(std::memory_order_acquire) == Phase::kEnded; }
  void join();

  // From any thread.
  void set_limits(const FlowLimits& limits) noexcept;
  /// Another filter is put on: told before and after. What a gap across that moment lacks, the filter may have kept
  /// out.
  void note_filter() noexcept { refiltered_.store(true, std::memory_order_release); }
  MemberFigures figures();
  const Place& place() const noexcept { return place_; }
  MemberRow row();

  // After it has ended.
  uint64_t frames() const noexcept { return place_.frames_before + frames_; }
  /// Of its live file; negative when it had none.
  int64_t live_file() const noexcept { return live_file_; }

 private:
  enum class Phase : uint8_t { kAway, kWatching, kDraining, kEnding, kEnded };

  void become(Phase phase) noexcept;
  void wake() noexcept;
  void run();
  void keep_flows(int64_t wall);
  bool take_block();
  void take(const RingFrame& frame, int64_t now);
  short wait(int fd, int ms) noexcept;
  void look_for_failure(int ms);
  void note_failure(int64_t now) noexcept;
  void leave();
  void note_drops() noexcept;
  void obey() noexcept;
  void publish(bool has_ring);

  const Place place_;
  const MemberSurroundings around_;
  Ring ring_;
  FlowTable table_;
  std::atomic<Phase> phase_{Phase::kAway};
  std::atomic<int> cpu_{-1}, node_{-1};
  const int wake_fd_;
  std::thread thread_;

  // The thread's own:
  std::vector<Packet> batch_;
  std::vector<FlowTable::Tally> followed_{1};
  int64_t clock_ = std::numeric_limits<int64_t>::min();
  int64_t first_time_ = 0, last_time_ = 0;
  int64_t blind_since_ = 0;  ///< nothing came in since, for the interface was not there; 0: it was
  uint64_t frames_ = 0;
  uint64_t in_block_ = 0;
  PortCounts counts_;
  Stages stages_;
  int64_t live_file_ = -1;

  std::atomic<bool> refiltered_{false};
  std::atomic<uint32_t> wishes_{0};  ///< limits that were set
  uint32_t obeyed_ = 0;
  std::mutex mutex_;  ///< what others may see:
  FlowLimits wanted_;
  MemberFigures shown_;
};

}  // namespace tapline
