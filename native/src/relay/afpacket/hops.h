// What comes of each path, by its sending CPU and numbering: one window each, in the figures, found by a packet's
// header. Enters: a path, a stream, an epoch, proved by a tag. Leaves: their window. When all slots are taken the
// longest silent one gives way, and is counted.
#pragma once
#include "relay/afpacket/figures.h"
#include "relay/afpacket/rule_index.h"

namespace tapline::relay {

class Hops {
 public:
  explicit Hops(Figures& figures);
  HopSlot& of(uint32_t path, uint32_t stream, uint32_t epoch, uint64_t now_ns) noexcept {
    HopSlot& last = figures_.hops[last_];
    if (last.used && last.path == path && last.stream == stream && last.epoch == epoch) {
      last.last_ns = now_ns;
      return last;
    }
    return find(path, stream, epoch, now_ns);
  }

 private:
  static MatchKey key(uint32_t path, uint32_t stream, uint32_t epoch) noexcept {
    MatchKey key;
    key.words[0] = uint64_t{path} << 32 | epoch;
    key.words[1] = stream;
    return key;
  }
  HopSlot& find(uint32_t path, uint32_t stream, uint32_t epoch, uint64_t now_ns) noexcept;
  void index_all();

  Figures& figures_;
  MatchTable slots_;
  uint32_t count_ = 0;
  uint32_t last_ = 0;  ///< packets of one path seldom come alone
};

}  // namespace tapline::relay
