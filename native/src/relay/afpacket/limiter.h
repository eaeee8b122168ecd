// A rule's two limits. Enters: a packet's time. Leaves: whether it goes, or which limit it is above. Time is the
// packets' own: what waited in the ring is not taken for a burst.
#pragma once
#include <algorithm>
#include <cstdint>

#include "generated/relay_reasons.h"
#include "relay/rules.h"

namespace tapline::relay {

class Limiter {
 public:
  /// True: it goes. Else `why` is set.
  bool admits(const Rule& rule, uint64_t now_ns, relay_drop& why) noexcept {
    if (rule.storm_pps > 0) {
      const uint64_t second = now_ns / kSecond;
      if (second != second_) second_ = second, in_second_ = 0;
      if (++in_second_ > rule.storm_pps) {
        why = RELAY_DROPPED_STORM;
        return false;
      }
    }
    if (rule.limit_pps == 0) return true;
    const auto most = static_cast<double>(std::max<uint64_t>(rule.limit_burst, 1));
    if (now_ns > last_ns_) {
      const double earned = static_cast<double>(now_ns - last_ns_) * static_cast<double>(rule.limit_pps) / kSecond;
      tokens_ = last_ns_ == 0 ? most : std::min(most, tokens_ + earned);
      last_ns_ = now_ns;
    }
    if (tokens_ < 1) {
      why = RELAY_DROPPED_RATE;
      return false;
    }
    tokens_ -= 1;
    return true;
  }

 private:
  static constexpr uint64_t kSecond = 1'000'000'000;
  uint64_t second_ = 0, in_second_ = 0, last_ns_ = 0;
  double tokens_ = 0;
};

}  // namespace tapline::relay
