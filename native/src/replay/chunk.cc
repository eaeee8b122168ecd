#include "replay/chunk.h"

#include <algorithm>
#include <limits>

namespace tapline {

namespace {
constexpr uint64_t kReach = 64 << 10;
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

bool Chunk::touch(const CaptureFile& file, uint64_t from, uint64_t end) noexcept {
  // The last record may reach past `end`.
  if (from >= end || file.populate(from, std::min(file.size(), end + kReach) - from)) return true;
  reached = from;
  step = Step::kBroken;
  status = FileStatus{"FILE_SHRANK", from, ""};
  return false;
}

void Chunk::read(const CaptureFile& file, uint64_t from, uint64_t end, const HashSeed& seed) noexcept {
  reached = from;
  step = Step::kEnd;
  if (from >= end) return;
  file.warm(from, end);
  const auto threads = static_cast<uint32_t>(parts.size());
  Record record;
  Packet packet;
  while ((step = file.next(reached, end, record, status)) == Step::kRecord) {
    if (record.interface >= tally.size()) tally.resize(record.interface + 1u);
    Tally& counts = tally[record.interface];
    counts.seen++;
    latest = std::max(latest, record.time_ns);
    packet.time_ns = latest;
    packet.interface = record.interface;
    packet.ordinal = static_cast<uint32_t>(times.size());
    times.push_back(record.time_ns);
    counts.delivered++;
    decode(record.frame, record.captured, record.wire_length, record.link_type, seed, packet);
    if (!counts.judge(packet)) continue;
    parts[(uint64_t{packet.shard} * threads) >> 32].push_back(packet);
  }
}

}  // namespace tapline
