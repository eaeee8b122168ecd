#include "capture/live.h"

#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <limits>

#include "decode/decode.h"

namespace tapline {

namespace {
constexpr size_t kOutbox = 256;
constexpr int kPollMs = 20;
constexpr int64_t kPublishNs = 200'000'000;
constexpr unsigned kTicks = 5;  ///< in which the whole table is visited once
constexpr int64_t kBehindWallNs = 500'000'000;
constexpr uint16_t kEthernet = 1;

int64_t wall_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

bool is_up(int fd, const std::string& name) noexcept {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP);
}

void nap() noexcept {
  const timespec pause{0, 2'000'000};
  nanosleep(&pause, nullptr);
}
}  // namespace

PortCounts& PortCounts::operator+=(const PortCounts& member) noexcept {
  ledger.counts += member.ledger.counts;
  ledger.tracked += member.ledger.tracked;
  ledger.invalid_number += member.ledger.invalid_number;
  ledger.ring_drops += member.ledger.ring_drops;
  ledger.in_flight += member.ledger.in_flight;
  bytes += member.bytes;
  super_packets += member.super_packets;
  segments += member.segments;
  partial_checksums += member.partial_checksums;
  frozen += member.frozen;
  ring_bytes += member.ring_bytes;
  ring_locked = ring_locked && member.ring_locked;
  gone = gone || member.gone;
  return *this;
}

struct LiveCapture::Member {
  Member(const FlowLimits& limits, Outbox& outbox, LatestFlows& latest, unsigned place, unsigned of)
      : table(limits, outbox, &latest), number(place), members(of) {}

  Ring ring;
  FlowTable table;
  const unsigned number;  ///< among all members: makes a frame's number unique
  const unsigned members;
  std::vector<Packet> batch;
  std::vector<FlowTable::Tally> followed{1};
  int64_t clock = std::numeric_limits<int64_t>::min();
  int64_t first_time = 0;
  int64_t last_time = 0;
  uint64_t frames = 0;
  int64_t published = 0;
  bool keeping = false;
  PortCounts counts;   ///< the thread's own
  unsigned index = 0;  ///< of the interface its ring is on
  bool gone = false;
  int64_t gone_since = 0;

  /// What the kernel dropped since it was last asked came after the latest frame taken and before now; where between
  /// the blocks that still lie in the ring cannot be told, for it marks them all until it is asked.
  void note_drops() noexcept {
    const uint64_t before = counts.ledger.ring_drops;
    counts.ledger.ring_drops = ring.counts().dropped;
    if (counts.ledger.ring_drops != before) table.blind(clock, wall_ns());
  }

  std::mutex mutex;  ///< what others may read:
  PortCounts shown;
  FlowTable::Counts shown_flows;
  uint64_t shown_lost = 0, shown_live = 0, shown_tombstones = 0, shown_settled = 0;
  int64_t shown_first = 0, shown_last = 0;
  std::thread thread;
};

struct LiveCapture::Port {
  std::string name;
  Filter filter;
  std::mutex mutex;    ///< the group, while members join it
  unsigned index = 0;  ///< of the interface the group was made for
  uint16_t group = 0;
  std::vector<std::unique_ptr<Member>> members;
};

LiveCapture::LiveCapture(const LiveOptions& options) : options_(options), seed_(HashSeed::random()), outbox_(kOutbox) {}

LiveCapture::~LiveCapture() {
  stop();
  outbox_.abandon();
  if (supervisor_.joinable()) supervisor_.join();
}

std::unique_ptr<LiveCapture> LiveCapture::open(const LiveOptions& options, CaptureStatus& status) {
  std::unique_ptr<LiveCapture> live(new LiveCapture(options));
  live->ebpf_ = live->program_.load().ok();
  const auto members = static_cast<unsigned>(options.interfaces.size()) * options.threads;
  FlowLimits share = options.limits;
  share.max_flows = std::max(1u, (share.max_flows + members - 1) / members);
  unsigned number = 0;
  for (const std::string& name : options.interfaces) {
    auto port = std::make_unique<Port>();
    port->name = name;
    for (unsigned i = 0; i < options.threads; i++) {
      port->members.push_back(std::make_unique<Member>(share, live->outbox_, live->latest_, number++, members));
      if (!port->members.back()->table.allocated() || !live->latest_.allocated()) {
        status = {"OUT_OF_MEMORY", "the flow table could not be reserved"};
        return nullptr;
      }
    }
    status = live->open_port(*port);
    if (!status.ok()) return nullptr;
    live->ports_.push_back(std::move(port));
  }
  return live;
}

/// All members join before any of them lets a frame in: none sees what is another's.
CaptureStatus LiveCapture::open_port(Port& port) {
  if (if_nametoindex(port.name.c_str()) == 0) return {"INTERFACE_NOT_FOUND", ""};
  CaptureStatus status = port.filter.compile(port.name, options_.filter);
  for (auto& member : port.members) {
    if (status.ok()) status = join(port, *member);
  }
  for (auto& member : port.members) {
    if (status.ok()) status = member->ring.start(port.filter.program());
    member->index = port.index;
    member->counts.ring_bytes = member->ring.bytes();
    member->counts.ring_locked = member->ring.locked();
  }
  return status;
}

/// A ring on the interface as it is now; the first member to come makes the group.
CaptureStatus LiveCapture::join(Port& port, Member& member) {
  const std::lock_guard lock(port.mutex);
  const unsigned index = if_nametoindex(port.name.c_str());
  if (index != port.index) port.group = 0;
  port.index = index;
  const bool first = port.group == 0;
  CaptureStatus status = member.ring.open(index, options_.ring);
  if (status.ok()) status = member.ring.join(port.group, options_.ring.outgoing, ebpf_);
  if (status.ok() && first) status = member.ring.spread(ebpf_ ? program_.fd() : -1);
  return status;
}

/// The interface went down or away: once it is there again under its name, the capture goes on.
void LiveCapture::come_back(Port& port, Member& member) {
  if (!member.gone) member.gone_since = std::max(member.clock, wall_ns() - kBehindWallNs);
  member.gone = true;
  const unsigned index = if_nametoindex(port.name.c_str());
  if (index == 0) return;
  if (index == member.index) {  // only down: once it is up the same socket goes on
    if (!is_up(member.ring.fd(), port.name)) return;
    member.table.blind(member.gone_since, wall_ns());
    member.gone = false;
    return;
  }
  member.note_drops();
  member.ring.close();
  if (join(port, member).ok() && member.ring.start(port.filter.program()).ok()) member.index = index;
}

void LiveCapture::start(std::function<void(const LiveSnapshot&)> done) {
  for (auto& port : ports_) {
    for (auto& member : port->members)
      member->thread = std::thread([this, p = port.get(), m = member.get()] { watch(*p, *m); });
  }
  supervisor_ = std::thread([this, done = std::move(done)] { supervise(done); });
}

void LiveCapture::supervise(const std::function<void(const LiveSnapshot&)>& done) {
  for (auto& port : ports_) {
    for (auto& member : port->members) member->thread.join();
  }
  done(snapshot());
}

void LiveCapture::keep_live(const LiveFlows& flows) {
  if (keeping_.load(std::memory_order_relaxed)) return;
  live_flows_ = flows;
  keeping_.store(true, std::memory_order_release);
}

void LiveCapture::watch(Port& port, Member& member) {
  while (!stop_.load(std::memory_order_relaxed)) {
    const int64_t now = wall_ns();
    if (now - member.published >= kPublishNs) {
      // Time passes without packets too, a little behind the wall so that none still in the ring is overtaken.
      member.clock = std::max(member.clock, now - kBehindWallNs);
      member.table.tick(member.clock, kTicks);
      publish(member);
      member.published = now;
    }
    if (!member.keeping && keeping_.load(std::memory_order_acquire)) {
      member.table.keep_live(live_flows_, member.number);
      member.keeping = true;
    }
    member.table.keep(now);
    if (take_block(member)) continue;
    pollfd waiting{member.ring.fd(), POLLIN | POLLERR, 0};
    const bool failed = poll(&waiting, 1, kPollMs) > 0 && (waiting.revents & (POLLERR | POLLNVAL));
    if (!failed && !member.gone) continue;
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(member.ring.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
    come_back(port, member);
    if (failed) nap();  // a dead socket polls ready at once
  }
  // The door closes, then what is inside is taken: the kernel retires the last block by its timer.
  member.ring.close_door();
  const int64_t until = wall_ns() + int64_t{options_.ring.retire_ms} * 1'000'000 + 1'000'000'000;
  while (member.ring.waiting() > 0 && wall_ns() < until) {
    if (!take_block(member)) nap();
  }
  member.table.finish(std::max(member.clock, wall_ns()));
  publish(member);
}

bool LiveCapture::take_block(Member& member) {
  PortCounts& counts = member.counts;
  const uint64_t first = member.frames;
  const int64_t floor = member.clock;
  member.batch.clear();
  return member.ring.next(
      [&](bool dropped) {
        if (dropped) member.note_drops();
      },
      [&](const RingFrame& frame) {
        member.frames++;
        counts.ledger.counts.delivered++;
        const uint32_t merged = uint32_t{frame.segments - 1u} * frame.header_length;
        const uint32_t tag = frame.tagged ? 4 : 0;
        const uint32_t wire = frame.wire_length + merged + tag;
        counts.bytes += wire;
        counts.partial_checksums += frame.partial_checksum;
        if (frame.segments > 1) {
          counts.super_packets++;
          counts.segments += frame.segments;
        }
        if (member.gone) member.table.blind(member.gone_since, frame.time_ns);
        member.gone = false;
        if (member.first_time == 0) member.first_time = frame.time_ns;
        member.clock = std::max(member.clock, frame.time_ns);
        member.last_time = member.clock;
        Packet& packet = member.batch.emplace_back();
        decode(frame.bytes, frame.captured, wire, kEthernet, seed_, packet,
               SideTag{frame.tagged, static_cast<uint16_t>(frame.tag & 0x0FFF)});
        packet.time_ns = member.clock;
        packet.interface = 0;
        packet.segments = frame.segments;
        packet.ordinal = static_cast<uint32_t>(member.frames - 1 - first);
        if (!counts.ledger.counts.judge(packet)) member.batch.pop_back();
      },
      [&] {
        // Numbers interleave, so that no two members name a flow the same.
        for (Packet& packet : member.batch) packet.ordinal = packet.ordinal * member.members + member.number;
        member.table.follow(member.batch, floor, 0, first * member.members + 1, member.followed);
      });
}

void LiveCapture::publish(Member& member) {
  PortCounts& counts = member.counts;
  InterfaceLedger& ledger = counts.ledger;
  member.note_drops();
  const Ring::Counts& kernel = member.ring.counts_so_far();
  ledger.counts.seen = kernel.seen;
  ledger.in_flight = member.ring.waiting();
  ledger.tracked = member.followed[0].tracked;
  ledger.invalid_number = member.followed[0].invalid_number;
  counts.frozen = kernel.frozen;
  counts.gone = member.gone;
  const std::lock_guard lock(member.mutex);
  member.shown = counts;
  member.shown_flows = member.table.counts();
  member.shown_lost = member.table.live().lost.load(std::memory_order_relaxed);
  member.shown_live = member.table.live_flows();
  member.shown_tombstones = member.table.tombstones_dropped();
  member.shown_settled = member.table.settled_early();
  member.shown_first = member.first_time;
  member.shown_last = member.last_time;
}

LiveSnapshot LiveCapture::snapshot() {
  LiveSnapshot out;
  out.ebpf = ebpf_;
  out.waited_ns = outbox_.waited_ns();
  out.links_dropped = latest_.forgotten();
  for (auto& port : ports_) {
    PortCounts sum;
    sum.ledger.name = port->name;
    sum.ledger.link_type = kEthernet;
    for (auto& member : port->members) {
      const std::lock_guard lock(member->mutex);
      sum += member->shown;
      out.members.push_back({port->name, member->shown.ledger.counts.delivered, member->shown_flows.flows});
      out.flows += member->shown_flows.flows;
      out.gaps += member->shown_flows.gaps;
      out.cap_evictions += member->shown_flows.cap_evictions;
      out.live_errors += member->shown_flows.live_errors;
      out.peak_flows += member->shown_flows.peak;
      out.tombstones_dropped += member->shown_tombstones;
      out.settled_early += member->shown_settled;
      out.live_flows += member->shown_live;
      out.lost += member->shown_lost;
      if (member->shown_first && (out.first_time == 0 || member->shown_first < out.first_time))
        out.first_time = member->shown_first;
      out.last_time = std::max(out.last_time, member->shown_last);
    }
    out.ports.push_back(std::move(sum));
  }
  return out;
}

EngineProgress LiveCapture::progress() {
  const LiveSnapshot now = snapshot();
  EngineProgress out{0, 0, 0, now.flows, now.lost};
  for (const PortCounts& port : now.ports) {
    out.bytes_read += port.bytes;
    out.packets += port.ledger.counts.delivered;
  }
  return out;
}

}  // namespace tapline
