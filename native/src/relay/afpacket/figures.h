// What a worker counts, in a file that it and the agent have mapped. Enters: counts, by the worker's one packet thread,
// each by plain stores that no reader can tear. Leaves: the same to the agent, at any time, and to the next worker
// after a crash, which goes on where the last one stopped.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>

#include "generated/relay_reasons.h"
#include "relay/hop_window.h"

namespace tapline::relay {

/// One writer, any number of readers.
class Count {
 public:
  void add(uint64_t n) noexcept { value_.store(get() + n, std::memory_order_relaxed); }
  void set(uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};
static_assert(sizeof(Count) == 8 && std::atomic<uint64_t>::is_always_lock_free);

struct PortCounts {
  Count received, bytes, passed, matched;
  Count refused[RELAY_REFUSED_REASONS];
  Count ring_drops;  ///< by the thread that asks the kernel
  uint64_t refusals() const noexcept {
    uint64_t sum = 0;
    for (const Count& one : refused) sum += one.get();
    return sum;
  }
};

struct RuleCounts {
  Count matched, bytes, last_ns;
  Count refused[RELAY_REFUSED_REASONS];
};

struct OutputCounts {
  Count wanted, sent, sent_bytes;
  Count dropped[RELAY_DROPPED_REASONS];
  Count sequence, epoch;  ///< of a tunnel: kept here, so that the next worker goes on with the numbers
  /// Stored before it is used: a number never leaves twice.
  uint32_t next_number(uint32_t of_epoch) noexcept {
    if (epoch.get() != of_epoch) sequence.set(0), epoch.set(of_epoch);
    sequence.add(1);
    return static_cast<uint32_t>(sequence.get());
  }
  uint64_t drops() const noexcept {
    uint64_t sum = 0;
    for (const Count& one : dropped) sum += one.get();
    return sum;
  }
};

/// What came of one path, by its sending CPU and numbering. `used` is set last.
struct HopSlot {
  std::atomic<uint32_t> used;
  uint32_t path, stream, epoch;
  uint64_t last_ns;  ///< when a packet came last: the longest silent gives way when all are taken
  struct hop_window window;
};

inline constexpr size_t kTraceOutputs = 64;
inline constexpr uint8_t kTraceSent = 0xFF;
struct TraceRecord {
  uint64_t at_ns;
  uint32_t rule_slot, length;
  uint8_t ttl, family, refused, outputs;  ///< `refused` is kTraceSent when it was not
  uint8_t source[16];
  uint32_t output_slot[kTraceOutputs];
  uint8_t dropped[kTraceOutputs];  ///< kTraceSent, or a relay_drop
};

inline constexpr uint32_t kHopSlots = 4096;
inline constexpr uint32_t kTraceRecords = 256;

struct Figures {
  uint64_t magic;
  uint32_t max_rules, max_outputs;

  // Told by the agent.
  std::atomic<uint64_t> wanted;           ///< generation of the table that lies in the file
  std::atomic<uint64_t> heartbeat_ns;     ///< CLOCK_BOOTTIME; 0: never
  std::atomic<uint64_t> orphan_after_ns;  ///< 0: never
  std::atomic<uint64_t> trace_order;      ///< rule slot << 32 | packets; taken by the worker, who leaves 0
  std::atomic<uint64_t> traces_taken;

  // Told by the worker.
  std::atomic<uint64_t> applied;        ///< generation of the table in use
  std::atomic<uint64_t> refused_table;  ///< generation of one that could not be read
  std::atomic<uint64_t> starts;         ///< workers so far
  std::atomic<uint64_t> pid;
  std::atomic<uint64_t> ready;  ///< frames are let in
  std::atomic<uint64_t> traces_made;
  std::atomic<uint64_t> hop_evictions;

  PortCounts port;
  TraceRecord traces[kTraceRecords];
  HopSlot hops[kHopSlots];
  // followed by RuleCounts[max_rules], OutputCounts[max_outputs]
};

/// The file, mapped. One is made when there is none, or one of another layout.
class FiguresFile {
 public:
  FiguresFile() = default;
  ~FiguresFile();
  FiguresFile(const FiguresFile&) = delete;
  FiguresFile& operator=(const FiguresFile&) = delete;

  /// Empty when it worked. With `max_rules` 0 the file has to be there, and says how many it holds.
  [[nodiscard]] std::string open(const std::string& path, uint32_t max_rules, uint32_t max_outputs);
  /// Holds the file as the one worker, until the process ends, however it ends. False: there is one.
  [[nodiscard]] bool claim() noexcept;
  /// The worker's process id, as the kernel knows it; 0 when there is none.
  int claimed_by() const noexcept;

  Figures& figures() noexcept { return *figures_; }
  RuleCounts& rule(uint32_t slot) noexcept { return rules_[slot]; }
  OutputCounts& output(uint32_t slot) noexcept { return outputs_[slot]; }
  uint32_t max_rules() const noexcept { return figures_->max_rules; }
  uint32_t max_outputs() const noexcept { return figures_->max_outputs; }

 private:
  int fd_ = -1;
  size_t bytes_ = 0;
  Figures* figures_ = nullptr;
  RuleCounts* rules_ = nullptr;
  OutputCounts* outputs_ = nullptr;
};

}  // namespace tapline::relay
