// The flow table's live file: which slots are written, when, and when an ended flow's slot is free (flow/live_file.h).
#include "flow/flow_table.h"

#include <algorithm>

namespace tapline {

namespace {
constexpr int64_t kKeepNs = 1'000'000'000;  ///< in which each flow is visited once for the live file
constexpr int64_t kKeepPauseNs = 100'000'000;
constexpr uint32_t kBridge = 8;  ///< unchanged slots that are written rather than begin another write
}  // namespace

void FlowTable::keep_live(const LiveFlows& flows, unsigned number) {
  live_file_ = std::make_unique<LiveFile>(flows, number);
  flows_out_.track();
}

/// A part of the table that grows with the time since the last call, so that no call takes long: what waits in the ring
/// meanwhile must fit it. Not so often, though, that each write holds few slots.
void FlowTable::keep(int64_t wall) noexcept {
  if (!live_file_) return;
  const int64_t since = wall < kept_at_ ? kKeepNs : std::min(wall - kept_at_, kKeepNs);
  const uint64_t due = uint64_t{used_} * static_cast<uint64_t>(since) / kKeepNs;
  if (due < LiveFile::Batch::kSlots && since < kKeepPauseNs) return;
  kept_at_ = wall;
  const uint64_t settled = flows_out_.settled();
  kept(settled);
  for (uint64_t visits = std::min<uint64_t>(due + 1, used_); visits > 0; visits--) {
    if (keep_hand_ >= used_) keep_hand_ = 0;
    if (!keep_slot(keep_hand_, settled)) break;  // all is on its way to a slow disk: the rest waits
    keep_hand_++;
  }
  if (!gathering_) gathering_ = live_file_->take();
  if (gathering_) {
    gathering_->used = used_;
    submit();
  }
  counts_.live_errors = live_file_->errors();
}

/// Gathers the slot if the file holds something else. Neighbours go in one write, over a few that are unchanged. False
/// when there is no room.
bool FlowTable::keep_slot(uint32_t slot, uint64_t settled) noexcept {
  const bool over = hot_[slot].has(kEnded) && cold_[slot].ended_in <= settled;
  if (!hot_[slot].has(kChanged) && !over) return true;
  if (gathering_ && !joins(slot)) submit();
  if (!gathering_) {
    gathering_ = live_file_->take();
    if (!gathering_) return false;
    gathering_->first = slot;
  }
  LiveFile::Batch& batch = *gathering_;
  for (uint32_t at = batch.first + batch.count; at <= slot; at++) {
    FlowRecord& r = batch.slots[batch.count++].flow;
    if (hot_[at].has(kLive)) {
      describe(at, FlowEnd::Active, r);
      hot_[at].set(kChanged, false);
    } else {
      r.packet = 0;
    }
  }
  return true;
}

bool FlowTable::joins(uint32_t slot) const noexcept {
  const uint32_t next = gathering_->first + gathering_->count;
  if (slot < next || slot - next > kBridge || slot - gathering_->first >= LiveFile::Batch::kSlots) return false;
  for (uint32_t between = next; between < slot; between++) {
    if (hot_[between].has(kEnded)) return false;  // the file knows it, the table does not any more
  }
  return true;
}

void FlowTable::submit() noexcept {
  gathering_->now = kept_at_;
  live_file_->submit(gathering_);
  gathering_ = nullptr;
}

/// What has reached the file: an ended flow's slot is free; what did not reach it has changed again.
void FlowTable::kept(uint64_t settled) noexcept {
  while (LiveFile::Batch* batch = live_file_->done()) {
    for (uint32_t i = 0; i < batch->count; i++) {
      const uint32_t slot = batch->first + i;
      Hot& hot = hot_[slot];
      if (batch->slots[i].flow.packet != 0) {
        if (!batch->written && hot.has(kLive)) hot.set(kChanged, true);
      } else if (batch->written && hot.has(kEnded) && cold_[slot].ended_in <= settled) {
        release(slot);
      }
    }
    live_file_->give_back(batch);
  }
}

}  // namespace tapline
