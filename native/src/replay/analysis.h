// The offline analysis: a capture file in, finished flows, gaps and the ledger out.
//
// The file is cut into chunks. Threads take chunks in turn: guess where the first record of a chunk starts, read and
// decode it. Chunks are then confirmed one after another: a chunk counts only if the one before really ended where it
// began; else it is read again from the right place. Confirmed chunks are followed in order, each thread its own share
// of the flows (by hash), so a flow's packets arrive in file order and the result does not depend on the number of
// threads.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "flow/flow_table.h"
#include "flow/ledger.h"
#include "replay/chunk.h"
#include "replay/pacer.h"

namespace tapline {

struct AnalysisOptions {
  std::string path;
  unsigned threads = 1;
  double pps = 0;    ///< > 0: fixed rate
  double speed = 0;  ///< > 0: the capture's gaps divided by this; 1 keeps them
  unsigned loop = 1;
  FlowLimits limits{2'000'000'000, 60'000'000'000, 1u << 20};

  bool paced() const noexcept { return pps > 0 || speed > 0; }
};

struct AnalysisResult {
  FileStatus status;  ///< what ended the reading early
  bool complete = false;
  bool pcapng = false;
  unsigned passes = 0;
  unsigned threads = 1;
  uint64_t bytes_read = 0;
  uint64_t packets = 0;
  uint64_t time_reversed = 0;
  uint64_t chunks_read_again = 0;
  int64_t first_time = 0;
  int64_t last_time = 0;
  FlowTable::Counts flows;
  uint64_t tombstones_dropped = 0;
  uint64_t settled_early = 0;
  int64_t engine_ns = 0;
  int64_t waited_ns = 0;
  std::vector<InterfaceLedger> ledger;
  bool paced = false;
  int64_t late_p50 = 0, late_p99 = 0, late_max = 0;
};

class Analysis {
 public:
  /// Opens the file; null and a status when it cannot be.
  static std::unique_ptr<Analysis> open(const AnalysisOptions& options, FileStatus& status);
  ~Analysis();

  /// Runs to the end on its own threads, then calls `done` from one of them.
  void start(std::function<void(const AnalysisResult&)> done);
  void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  EngineProgress progress() const noexcept;
  Outbox& outbox() noexcept { return outbox_; }

 private:
  enum class Phase : uint8_t { kFree, kReading, kRead, kConfirmed };
  struct Slot {
    explicit Slot(unsigned threads) : chunk(threads) {}
    Chunk chunk;
    Phase phase = Phase::kFree;
    unsigned version = 0;      ///< of the file's interfaces when it was read
    unsigned followers = 0;    ///< threads that have not followed it yet
    uint64_t first_frame = 0;  ///< capture number of its first frame
    int64_t clock = 0;         ///< before its first frame
    int64_t shift = 0;         ///< of a later pass over the same file
  };

  Analysis(const AnalysisOptions& options, std::unique_ptr<CaptureFile> file);
  void supervise(const std::function<void(const AnalysisResult&)>& done);
  void work(unsigned thread);
  void read(uint64_t number, Slot& slot);
  void confirm(std::unique_lock<std::mutex>& lock);
  void read_rightly(Slot& slot, uint64_t from, uint64_t end);
  void start_pass(std::unique_lock<std::mutex>& lock);
  void follow(unsigned thread, Slot& slot);
  void follow_paced(Slot& slot);
  AnalysisResult result();

  Slot& slot(uint64_t number) { return *slots_[number % slots_.size()]; }
  uint64_t chunk_begin(uint64_t number) const noexcept;
  uint64_t chunk_end(uint64_t number) const noexcept;
  uint64_t chunks_per_pass() const noexcept { return per_pass_; }

  const AnalysisOptions options_;
  const unsigned threads_;
  const uint64_t chunk_bytes_;
  std::unique_ptr<CaptureFile> file_;
  uint64_t per_pass_ = 0;
  const HashSeed seed_;
  Outbox outbox_;
  std::vector<std::unique_ptr<FlowTable>> tables_;
  std::vector<std::vector<FlowTable::Tally>> tallies_;
  std::vector<std::unique_ptr<Slot>> slots_;
  Pacer pacer_;
  std::thread supervisor_;

  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> bytes_read_{0};
  std::atomic<uint64_t> packets_{0};

  /// Held shared while a chunk is read, alone while the file's interfaces change.
  std::shared_mutex interfaces_;

  std::mutex mutex_;  ///< everything below
  std::condition_variable moved_;
  uint64_t claimed_ = 0;    ///< chunks given to a reader
  uint64_t confirmed_ = 0;  ///< chunks known to be right
  std::vector<uint64_t> followed_;
  bool confirming_ = false;
  bool ended_ = false;  ///< no chunk after `confirmed_` counts
  unsigned version_ = 0;
  unsigned pass_version_ = 0;  ///< when the pass began
  uint64_t expected_ = 0;      ///< where the next chunk must begin
  int64_t clock_;
  int64_t shift_ = 0;
  int64_t pass_time_ = 0;  ///< what each further pass adds to `shift_`
  int64_t first_time_ = 0;
  uint64_t frames_ = 0;
  uint64_t time_reversed_ = 0;
  uint64_t read_again_ = 0;
  unsigned passes_ = 0;
  FileStatus status_;
  std::vector<Tally> totals_;
  std::chrono::steady_clock::time_point started_;  ///< of the work itself: a paced one begins with its reader
  int64_t engine_ns_ = 0;
};

}  // namespace tapline
