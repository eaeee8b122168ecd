#include "capture/blind_log.h"

#include <algorithm>
#include <utility>

namespace tapline {

BlindLog::OfPort& BlindLog::of(size_t port) {
  if (port >= ports_.size()) ports_.resize(port + 1);
  return ports_[port];
}

void BlindLog::record(size_t port, const Times& times) {
  if (over_.size() == kLimit) {
    dropped_++;
    return;
  }
  BlindRecord& out = over_.emplace_back(BlindRecord{static_cast<double>(port), times.since, times.until, {}});
  out.meta[0] = static_cast<uint8_t>(times.reason);
}

void BlindLog::begin(size_t port, BlindReason reason, int64_t at) {
  const std::lock_guard lock(mutex_);
  Times& outage = of(port).outage;
  if (outage.open && outage.reason == reason) return;
  if (outage.open) {
    outage.until = at;
    record(port, outage);
  }
  outage = {at, at, reason, true};
}

void BlindLog::end(size_t port, int64_t at) {
  const std::lock_guard lock(mutex_);
  Times& outage = of(port).outage;
  if (!outage.open) return;
  outage.until = at;
  outage.open = false;
  record(port, outage);
}

void BlindLog::forget(size_t port) {
  const std::lock_guard lock(mutex_);
  of(port) = {};
}

void BlindLog::ring_full(size_t port, int64_t since, int64_t until) {
  const std::lock_guard lock(mutex_);
  Times& full = of(port).full;
  if (full.open && since <= full.until + kNear) {  // members tell of theirs in any order
    full.since = std::min(full.since, since);
    full.until = std::max(full.until, until);
    return;
  }
  if (full.open) record(port, full);
  full = {since, until, BlindReason::RingFull, true};
}

std::vector<uint8_t> BlindLog::bytes() const {
  const auto* from = reinterpret_cast<const uint8_t*>(over_.data());
  return {from, from + over_.size() * sizeof(BlindRecord)};
}

void BlindLog::flush(int64_t now) {
  const std::lock_guard lock(mutex_);
  for (size_t port = 0; port < ports_.size(); port++) {
    OfPort& of = ports_[port];
    // Of interfaces that were removed there may be thousands, and nobody waits for word of them: told when it is over.
    if (of.outage.open && of.outage.reason != BlindReason::Removed && now - of.outage.until >= kNear) {
      of.outage.until = now;
      record(port, of.outage);
    }
    Times& full = of.full;
    if (!full.open || now - full.until < 2 * kNear) continue;
    record(port, full);
    full.open = false;
  }
  if (!over_.empty() && outbox_.offer({ResultKind::kBlinds, bytes()})) over_.clear();
}

void BlindLog::finish(int64_t now) {
  ResultBatch last{ResultKind::kBlinds, {}};
  {
    const std::lock_guard lock(mutex_);
    for (size_t port = 0; port < ports_.size(); port++) {
      OfPort& of = ports_[port];
      of.outage.until = now;
      for (Times* times : {&of.outage, &of.full}) {
        if (times->open) record(port, *times);
        times->open = false;
      }
    }
    last.records = bytes();
    over_.clear();
  }
  if (!last.records.empty()) outbox_.put(std::move(last));  // waits for the reader, who may be asking for dropped()
}

uint64_t BlindLog::dropped() {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace tapline
