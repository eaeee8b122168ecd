// A table's flows that have not ended, in a file beside the database: what a process that is killed leaves behind, and
// where readers see what is active. Enters: slots, from the table's thread. Leaves: a page with a header, then 256
// bytes for each slot (domain/records.ts). A thread of its own writes, because a file system may keep a writer waiting
// for longer than a ring holds. Never fsynced: the file outlives the process, not the machine's power.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "generated/records.h"

namespace tapline {

/// Which run of which database.
struct LiveFlows {
  std::string database;
  uint32_t run = 0;
  int64_t started = 0;  ///< of the run, ns
};

struct LiveSlot {
  FlowRecord flow;
  LiveMark mark;
};
static_assert(sizeof(LiveSlot) == 256 && sizeof(LiveHeader) == sizeof(LiveSlot));
static_assert(kLivePage % sizeof(LiveSlot) == 0, "a slot never crosses a page");

/// Of the first 248 bytes of a slot or header. Not cryptographic: it tells a slot that was read while it was written.
uint32_t live_check(const void* slot) noexcept;

class LiveFile {
 public:
  /// Neighbouring slots for one write. A slot whose flow is 0 becomes empty.
  struct Batch {
    static constexpr uint32_t kSlots = 256;
    uint32_t first = 0;
    uint32_t count = 0;
    uint32_t used = 0;    ///< slots of the table; 0: the header is not written
    int64_t now = 0;      ///< wall clock
    bool written = true;  ///< once it comes back: false when the write failed
    LiveSlot slots[kSlots];
  };

  LiveFile(const LiveFlows& flows, unsigned number);
  static std::string path(const LiveFlows& flows, unsigned number);
  /// Writes what waits.
  ~LiveFile();
  LiveFile(const LiveFile&) = delete;
  LiveFile& operator=(const LiveFile&) = delete;

  /// An empty batch to be filled, or null while all are on their way: then the caller comes again.
  Batch* take() noexcept;
  void submit(Batch* batch) noexcept;
  /// A batch that is through, to be looked at and given back; or null.
  Batch* done() noexcept;
  void give_back(Batch* batch) noexcept;
  /// Waits until nothing is on its way.
  void wait() noexcept;

  /// Writes that failed.
  uint64_t errors() const noexcept;

 private:
  static constexpr unsigned kBatches = 8;

  void work() noexcept;
  bool write(Batch& batch) noexcept;
  bool put(const void* bytes, size_t size, size_t at) noexcept;

  const std::string path_;
  LiveHeader header_{};
  int fd_ = -1;  ///< the writing thread's
  std::unique_ptr<Batch[]> batches_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Batch*> free_, waiting_, done_;
  bool busy_ = false;
  bool ending_ = false;
  uint64_t errors_ = 0;
  std::thread thread_;
};

}  // namespace tapline
