#include "relay/afpacket/forwarder.h"

#include <linux/if_ether.h>
#include <time.h>

#include "relay/afpacket/rewrite.h"
#include "relay/afpacket/tunnel.h"

namespace tapline::relay {

namespace {
constexpr uint32_t kEthernetBytes = 14, kTagBytes = 4;
constexpr uint32_t kLongestHeaders = 256;  ///< of a packet, up to its payload: room for them is made once

uint64_t clock_ns(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}
}  // namespace

Forwarder::Forwarder(FiguresFile& figures, uint16_t stream)
    : file_(figures),
      figures_(figures.figures()),
      port_(figures_.port),
      limiters_(figures.max_rules()),
      hops_(figures_),
      stream_(stream) {
  // A frame counted as received and nowhere else, a packet wanted and neither sent nor dropped: they were in hand.
  port_.received.set(port_.passed.get() + port_.matched.get() + port_.refusals());
  for (uint32_t slot = 0; slot < file_.max_outputs(); slot++) {
    OutputCounts& output = file_.output(slot);
    const uint64_t told = output.sent.get() + output.drops();
    if (output.wanted.get() > told) output.dropped[RELAY_DROPPED_WORKER].add(output.wanted.get() - told);
    if (output.wanted.get() < told) output.wanted.set(told);
  }
  traces_made_ = figures_.traces_made.load(std::memory_order_relaxed);
}

void Forwarder::begin() noexcept {
  const uint64_t patience = figures_.orphan_after_ns.load(std::memory_order_relaxed);
  const uint64_t heard = figures_.heartbeat_ns.load(std::memory_order_relaxed);
  now_ns_ = clock_ns(CLOCK_BOOTTIME);
  orphaned_ = patience > 0 && now_ns_ > heard + patience;
  if (const uint64_t order = figures_.trace_order.exchange(0, std::memory_order_relaxed)) {
    traced_slot_ = static_cast<uint32_t>(order >> 32);
    traces_left_ = static_cast<uint32_t>(order);
  }
}

void Forwarder::end() noexcept {
  if (!table_) return;
  for (const auto& device : table_->devices()) device->flush();
  figures_.traces_made.store(traces_made_, std::memory_order_release);
}

void Forwarder::frame(const RingFrame& frame) noexcept {
  Way way{frame, {}, frame.segments, 0, 0};
  const uint64_t bytes = frame.wire_length + uint64_t{way.count - 1} * frame.header_length;
  way.bytes = bytes - uint64_t{way.count} * kEthernetBytes;
  port_.received.add(way.count);
  port_.bytes.add(bytes + (frame.tagged ? way.count * kTagBytes : 0));
  if (!table_ || frame.captured < kEthernetBytes) return pass(way);
  const uint16_t type = be16(frame.bytes + 12);
  if (type != ETH_P_IP && type != ETH_P_IPV6) return pass(way);

  using Form = Packet::Form;
  const Form form = parse(frame.bytes + kEthernetBytes, frame.captured - kEthernetBytes, way.count > 1, way.packet);
  if (form == Form::Whole && frame.captured == frame.wire_length)
    return wire(way, frame.tagged ? frame.tag & 0xFFF : 0);
  const bool ours = form != Form::Other && way.packet.family != 0 &&
                    table_->index().concerns(way.packet.family, way.packet.destination());
  if (!ours) return pass(way);
  refuse(way, form == Form::Fragment ? RELAY_REFUSED_FRAGMENT : RELAY_REFUSED_MALFORMED);
}

void Forwarder::wire(Way& way, uint16_t vlan) noexcept {
  const Packet& packet = way.packet;
  uint32_t number = MatchTable::kNone;
  switch (table_->index().find(packet, vlan, number)) {
    case RuleIndex::Match::Rule:
      return relay(table_->rule(number), way);
    case RuleIndex::Match::Source:
      return refuse(way, RELAY_REFUSED_SOURCE);
    case RuleIndex::Match::None:
      break;
  }
  const bool tunnelled = packet.protocol == kUdp && packet.port == HOP_PORT && vlan == 0 &&
                         table_->tunnel_end(packet.family, packet.destination());
  return tunnelled ? tunnel(way) : pass(way);
}

void Forwarder::refuse(const Way& way, relay_refusal why, const CompiledRule* rule) noexcept {
  port_.refused[why].add(way.count);
  if (!rule) return;
  rule->counts->refused[why].add(way.count);
  if (TraceRecord* traced = trace(*rule, way)) traced->refused = static_cast<uint8_t>(why);
}

void Forwarder::drop(const Exit& exit, uint32_t count, relay_drop why, uint8_t* outcome) noexcept {
  exit.counts->dropped[why].add(count);
  if (outcome) *outcome = static_cast<uint8_t>(why);
}

void Forwarder::relay(const CompiledRule& rule, Way& way) noexcept {
  const Packet& packet = way.packet;
  if (orphaned_) return refuse(way, RELAY_REFUSED_ORPHANED, &rule);
  if (table_->own(packet.family, packet.source())) return refuse(way, RELAY_REFUSED_LOOP, &rule);
  if (rule.keeps_ttl && packet.ttl() <= 1) return refuse(way, RELAY_REFUSED_TTL, &rule);

  port_.matched.add(way.count);
  rule.counts->matched.add(way.count);
  rule.counts->bytes.add(way.bytes);
  rule.counts->last_ns.set(static_cast<uint64_t>(way.frame.time_ns));
  TraceRecord* traced = trace(rule, way);

  relay_drop limited = RELAY_DROPPED_RATE;
  uint32_t admitted = way.count;
  if (rule.rule->limit_pps | rule.rule->storm_pps) {
    admitted = 0;
    Limiter& limiter = limiters_[rule.slot];
    for (uint32_t i = 0; i < way.count; i++)
      if (limiter.admits(*rule.rule, static_cast<uint64_t>(way.frame.time_ns), limited)) admitted++;
  }
  const Exit* exits = table_->exits(rule);
  for (uint32_t i = 0; i < rule.exits; i++) {
    const Exit& exit = exits[i];
    uint8_t* outcome = traced && i < kTraceOutputs ? &traced->dropped[i] : nullptr;
    if (outcome) {
      traced->output_slot[i] = exit.slot;
      traced->outputs = static_cast<uint8_t>(i + 1);
    }
    exit.counts->wanted.add(way.count);
    if (admitted < way.count) drop(exit, way.count - admitted, limited, outcome);
    if (admitted == 0) continue;
    Way rest = way;
    rest.count = admitted;  // the first ones of a super-packet
    send(exit, rest, i + 1 == rule.exits, outcome);
  }
}

void Forwarder::send(const Exit& exit, const Way& way, bool last, uint8_t* outcome) noexcept {
  const Packet& packet = way.packet;
  if (!exit.ready) return drop(exit, way.count, exit.unready, outcome);
  if (!exit.output->tunnel && exit.output->destination.family != packet.family)
    return drop(exit, way.count, RELAY_DROPPED_NO_ROUTE, outcome);
  const bool keeps_ttl = !exit.output->ttl && !exit.output->tunnel;
  if (keeps_ttl && packet.ttl() <= 1) return drop(exit, way.count, RELAY_DROPPED_TTL, outcome);
  const uint8_t ttl = keeps_ttl ? static_cast<uint8_t>(packet.ttl() - 1) : exit.output->ttl.value_or(HOP_OUTER_TTL);

  const uint8_t* payload = packet.ip + packet.transport + 8;
  const uint32_t bytes = packet.length - packet.transport - 8;
  if (way.frame.segments == 1 || way.hops > 0)
    return send_one(exit, way, {payload, bytes, 0, true, way.frame.partial_checksum && way.hops == 0}, ttl, last,
                    outcome);
  const uint32_t each = way.frame.segment_bytes;
  for (uint32_t i = 0; i < way.count; i++) {
    const uint32_t at = i * each;
    send_one(exit, way, {payload + at, std::min(each, bytes - at), i, false, true}, ttl, false, outcome);
  }
}

void Forwarder::send_one(const Exit& exit, const Way& way, const Segment& segment, uint8_t ttl, bool last,
                         uint8_t* outcome) noexcept {
  const Packet& packet = way.packet;
  const uint32_t around = exit.output->tunnel ? overhead(*exit.output) : 0;
  if (around + packet.transport + 8 + segment.bytes > exit.output->mtu)
    return drop(exit, 1, RELAY_DROPPED_MTU, outcome);
  if (packet.transport + 8 > kLongestHeaders) return drop(exit, 1, RELAY_DROPPED_BUFFER, outcome);
  if (last && around == 0) return send_in_place(exit, packet, segment, ttl, outcome);
  uint8_t* frame = exit.device->header();
  uint8_t* to = frame + kEthernetBytes;
  std::memcpy(frame, exit.ethernet, kEthernetBytes);
  const Output* change = exit.output->tunnel ? nullptr : exit.output;
  const uint32_t headers = around + rewrite(to + around, packet, segment, change, ttl);
  if (around > 0) {
    const HopFields fields{static_cast<uint8_t>(way.hops + 1), stream_,
                           exit.counts->next_number(exit.output->tunnel->epoch), clock_ns(CLOCK_REALTIME)};
    wrap(to, *exit.output, packet, headers - around + segment.bytes, ttl, fields);
  }
  exit.device->post(kEthernetBytes + headers, segment.payload, segment.bytes, *exit.counts, outcome);
}

/// Over the headers that came: the new ones are as long, and an Ethernet header fits before them.
void Forwarder::send_in_place(const Exit& exit, const Packet& packet, const Segment& segment, uint8_t ttl,
                              uint8_t* outcome) noexcept {
  const uint32_t headers = packet.transport + 8;
  uint8_t before[kLongestHeaders];
  std::memcpy(before, packet.ip, headers);
  auto* to = const_cast<uint8_t*>(packet.ip);
  Packet original = packet;
  original.ip = before;
  rewrite(to, original, segment, exit.output, ttl);
  std::memcpy(to - kEthernetBytes, exit.ethernet, kEthernetBytes);
  exit.device->post(0, to - kEthernetBytes, kEthernetBytes + headers + segment.bytes, *exit.counts, outcome);
}

/// A packet, or several that an offload merged, of which each is one of the tunnel's.
void Forwarder::tunnel(const Way& way) noexcept {
  const uint32_t begin = way.packet.transport + 8, bytes = way.packet.length - begin;
  if (way.count == 1) return tunnelled(way, way.packet.ip + begin, bytes);
  const uint32_t each = way.frame.segment_bytes;
  for (uint32_t i = 0; i < way.count; i++) {
    Way one = way;
    one.count = 1;
    one.bytes = way.bytes / way.count;
    tunnelled(one, way.packet.ip + begin + i * each, std::min(each, bytes - i * each));
  }
}

void Forwarder::tunnelled(const Way& outer, const uint8_t* header, uint32_t bytes) noexcept {
  if (bytes < HOP_HEADER_BYTES) return refuse(outer, RELAY_REFUSED_MALFORMED);
  hop_header hop;
  std::memcpy(&hop, header, sizeof hop);
  if (hop.version != HOP_VERSION) return refuse(outer, RELAY_REFUSED_VERSION);
  const uint32_t path = hop_32(hop.path), number = table_->index().path(path);
  if (number == MatchTable::kNone) return refuse(outer, RELAY_REFUSED_UNKNOWN_PATH);
  const CompiledRule& rule = table_->rule(number);
  if (!known_peer(*rule.tunnel, outer.packet)) return refuse(outer, RELAY_REFUSED_STRANGER, &rule);

  Way inner = outer;
  inner.packet = {};
  const auto form = parse(header + HOP_HEADER_BYTES, bytes - HOP_HEADER_BYTES, false, inner.packet);
  const bool addressed = form != Packet::Form::Malformed && inner.packet.family != 0;
  if (!addressed) return refuse(outer, RELAY_REFUSED_MALFORMED, &rule);
  if (!right_tag(*rule.tunnel, hop, inner.packet)) return refuse(outer, RELAY_REFUSED_TAG, &rule);

  HopSlot& hop_slot = hops_.of(path, hop_16(hop.stream), hop_32(hop.epoch), now_ns_);
  if (!hop_window_arrive(&hop_slot.window, hop_32(hop.sequence), now_ns_))
    return refuse(outer, RELAY_REFUSED_REPLAY, &rule);
  hop_window_date(&hop_slot.window, outer.frame.time_ns - static_cast<int64_t>(hop_64(hop.origin_ns)));
  // From here on the packet has arrived: what is refused now is no loss of the network.
  if (hop.hops >= HOP_LIMIT) return refuse(outer, RELAY_REFUSED_HOP_LIMIT, &rule);
  if (form == Packet::Form::Fragment) return refuse(outer, RELAY_REFUSED_FRAGMENT, &rule);
  if (form == Packet::Form::Other) return refuse(outer, RELAY_REFUSED_MALFORMED, &rule);
  inner.hops = hop.hops;
  relay(rule, inner);
}

/// The record of a packet that is traced, or null.
TraceRecord* Forwarder::trace(const CompiledRule& rule, const Way& way) noexcept {
  if (rule.slot != traced_slot_ || traces_left_ == 0) return nullptr;
  if (traces_made_ - figures_.traces_taken.load(std::memory_order_relaxed) >= kTraceRecords) return nullptr;
  traces_left_--;
  TraceRecord& record = figures_.traces[traces_made_++ % kTraceRecords];
  record.at_ns = static_cast<uint64_t>(way.frame.time_ns);
  record.rule_slot = rule.slot;
  record.length = static_cast<uint32_t>(way.bytes);
  record.ttl = way.packet.ttl();
  record.family = way.packet.family;
  record.refused = kTraceSent;
  record.outputs = 0;
  std::memcpy(record.source, way.packet.source(), way.packet.address_bytes());
  return &record;
}

}  // namespace tapline::relay
