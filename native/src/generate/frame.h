// Enters: a flow, its association and a number. Leaves: the frame's bytes, checksums and all. The same number gives the
// same frame.
#pragma once
#include <cstdint>
#include <memory>

#include "generate/association.h"
#include "generate/flow.h"

namespace tapline::generation {

class FrameBuilder {
 public:
  [[nodiscard]] bool init(const GenerateOptions& options);
  /// Bytes on the wire.
  uint32_t length(const Flow& flow, const Association& association, uint64_t number) const noexcept;
  /// Builds the frame at `out`; returns its length. `sequence` and `acknowledged` are TCP's.
  uint32_t build(const Flow& flow, const Association& association, uint64_t number, uint32_t sequence,
                 uint32_t acknowledged, uint8_t* out) const noexcept;
  /// MACsec key agreement of the flow's sender: an MKPDU with the basic parameter set.
  uint32_t build_mka(const Flow& flow, uint64_t draw, uint8_t* out) const noexcept;

 private:
  /// Sum of the block's 16-bit words over [from, from+length): checksums cost the same for any payload.
  uint32_t sum(uint32_t from, uint32_t length) const noexcept;

  std::unique_ptr<uint8_t[]> block_;  ///< random bytes that payloads are cut from
  std::unique_ptr<uint32_t[]> sums_;  ///< of the words before each, modulo 2^32
  uint32_t min_size_ = 0;
  uint32_t max_size_ = 0;
};

}  // namespace tapline::generation
