#include "replay/chunk.h"

#include <algorithm>
#include <limits>

namespace tapline {

namespace {
constexpr uint64_t kReach = 64 << 10;
constexpr uint64_t kLanes = 8;
constexpr uint64_t kLane = 64 << 10;  ///< shorter ones are not worth the guess
}

ChunkTally& ChunkTally::operator+=(const ChunkTally& other) noexcept {
  seen += other.seen;
  delivered += other.delivered;
  decoded += other.decoded;
  for (size_t i = 0; i < kUndecodableCount; i++) undecodable[i] += other.undecodable[i];
  for (size_t i = 0; i < kUntrackedCount; i++) untracked[i] += other.untracked[i];
  return *this;
}

void Chunk::clear() noexcept {
  for (auto& part : parts) part.clear();
  times.clear();
  tally.clear();
  latest = std::numeric_limits<int64_t>::min();
  step = Step::kEnd;
  status = {};
}

uint64_t Chunk::behind(int64_t clock, int64_t shift) const noexcept {
  uint64_t count = 0;
  for (const int64_t time : times) {
    count += time + shift < clock;
    clock = std::max(clock, time + shift);
  }
  return count;
}

void Chunk::read(const CaptureFile& file, uint64_t from, uint64_t end, const HashSeed& seed) noexcept {
  reached = from;
  step = Step::kEnd;
  if (from >= end) return;
  // The last record may reach past `end`.
  if (!file.populate(from, std::min(file.size(), end + kReach) - from)) {
    step = Step::kBroken;
    status = FileStatus{"FILE_SHRANK", from, ""};
    return;
  }
  walk(file, from, end);
  for (size_t i = 0; i < lanes_.size(); i++) {
    Lane& lane = lanes_[i];
    if (i > 0 && lane.begin != reached && reached < lane.end) walk_again(lane, file, reached);
    if (reached >= lane.end) continue;
    for (const Record& record : lane.records) take(record, seed);
    reached = lane.reached;
    step = lane.step;
    if (step != Step::kEnd) {
      status = lane.status;
      return;
    }
  }
}

/// Walks all lanes a record at a time each, so that their headers come from memory side by side.
void Chunk::walk(const CaptureFile& file, uint64_t from, uint64_t end) noexcept {
  const uint64_t count = std::clamp<uint64_t>((end - from) / kLane, 1, kLanes);
  const uint64_t share = (end - from) / count;
  lanes_.resize(count);
  for (uint64_t i = 0; i < count; i++) {
    Lane& lane = lanes_[i];
    lane.end = i + 1 == count ? end : from + (i + 1) * share;
    lane.begin = i == 0 ? from : file.guess_boundary(from + i * share, lane.end);
    lane.reached = lane.begin;
    lane.step = Step::kRecord;
    lane.records.clear();
  }
  Record record;
  for (uint64_t walking = count; walking > 0;) {
    for (Lane& lane : lanes_) {
      if (lane.step != Step::kRecord) continue;
      lane.step = file.next(lane.reached, lane.end, record, lane.status);
      if (lane.step != Step::kRecord) {
        walking--;
        continue;
      }
      __builtin_prefetch(record.frame + record.captured);  // about where the next header is
      lane.records.push_back(record);
    }
  }
}

void Chunk::walk_again(Lane& lane, const CaptureFile& file, uint64_t from) noexcept {
  lane.records.clear();
  lane.reached = from;
  Record record;
  while ((lane.step = file.next(lane.reached, lane.end, record, lane.status)) == Step::kRecord) lane.records.push_back(record);
}

void Chunk::take(const Record& record, const HashSeed& seed) noexcept {
  if (record.interface >= tally.size()) tally.resize(record.interface + 1u);
  ChunkTally& counts = tally[record.interface];
  counts.seen++;
  Packet packet;
  latest = std::max(latest, record.time_ns);
  packet.time_ns = latest;
  packet.interface = record.interface;
  packet.ordinal = static_cast<uint32_t>(times.size());
  times.push_back(record.time_ns);
  counts.delivered++;
  decode(record.frame, record.captured, record.wire_length, record.link_type, seed, packet);
  if (packet.verdict == Verdict::kUndecodable) {
    counts.undecodable[packet.reason]++;
    return;
  }
  counts.decoded++;
  if (packet.verdict == Verdict::kUntracked) {
    counts.untracked[packet.reason]++;
    return;
  }
  parts[(uint64_t{packet.shard} * parts.size()) >> 32].push_back(packet);
}

}  // namespace tapline
