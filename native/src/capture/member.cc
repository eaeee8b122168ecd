#include "capture/member.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace tapline {

namespace {
constexpr int64_t kPublishNs = 200'000'000;
constexpr uint64_t kFewFlows = LiveFile::Batch::kSlots * (1'000'000'000 / kPublishNs);
constexpr int64_t kManyPollNs = 50'000'000;  ///< with more flows than those the live file wants a look so often
constexpr unsigned kTicks = 5;               ///< in which the whole table is visited once
constexpr int64_t kBehindWallNs = 500'000'000;
constexpr int64_t kStuckNs = 1'000'000'000;
constexpr uint16_t kEthernet = 1;

void nap() noexcept {
  const timespec pause{0, 2'000'000};
  nanosleep(&pause, nullptr);
}
}  // namespace

unsigned MemberNumbers::take() noexcept {
  for (unsigned i = 0; i < kMembers; i++) {
    if (places_[i].taken) continue;
    places_[i].taken = true;
    return i;
  }
  return kMembers;
}

void MemberNumbers::give(unsigned number, uint64_t frames) noexcept { places_[number] = {false, frames}; }

Member::Member(const Place& place, const FlowLimits& limits, const MemberSurroundings& around)
    : place_(place),
      around_(around),
      table_(limits, around.outbox, &around.latest),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      wanted_(limits) {}

Member::~Member() {
  join();
  if (wake_fd_ >= 0) close(wake_fd_);
}

void Member::wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

void Member::become(Phase phase) noexcept {
  phase_.store(phase, std::memory_order_release);
  wake();
}

void Member::start() {
  thread_ = std::thread([this] { run(); });
}

void Member::join() {
  if (thread_.joinable()) thread_.join();
}

void Member::drain() noexcept {
  ring_.close_door();
  become(Phase::kDraining);
}

void Member::set_limits(const FlowLimits& limits) noexcept {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = limits;
    wishes_.fetch_add(1, std::memory_order_release);
  }
  wake();
}

void Member::obey() noexcept {
  if (refiltered_.exchange(false, std::memory_order_acquire)) table_.blind(clock_, around_.clock.now());
  const uint32_t wishes = wishes_.load(std::memory_order_acquire);
  if (wishes == obeyed_) return;
  FlowLimits limits{};
  {
    const std::lock_guard lock(mutex_);
    limits = wanted_;
  }
  obeyed_ = wishes;
  table_.set_limits(limits, std::max(clock_, around_.clock.now() - kBehindWallNs));
}

void Member::run() {
  run_on(place_.cpu);
  // What top and /proc call it: at most 15 characters.
  pthread_setname_np(pthread_self(), ("capture-" + std::to_string(place_.number)).c_str());
  int64_t published = 0;
  for (;;) {
    obey();
    const Phase phase = phase_.load(std::memory_order_acquire);
    const RunClock::Reading reading = RunClock::read();
    const int64_t now = around_.clock.now(reading);
    if (now - published >= kPublishNs) {
      // Time passes without packets too, a little behind the wall so that none still in the ring is overtaken.
      clock_ = std::max(clock_, now - kBehindWallNs);
      table_.tick(clock_, kTicks);
      publish(phase == Phase::kWatching || phase == Phase::kDraining);
      published = now;
    }
    if (phase == Phase::kEnding) break;
    keep_flows(reading.wall);
    const int64_t most = table_.live_flows() > kFewFlows ? kManyPollNs : kPublishNs;
    const int ms = static_cast<int>(std::min(published + kPublishNs - now, most) / 1'000'000) + 1;
    if (phase == Phase::kAway) {
      wait(-1, ms);
    } else if (phase == Phase::kDraining) {
      leave();
    } else if (!take_block()) {
      look_for_failure(ms);
    }
  }
  table_.finish(std::max(clock_, around_.clock.now()));
  publish(false);
  phase_.store(Phase::kEnded, std::memory_order_release);
}

/// By the wall clock: readers compare it with theirs to tell a capture that has died.
void Member::keep_flows(int64_t wall) {
  if (live_file_ < 0 && around_.live_files.begun()) {
    live_file_ = around_.live_files.take_number();
    table_.keep_live(around_.live_files.run(), static_cast<unsigned>(live_file_));
  }
  table_.keep(wall);
}

/// For what happens on `fd`, if it is one, or for a wish; at most so long.
short Member::wait(int fd, int ms) noexcept {
  pollfd waiting[] = {{fd, POLLIN | POLLERR, 0}, {wake_fd_, POLLIN, 0}};
  poll(waiting, 2, ms);
  uint64_t woken = 0;
  if (waiting[1].revents != 0) [[maybe_unused]]
    const ssize_t got = read(wake_fd_, &woken, sizeof woken);
  return waiting[0].revents;
}

/// Waits for frames, and notices when the interface went down.
void Member::look_for_failure(int ms) {
  stages_.idle_polls++;
  if ((wait(ring_.fd(), ms) & (POLLERR | POLLNVAL)) == 0) return;
  note_failure(around_.clock.now());
  nap();  // a dead socket polls ready at once
}

/// The interface went down, some time after the last frame that was taken and before now: where between the frames that
/// still lie in the ring cannot be told. It stays so until a frame of a later time comes.
void Member::note_failure(int64_t now) noexcept {
  if (!ring_.failed()) return;
  table_.blind(clock_, now);
  blind_since_ = now;
}

/// The door is closed; the kernel retires the last block by its timer.
void Member::leave() {
  int64_t moved = RunClock::steady_ns();
  while (ring_.waiting() > 0 && RunClock::steady_ns() - moved < around_.retire_ns + kStuckNs) {
    if (take_block()) {
      moved = RunClock::steady_ns();
    } else {
      nap();
    }
  }
  if (blind_since_ == 0) blind_since_ = std::max(clock_, around_.clock.now() - kBehindWallNs);
  publish(true);
  phase_.store(Phase::kAway, std::memory_order_release);
}

bool Member::take_block() {
  const uint64_t first = place_.frames_before + frames_;
  const int64_t floor = clock_;
  int64_t began = 0, now = 0;
  batch_.clear();
  in_block_ = 0;
  return ring_.next(
      [&](bool dropped) {
        const RunClock::Reading reading = RunClock::read();
        began = reading.steady;
        now = around_.clock.now(reading);
        note_failure(now);
        if (dropped) note_drops();
      },
      [&](const RingFrame& frame) { take(frame, now); },
      [&] {
        const int64_t decoded = RunClock::steady_ns();
        for (Packet& packet : batch_) packet.ordinal = packet.ordinal * kMembers + place_.number;
        table_.follow(batch_, floor, 0, first * kMembers + 1, followed_);
        stages_.blocks++;
        stages_.frames += in_block_;
        stages_.decode_ns += decoded - began;
        stages_.follow_ns += RunClock::steady_ns() - decoded;
      });
}

void Member::take(const RingFrame& frame, int64_t now) {
  Tally& tally = counts_.ledger.counts;
  frames_++;
  tally.delivered++;
  const uint32_t merged = uint32_t{frame.segments - 1u} * frame.header_length;
  const uint32_t wire = frame.wire_length + merged + (frame.tagged ? 4 : 0);
  counts_.bytes += wire;
  counts_.partial_checksums += frame.partial_checksum;
  if (frame.segments > 1) {
    counts_.super_packets++;
    counts_.segments += frame.segments;
  }
  const int64_t time = around_.clock.of(frame.time_ns, clock_, now);
  if (blind_since_ != 0 && time > blind_since_) {
    table_.blind(blind_since_, time);
    blind_since_ = 0;
  }
  if (first_time_ == 0) first_time_ = time;
  clock_ = last_time_ = time;
  Packet& packet = batch_.emplace_back();
  decode(frame.bytes, frame.captured, wire, kEthernet, around_.seed, packet,
         SideTag{frame.tagged, static_cast<uint16_t>(frame.tag & 0x0FFF)});
  packet.time_ns = time;
  packet.interface = 0;
  packet.segments = frame.segments;
  packet.ordinal = static_cast<uint32_t>(in_block_++);
  if (!tally.judge(packet)) {
    batch_.pop_back();
  } else if (!table_.limits().follows(packet.hash)) {
    tally.untracked[static_cast<size_t>(Untracked::NotSampled)]++;
    batch_.pop_back();
  }
}

/// What the kernel dropped since it was last asked came after the latest frame taken and before now; where between
/// the blocks that still lie in the ring cannot be told, for it marks them all until it is asked.
void Member::note_drops() noexcept {
  const uint64_t before = counts_.ledger.ring_drops;
  counts_.ledger.ring_drops = ring_.counts().dropped;
  if (counts_.ledger.ring_drops == before) return;
  const int64_t now = around_.clock.now();
  table_.blind(clock_, now);
  around_.blinds.ring_full(place_.port, clock_, now);
}

void Member::publish(bool has_ring) {
  const int64_t began = RunClock::steady_ns();
  InterfaceLedger& ledger = counts_.ledger;
  if (has_ring) {
    note_drops();
    const Ring::Counts& kernel = ring_.counts_so_far();
    ledger.counts.seen = kernel.seen;
    ledger.in_flight = ring_.waiting();
    counts_.frozen = kernel.frozen;
  }
  ledger.tracked = followed_[0].tracked;
  ledger.invalid_number = followed_[0].invalid_number;
  cpu_.store(sched_getcpu(), std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  shown_.counts = counts_;
  shown_.flows = table_.counts();
  shown_.totals = table_.totals();
  shown_.lost = table_.live().lost.load(std::memory_order_relaxed);
  shown_.live = table_.live_flows();
  shown_.tombstones_dropped = table_.tombstones_dropped();
  shown_.settled_early = table_.settled_early();
  shown_.first_time = first_time_;
  shown_.last_time = last_time_;
  stages_.publish_ns += RunClock::steady_ns() - began;
  shown_.stages = stages_;
}

MemberFigures Member::figures() {
  const std::lock_guard lock(mutex_);
  MemberFigures out = shown_;
  if (ended()) out.live = 0;
  return out;
}

MemberRow Member::row() {
  const std::lock_guard lock(mutex_);
  return {"",
          shown_.counts.ledger.counts.delivered,
          shown_.flows.flows,
          place_.cpu,
          cpu_.load(std::memory_order_relaxed),
          kAnywhere,
          node_.load(std::memory_order_relaxed)};
}

}  // namespace tapline
