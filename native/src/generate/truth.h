// Enters: finished associations, one by one. Leaves: the truth as JSON, one flow a line; only the totals stay in
// memory.
#pragma once
#include <cstdint>
#include <string>

#include "generate/association.h"
#include "generate/capture_writer.h"
#include "generate/flow.h"
#include "generated/vocabulary.h"

namespace tapline::generation {

Protocol protocol_of(Kind kind) noexcept;

struct Totals {
  uint64_t flows, packets, bytes, sent, dropped, duplicated, expected, unique, reordered, lost, gaps, max_gap;
  void add(const Association& association, bool numbered) noexcept;
};

class Truth {
 public:
  /// An empty path: totals only. False: see file().problem().
  [[nodiscard]] bool open(const GenerateOptions& options);
  /// The last word on an association; one that delivered nothing only counts as sent and dropped.
  void add(const Flow& flow, const Association& association);
  void add_eapol(uint32_t length) noexcept;
  [[nodiscard]] bool close(bool complete);
  const Totals& all() const noexcept { return all_; }
  OutputFile& file() noexcept { return file_; }

 private:
  OutputFile file_;
  std::string line_;
  uint64_t head_ = 0;
  bool writing_ = false;
  bool failed_ = false;
  bool first_ = true;
  uint64_t eapol_ = 0;
  Totals all_{};
  Totals by_protocol_[kProtocolCount]{};
};

}  // namespace tapline::generation
