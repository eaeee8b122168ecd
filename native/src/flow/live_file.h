// A table's flows that have not ended, in a file beside the database: what a process that is killed leaves behind, and
// where readers see what is active. Enters: slots. Leaves: a page with a header, then 256 bytes for each slot
// (domain/records.ts). Never fsynced: it outlives the process, not the machine's power.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

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
  /// Slots gathered for one write.
  static constexpr uint32_t kGather = 256;

  LiveFile(const LiveFlows& flows, unsigned member);
  ~LiveFile();
  LiveFile(const LiveFile&) = delete;
  LiveFile& operator=(const LiveFile&) = delete;

  /// Where slots wait for write(); `count` ≤ kGather.
  LiveSlot* gathered() noexcept { return gathered_; }
  /// Puts the marks on and writes `count` gathered slots from `first` on. False when that failed: counted, and the
  /// caller comes again. Slots whose flow is 0 become empty.
  bool write(uint32_t first, uint32_t count, int64_t now) noexcept;
  /// After the slots it tells of.
  void write_header(uint32_t slots, int64_t now) noexcept;

  uint64_t errors() const noexcept { return errors_; }

 private:
  bool put(const void* bytes, size_t size, size_t at) noexcept;

  const std::string path_;
  LiveHeader header_{};
  alignas(64) LiveSlot gathered_[kGather];
  int fd_ = -1;
  uint64_t errors_ = 0;
};

}  // namespace tapline
