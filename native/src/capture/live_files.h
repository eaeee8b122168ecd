// The live files of a capture's members (flow/live_file.h). Enters: which run they are of, from whoever stores it.
// Leaves: a number of its own for each member's file; a file whose member has ended is removed once its flows are
// stored. Those of members that stay to the end are removed by whoever stored their flows.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "flow/live_file.h"
#include "flow/outbox.h"

namespace tapline {

class LiveFiles {
 public:
  explicit LiveFiles(Outbox& outbox) : outbox_(outbox) {}

  /// From now on there are live files. Once: a second call changes nothing.
  void begin(const LiveFlows& run) {
    if (begun()) return;
    run_ = run;
    begun_.store(true, std::memory_order_release);
  }
  bool begun() const noexcept { return begun_.load(std::memory_order_acquire); }
  /// After begin().
  const LiveFlows& run() const noexcept { return run_; }
  /// Never the same twice, unlike members' numbers.
  unsigned take_number() noexcept { return next_.fetch_add(1, std::memory_order_relaxed); }

  // By the keeper of the capture.
  /// Its member has given its last record to the outbox.
  void leave(unsigned number) { left_.push_back({number, outbox_.given()}); }
  void tidy() {
    std::erase_if(left_, [this](const Left& file) {
      if (file.given > outbox_.stored()) return false;
      unlink(LiveFile::path(run_, file.number).c_str());  // there is none if nothing could be written
      return true;
    });
  }

 private:
  struct Left {
    unsigned number;
    uint64_t given;  ///< batches until its last record
  };

  Outbox& outbox_;
  LiveFlows run_;
  std::atomic<bool> begun_{false};
  std::atomic<unsigned> next_{0};
  std::vector<Left> left_;  ///< at most what is untaken or unstored of members that have ended
};

}  // namespace tapline
