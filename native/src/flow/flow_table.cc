#include "flow/flow_table.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace tapline {

namespace {
constexpr uint32_t kTombstones = 1u << 18;
constexpr size_t kRuns = (size_t{64} << 20) / sizeof(Run);
constexpr size_t kAssociations = size_t{1} << 22;
constexpr uint32_t kForgetEvery = 1u << 13;
constexpr unsigned kVictimSample = 16;
constexpr unsigned kVictimLooks = 1024;
constexpr size_t kTrimmedPerTick = 1u << 15;
constexpr uint64_t kEndedPerTick = 1u << 14;  ///< a million idle flows must not fill the outbox at once
constexpr size_t kIndexAhead = 16;
constexpr size_t kFlowAhead = 8;

bool sequenced(Protocol p) noexcept { return p <= Protocol::Ah; }
uint32_t tag_of(const Packet& p) noexcept { return static_cast<uint32_t>(p.hash >> 32); }
void big_endian(uint8_t* at, uint64_t value, unsigned bytes) noexcept {
  for (unsigned i = 0; i < bytes; i++) at[i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
}
uint64_t mix(uint64_t a, uint64_t b) noexcept {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD6E8FEB86659FD93u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}
}  // namespace

FlowTable::FlowTable(const FlowLimits& limits, Outbox& outbox, LatestFlows* latest)
    : limits_(limits),
      hot_(limits.max_flows),
      cold_(limits.max_flows),
      ipv6_(limits.max_flows),
      tombstones_(kTombstones),
      missing_(kRuns, limits.max_flows),
      sequences_(limits.max_flows),
      window_(limits.settle_ns, missing_),
      flows_out_(ResultKind::kFlows, outbox),
      gaps_out_(ResultKind::kGaps, outbox),
      links_out_(ResultKind::kLinks, outbox),
      associations_(latest ? 1 : kAssociations),
      latest_(latest) {}

void FlowTable::follow(std::span<const Packet> packets, int64_t clock_floor, int64_t time_shift, uint64_t first,
                       std::vector<Tally>& tally) noexcept {
  const size_t count = packets.size();
  int64_t now = clock_floor;
  for (size_t i = 0; i < std::min(count, kIndexAhead); i++) index_.prefetch(tag_of(packets[i]));
  for (size_t i = 0; i < count; i++) {
    if (i + kIndexAhead < count) index_.prefetch(tag_of(packets[i + kIndexAhead]));
    if (i + kFlowAhead < count) {
      const uint32_t likely = index_.peek(tag_of(packets[i + kFlowAhead]));
      if (likely != SlotIndex::kNone) __builtin_prefetch(&hot_[likely], 1);
    }
    const Packet& p = packets[i];
    now = std::max(clock_floor, p.time_ns + time_shift);
    one(p, now, first + p.ordinal, tally[p.interface]);
  }
  sweep(count / 4 + 1, now);
  live_.flows.store(counts_.flows, std::memory_order_relaxed);
  live_.lost.store(lost_, std::memory_order_relaxed);
}

bool FlowTable::same(uint32_t slot, const Packet& p) const noexcept {
  const Hot& hot = hot_[slot];
  if (!(hot.key == p.key)) return false;
  if (!p.ipv6) return true;
  const Ipv6Ends& ends = ipv6_[slot];
  const uint8_t* addresses = p.frame + p.addresses;
  return std::memcmp(ends.destination, addresses + 16, 16) == 0 &&
         (sequenced(p.protocol) || std::memcmp(ends.source, addresses, 16) == 0);
}

void FlowTable::one(const Packet& p, int64_t now, uint64_t number, Tally& tally) noexcept {
  const uint32_t tag = tag_of(p);
  uint32_t slot = index_.find(tag, [&](uint32_t s) { return same(s, p); });
  const bool numbered = sequenced(p.protocol);
  if (numbered && p.number == 0) [[unlikely]] {
    const Tombstone* old = slot == SlotIndex::kNone ? tombstones_.find(p.key, tag) : nullptr;
    if (slot == SlotIndex::kNone ? old == nullptr || !Window::valid(old->hi, 0) : !Window::valid(hot_[slot].hi, 0)) {
      tally.invalid_number++;
      return;
    }
  }
  tally.tracked++;
  if (slot != SlotIndex::kNone && now - hot_[slot].last_seen > limits_.idle_ns) [[unlikely]] {
    end(slot, FlowEnd::Evicted, hot_[slot].last_seen + limits_.idle_ns);
    slot = SlotIndex::kNone;
  }
  bool first = false;
  int64_t seen_before = slot == SlotIndex::kNone ? now : hot_[slot].last_seen;
  if (slot == SlotIndex::kNone) [[unlikely]] {
    const auto resumed = numbered ? tombstones_.take(p.key, tag) : std::nullopt;
    slot = create(p, tag, now, number, resumed ? &*resumed : nullptr);
    first = !resumed;
    if (resumed) seen_before = resumed->last_seen;
  }

  Hot& hot = hot_[slot];
  if (hot.packets() > 0) {
    const int64_t since = now - hot.last_seen;
    hot.min_inter_arrival = std::min(hot.min_inter_arrival, since);
    hot.max_inter_arrival = std::max(hot.max_inter_arrival, since);
  }
  hot.last_seen = now;
  hot.packets_flags = (hot.packets_flags + (uint64_t{p.segments} << 8)) | kChanged;
  hot.bytes += p.wire_length;
  Totals& totals = totals_[static_cast<size_t>(p.protocol)];
  totals.packets += p.segments;
  totals.bytes += p.wire_length;
  if (!numbered) return;
  totals.unique += p.segments;
  if (first) {
    totals.expected++;
    return;
  }

  const int64_t before = hot.hi;
  if (!hot.has(kBusy) && static_cast<uint32_t>(before) + 1 == p.number) {
    hot.hi++;
    totals.expected++;
  } else {
    Sequence& s = needed_sequence(slot);
    counted(slot, [&] { window_.arrive(s, hot.hi, p.number, now, *this, blind_.overlaps(seen_before, now)); });
    hot.set(kBusy, !s.calm());
  }
  if (hot.hi >> 32 > before >> 32) hot.set(kWrapped, true);
}

/// The flow's cold state, made when the first thing happens that is not simply the next number.
Sequence& FlowTable::needed_sequence(uint32_t slot) noexcept {
  if (hot_[slot].has(kHasSequence)) return sequence(slot);
  Cold& cold = cold_[slot];
  const int64_t base = cold.base;
  cold.sequence = sequences_.take();  // there are as many as flows
  Window::begin(sequence(slot), base, false);
  hot_[slot].set(kHasSequence, true);
  return sequence(slot);
}

/// A change of a flow's sequence: its gaps are told as this flow's, and what it moves is moved in the totals.
template <typename Change>
void FlowTable::counted(uint32_t slot, Change&& change) noexcept {
  const Sequence& s = sequence(slot);
  Totals& totals = totals_[cold_[slot].protocol];
  gap_of_ = slot;
  const uint64_t lost = s.lost;
  totals.count(window_, s, hot_[slot].hi, ~uint64_t{0});
  change();
  totals.count(window_, s, hot_[slot].hi, 1);
  lost_ += s.lost - lost;
}

uint32_t FlowTable::create(const Packet& p, uint32_t tag, int64_t now, uint64_t number,
                           const Tombstone* resumed) noexcept {
  const uint32_t slot = free_slot(now);
  Hot& hot = hot_[slot];
  Cold& cold = cold_[slot];
  const bool numbered = sequenced(p.protocol);
  hot = Hot{p.key, resumed ? resumed->hi : p.number,
            now,   uint64_t{kLive} | (numbered ? uint64_t{kSequenced} : 0) | (p.ipv6 ? uint64_t{kIpv6} : 0),
            0,     std::numeric_limits<int64_t>::max(),
            0};
  cold = Cold{};
  cold.base = resumed ? resumed->hi + 1 : p.number;
  cold.first_seen = now;
  cold.packet = number;
  cold.tag = tag;
  cold.protocol = static_cast<uint8_t>(p.protocol);
  cold.association = p.association;
  cold.nat_t = p.nat_t;
  cold.tag_count = p.tags;
  big_endian(cold.tags, p.vlan[0], 2);
  big_endian(cold.tags + 2, p.vlan[1], 2);
  if (p.protocol == Protocol::Tcp || p.protocol == Protocol::Udp) {
    big_endian(cold.tags + 4, p.ports[0], 2);
    big_endian(cold.tags + 6, p.ports[1], 2);
  } else {
    big_endian(cold.tags + 4, p.spi, 4);
  }
  if (p.addresses != kNoAddresses) {
    const uint8_t* at = p.frame + p.addresses;
    if (p.ipv6) {
      std::memcpy(&ipv6_[slot], at, sizeof(Ipv6Ends));
    } else {
      std::memcpy(cold.ends, at, p.protocol == Protocol::Macsec ? 12 : 8);
    }
  }
  index_.insert(tag, slot);
  live_flows_++;
  counts_.flows++;
  totals_[cold.protocol].flows++;
  counts_.peak = std::max(counts_.peak, live_flows_);

  if (resumed) {
    Window::begin(needed_sequence(slot), resumed->hi + 1, true);
    LinkRecord& link = links_out_.add();
    link = LinkRecord{static_cast<double>(number), static_cast<double>(resumed->packet), {}};
    link.meta[0] = static_cast<uint8_t>(LinkKind::Resumed);
  }
  if (numbered) associate(p, slot, resumed != nullptr);
  return slot;
}

/// Notes the flow among those that share its SCI, or its pair of addresses.
void FlowTable::associate(const Packet& p, uint32_t slot, bool resumed) noexcept {
  const Cold& cold = cold_[slot];
  uint64_t ends = 0;
  if (p.ipv6) {
    uint64_t words[4];
    std::memcpy(words, &ipv6_[slot], sizeof words);
    ends = mix(mix(words[0], words[1]), mix(words[2], words[3]));
  } else if (p.protocol == Protocol::Macsec) {
    ends = p.sci;
  } else {
    std::memcpy(&ends, cold.ends, sizeof ends);
  }
  const uint64_t tags = uint64_t{p.vlan[0]} << 32 | uint64_t{p.vlan[1]} << 16 | uint64_t{p.tags} << 8 |
                        uint64_t{p.ipv6} << 7 | cold.protocol;
  const uint64_t group = mix(ends, tags);
  if (latest_) {
    const uint64_t before = latest_->replace(group, cold.packet);
    if (before == 0 || resumed) return;
    LinkRecord& link = links_out_.add();
    link = LinkRecord{static_cast<double>(cold.packet), static_cast<double>(before), {}};
    link.meta[0] = static_cast<uint8_t>(LinkKind::Rekey);
  } else if (associated_ == kAssociations) {
    counts_.links_dropped++;
  } else {
    associations_[associated_++] = Association{group, cold.packet, resumed};
  }
}

/// A slot for a new flow. When the cap is reached, the flow longest unseen among a few gives way. With a live file its
/// slot is not free then, for its record is not stored yet; it is taken all the same rather than more memory.
uint32_t FlowTable::free_slot(int64_t now) noexcept {
  if (live_flows_ >= limits_.max_flows) {
    const uint32_t victim = evict_one(now);
    if (free_ == SlotIndex::kNone && used_ >= limits_.max_flows) return victim;
  }
  if (free_ == SlotIndex::kNone) {
    if (used_ >= limits_.max_flows) return ended_slot(now);
    to_visit_ += to_visit_ > 0;
    return used_++;
  }
  const uint32_t slot = free_;
  free_ = static_cast<uint32_t>(cold_[slot].packet);
  return slot;
}

/// A slot of a flow that has ended, before its record is stored: rather that than a flow that lives. All slots are
/// either; if none is found among a few, a flow that lives gives way.
uint32_t FlowTable::ended_slot(int64_t now) noexcept {
  for (unsigned looks = 0; looks < kVictimSample; looks++) {
    if (victim_hand_ >= used_) victim_hand_ = 0;
    const uint32_t slot = victim_hand_++;
    if (hot_[slot].has(kEnded)) return slot;
  }
  return evict_one(now);
}

/// Looks at a few flows; at few slots, too, once a lowered cap has left holes between them.
uint32_t FlowTable::evict_one(int64_t now) noexcept {
  uint32_t victim = SlotIndex::kNone;
  for (unsigned found = 0, looks = 0; found < kVictimSample && (found == 0 || looks < kVictimLooks); looks++) {
    if (victim_hand_ >= used_) victim_hand_ = 0;
    const Hot& hot = hot_[victim_hand_];
    if (hot.has(kLive)) {
      if (victim == SlotIndex::kNone || hot.last_seen < hot_[victim].last_seen) victim = victim_hand_;
      found++;
    }
    victim_hand_++;
  }
  const int64_t last = hot_[victim].last_seen;
  if (now - last > limits_.idle_ns) {  // it had ended anyway, only the sweep had not come by
    end(victim, FlowEnd::Evicted, last + limits_.idle_ns);
  } else {
    counts_.cap_evictions++;
    end(victim, FlowEnd::EvictedCap, last);
  }
  return victim;
}

/// After the cap was lowered, a few at a time: each eviction is a record.
void FlowTable::trim(size_t flows, int64_t now) noexcept {
  for (; flows > 0 && live_flows_ > limits_.max_flows; flows--) evict_one(now);
}

bool FlowTable::unsampled(uint32_t slot) const noexcept {
  return limits_.sample > 1 && !limits_.follows(uint64_t{cold_[slot].tag} << 32);
}

bool FlowTable::grow(uint32_t flows) noexcept {
  return hot_.grow(flows) && cold_.grow(flows) && ipv6_.grow(flows) && missing_.rarely.grow(flows) &&
         sequences_.grow(flows);
}

void FlowTable::set_limits(const FlowLimits& limits, int64_t now) noexcept {
  const FlowLimits before = limits_;
  limits_ = limits;
  if (!grow(limits.max_flows)) limits_.max_flows = before.max_flows;
  window_.settle_after(limits.settle_ns);
  if (limits.sample > before.sample) {
    sampled_since_ = to_visit_ > 0 ? sampled_since_ : now;
    to_visit_ = used_;
    tombstones_.keep([this](uint32_t tag) { return limits_.follows(uint64_t{tag} << 32); });
  } else if (limits.sample < before.sample && to_visit_ > 0) {
    // Some that were not followed are still here and would go on as if they had been.
    blind_.add(sampled_since_, now);
    to_visit_ = limits.sample > 1 ? to_visit_ : 0;
  }
}

/// Ends a flow while the capture goes on: record, tombstone, slot free.
void FlowTable::end(uint32_t slot, FlowEnd how, int64_t at) noexcept {
  Hot& hot = hot_[slot];
  Cold& cold = cold_[slot];
  if (hot.has(kHasSequence)) counted(slot, [&] { window_.finish(sequence(slot), at, *this); });
  describe(slot, how, flows_out_.add());
  if (hot.has(kSequenced) && !unsampled(slot)) tombstones_.add(hot.key, cold.tag, hot.hi, hot.last_seen, cold.packet);
  if (hot.has(kHasSequence)) {
    window_.forget(sequence(slot));
    sequences_.give(cold.sequence);
  }
  index_.erase(cold.tag, slot);
  live_flows_--;
  if (live_file_) {
    hot.packets_flags = kEnded;
    cold.ended_in = flows_out_.batch();
  } else {
    release(slot);
  }
}

void FlowTable::release(uint32_t slot) noexcept {
  hot_[slot].packets_flags = 0;
  cold_[slot].packet = free_;
  free_ = slot;
}

/// What flow and gap records share.
template <typename RecordType>
void FlowTable::identify(uint32_t slot, FlowEnd how, RecordType& r) const noexcept {
  const Hot& hot = hot_[slot];
  const Cold& cold = cold_[slot];
  r.packet = static_cast<double>(cold.packet);
  r.meta[0] = static_cast<uint8_t>(cold.protocol);
  r.meta[1] = static_cast<uint8_t>(how);
  r.meta[2] = hot.has(kIpv6);
  r.meta[3] = static_cast<uint8_t>(cold.association);
  r.meta[4] = static_cast<uint8_t>(cold.nat_t);
  r.meta[5] = hot.has(kWrapped);
  r.meta[6] = static_cast<uint8_t>(cold.tag_count);
  std::memcpy(r.tags, cold.tags, 8);
  if (hot.has(kIpv6)) {
    std::memcpy(r.source, ipv6_[slot].source, 16);
    std::memcpy(r.destination, ipv6_[slot].destination, 16);
  } else if (cold.protocol == static_cast<uint8_t>(Protocol::Macsec)) {
    big_endian(r.sci, hot.key.a, 8);  // the key is the SCI
    std::memcpy(r.destination, cold.ends, 6);
    std::memcpy(r.source, cold.ends + 6, 6);
  } else {
    std::memcpy(r.source, cold.ends, 4);
    std::memcpy(r.destination, cold.ends + 4, 4);
  }
}

void FlowTable::describe(uint32_t slot, FlowEnd how, FlowRecord& r) const noexcept {
  const Hot& hot = hot_[slot];
  const Cold& cold = cold_[slot];
  r = FlowRecord{};
  identify(slot, how, r);
  r.first_time = cold.first_seen;
  r.last_time = hot.last_seen;
  r.packets = static_cast<double>(hot.packets());
  r.bytes = static_cast<double>(hot.bytes);
  if (hot.min_inter_arrival <= hot.max_inter_arrival) {  // more than one frame
    r.min_inter_arrival = static_cast<double>(hot.min_inter_arrival);
    r.max_inter_arrival = static_cast<double>(hot.max_inter_arrival);
  }
  if (!hot.has(kSequenced)) return;
  r.last_number = static_cast<double>(hot.hi);
  if (!hot.has(kHasSequence)) {
    r.first_number = static_cast<double>(cold.base);
    r.expected = static_cast<double>(hot.hi - cold.base + 1);
    r.unique = r.packets;
    return;
  }
  const Sequence& s = *sequences_.at(cold.sequence);
  const Rarely& rarely = window_.rarely(s);
  r.first_number = static_cast<double>(rarely.restarts ? rarely.first_number : s.base);
  r.expected = static_cast<double>(window_.expected(s, hot.hi));
  r.unique = static_cast<double>(hot.packets() - window_.not_unique(s));
  r.reordered = static_cast<double>(rarely.reordered);
  r.duplicate = static_cast<double>(rarely.duplicate);
  r.late = static_cast<double>(rarely.late);
  r.lost = static_cast<double>(s.lost);
  r.pending = static_cast<double>(window_.pending(s));
  r.jumps = rarely.jumps;
  r.outliers = rarely.outliers;
  r.restarts = rarely.restarts;
  r.gaps = static_cast<double>(s.gaps);
  r.min_gap = s.min_gap;
  r.max_gap = s.max_gap;
}

void FlowTable::gap(const Gap& gap) noexcept {
  counts_.gaps++;
  GapRecord& r = gaps_out_.add();
  r = GapRecord{};
  identify(gap_of_, FlowEnd::Active, r);
  r.first = static_cast<double>(gap.first);
  r.last = static_cast<double>(gap.last);
  r.noticed = gap.noticed;
  r.confirmed = gap.confirmed;
  r.flags[0] = gap.jump;
  r.flags[1] = gap.suspect;
  std::memcpy(r.flags + 4, &gap.segment, sizeof gap.segment);
}

void FlowTable::visit(uint32_t slot, int64_t now) noexcept {
  const Hot& hot = hot_[slot];
  if (hot.has(kLive) && now - hot.last_seen > limits_.idle_ns) {
    end(slot, FlowEnd::Evicted, hot.last_seen + limits_.idle_ns);
  } else if (to_visit_ > 0 && hot.has(kLive) && unsampled(slot)) {
    counts_.cap_evictions++;
    end(slot, FlowEnd::EvictedCap, hot.last_seen);
  }
}

/// Frees what has been idle, a few slots at a time. Only memory depends on when this runs: an idle flow ends the same
/// when its key returns.
void FlowTable::sweep(size_t slots, int64_t now) noexcept {
  for (size_t i = 0; i < std::min<size_t>(slots, used_); i++) {
    if (hand_ >= used_) hand_ = 0;
    visit(hand_++, now);
  }
  trim(slots, now);
}

void FlowTable::tick(int64_t now, unsigned share) noexcept {
  const uint64_t least = live_flows_ - std::min(live_flows_, kEndedPerTick);
  for (uint32_t visits = used_ / share + 1; visits > 0 && used_ > 0 && live_flows_ >= least; visits--) {
    if (tick_hand_ >= used_) tick_hand_ = 0;
    Hot& hot = hot_[tick_hand_];
    if (hot.has(kBusy)) {
      counted(tick_hand_, [&] { window_.settle(sequence(tick_hand_), now, *this); });
      hot.set(kChanged, true);
    }
    visit(tick_hand_++, now);
    to_visit_ -= to_visit_ > 0;
  }
  trim(kTrimmedPerTick, now);
  flows_out_.flush();
  gaps_out_.flush();
  links_out_.flush();
  live_.lost.store(lost_, std::memory_order_relaxed);
}

/// First all that is missing: then its memory is free for the records of the flows.
void FlowTable::finish(int64_t clock) noexcept {
  const auto idle = [&](const Hot& hot) { return clock - hot.last_seen > limits_.idle_ns; };
  for (uint32_t slot = 0; slot < used_; slot++) {
    const Hot& hot = hot_[slot];
    if (!hot.has(kLive) || !hot.has(kHasSequence)) continue;
    const int64_t at = idle(hot) ? hot.last_seen + limits_.idle_ns : clock;
    counted(slot, [&] { window_.finish(sequence(slot), at, *this); });
  }
  for (uint32_t slot = 0; slot < used_; slot++) {
    const Hot& hot = hot_[slot];
    if (!hot.has(kLive)) continue;
    describe(slot, idle(hot) ? FlowEnd::Evicted : FlowEnd::CaptureEnd, flows_out_.add());
    if (slot % kForgetEvery == kForgetEvery - 1) {  // recorded flows need no memory while the rest are
      hot_.forget(slot + 1);
      cold_.forget(slot);
      ipv6_.forget(slot);
    }
  }
  flows_out_.flush();
  gaps_out_.flush();
  links_out_.flush();
  live_.lost.store(lost_, std::memory_order_relaxed);
  live_file_.reset();  // written to its end and closed; whoever stored the flows removes it
}

}  // namespace tapline
