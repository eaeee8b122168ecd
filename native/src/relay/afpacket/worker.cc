#include "relay/afpacket/worker.h"

#include <linux/filter.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "relay/afpacket/input_filter.h"
#include "relay/hop_header.h"

namespace tapline::relay {

namespace {
constexpr int kLookMs = 100;   ///< how old the count of ring drops may be
constexpr int kIdleMs = 1000;  ///< the packet thread's longest sleep; whoever needs it earlier wakes it
constexpr int kDrainMs = 5;    ///< until the kernel hands over a block that is not full
}  // namespace

Worker::~Worker() {
  ending_ = true;
  wake();
  if (packets_.joinable()) packets_.join();
  for (const int fd : {signals_, changes_, wake_})
    if (fd >= 0) close(fd);
}

CaptureStatus Worker::open() {
  std::string problem = figures_.open(options_.folder + "/figures", 0, 0);
  if (!problem.empty()) return {"RELAY_WORKER_FILES", "figures: " + problem};
  if (!figures_.claim()) return {"RELAY_WORKER_RUNS", std::to_string(figures_.claimed_by())};
  Figures& figures = figures_.figures();
  figures.pid = static_cast<uint64_t>(getpid());
  figures.ready = 0;
  figures.applied = 0;
  figures.starts.fetch_add(1);
  forwarder_ = std::make_unique<Forwarder>(
      figures_, static_cast<uint16_t>(HOP_STREAM_PROCESS | (options_.ifindex & (HOP_STREAM_PROCESS - 1))));
  if (getrandom(&seed_, sizeof seed_, 0) != sizeof seed_)
    return CaptureStatus::failed("RELAY_WORKER_FAILED", "random", errno);

  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (const CaptureStatus status = watch(); !status.ok()) return status;

  RingOptions ring;
  ring.block_bytes = options_.block_kib << 10;
  ring.blocks = options_.blocks;
  ring.retire_ms = options_.retire_ms;
  ring.promiscuous = false;  // groups are joined, other addresses are ours
  if (CaptureStatus status = ring_.open(options_.ifindex, ring); !status.ok()) return status;
  if (!read_table_file()) return {"RELAY_WORKER_FILES", "rules"};
  return {};
}

/// Signals and changes of the table's file, as descriptors.
CaptureStatus Worker::watch() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);  // whoever read our standard error may be gone
  signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  changes_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (signals_ < 0 || changes_ < 0 || wake_ < 0 ||
      inotify_add_watch(changes_, options_.folder.c_str(), IN_MOVED_TO) < 0)
    return CaptureStatus::failed("RELAY_WORKER_FAILED", "inotify", errno);
  return {};
}

/// A file that cannot be read changes nothing. False: there is no table at all.
bool Worker::read_table_file() {
  Table table;
  const std::string problem = load_table(options_.folder + "/rules", table);
  if (!problem.empty()) {
    dprintf(STDERR_FILENO, "RELAY_WORKER_FILES rules: %s\n", problem.c_str());
    figures_.figures().refused_table = figures_.figures().wanted.load();
    return !tables_.empty();
  }
  // First let the new rules' frames in, then use the rules. Those of the rules that go end now.
  std::vector<sock_filter> program = input_filter(table);
  const sock_fprog filter{static_cast<uint16_t>(program.size()), program.data()};
  if (const CaptureStatus status = ring_.start(&filter); !status.ok()) {
    dprintf(STDERR_FILENO, "%s %s\n", status.code, status.detail.c_str());
    return !tables_.empty();
  }
  hush_.follow(table);
  offer(std::make_unique<Compiled>(std::move(table), figures_, devices_, options_.send_kib << 10, seed_));
  return true;
}

void Worker::offer(std::unique_ptr<Compiled> table) {
  // Interfaces that no rule names any longer; the tables that use them hold them.
  std::erase_if(devices_, [&](const auto& one) {
    const auto& used = table->devices();
    return std::find(used.begin(), used.end(), one.second) == used.end();
  });
  offered_.store(table.get());
  tables_.push_back(std::move(table));
  wake();
}

void Worker::forget_old() {
  // Asked in this order: what is offered may become what is in use between the two, not the other way round.
  const Compiled* offered = offered_.load();
  const Compiled* used = in_use_.load();
  std::erase_if(tables_, [&](const auto& table) {
    return table.get() != offered && table.get() != used && table.get() != tables_.back().get();
  });
}

void Worker::count_drops() noexcept { figures_.figures().port.ring_drops.set(ring_.counts().dropped); }

void Worker::wake() const noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
}

CaptureStatus Worker::run() {
  packets_ = std::thread([this] { relay(); });
  CaptureStatus ended;
  for (;;) {
    pollfd waiting[] = {{signals_, POLLIN, 0}, {changes_, POLLIN, 0}};
    poll(waiting, 2, kLookMs);
    if (waiting[0].revents != 0) break;
    if (waiting[1].revents != 0) {
      alignas(inotify_event) char events[4096];
      while (read(changes_, events, sizeof events) > 0) continue;
      if (figures_.figures().wanted.load() != tables_.back()->table().generation) read_table_file();
    }
    forget_old();
    count_drops();
    if (ring_.interface_index() == 0) {
      ended = {"INTERFACE_NOT_FOUND", "it was deleted"};
      break;
    }
  }
  ring_.close_door();
  ending_ = true;
  wake();
  packets_.join();
  count_drops();
  figures_.figures().ready = 0;
  return ended;
}

void Worker::relay() noexcept {
  if (options_.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(options_.cpu), &set);
    sched_setaffinity(0, sizeof set, &set);  // where it is not allowed it runs anywhere
  }
  Figures& figures = figures_.figures();
  for (;;) {
    if (const Compiled* next = offered_.load(std::memory_order_acquire)) {
      forwarder_->use(next);
      in_use_.store(next);
      offered_.compare_exchange_strong(next, nullptr);
      figures.applied = in_use_.load()->table().generation;
      figures.ready = 1;
    }
    forwarder_->begin();
    const bool some = ring_.next([](bool) {}, [this](const RingFrame& frame) { forwarder_->frame(frame); },
                                 [this] { forwarder_->end(); });
    if (some) continue;
    if (ending_ && ring_.waiting() == 0) break;  // what was let in has been relayed
    forwarder_->end();
    pollfd waiting[] = {{ring_.fd(), POLLIN, 0}, {wake_, POLLIN, 0}};
    poll(waiting, 2, ending_ ? kDrainMs : kIdleMs);
    if (waiting[1].revents != 0) {
      uint64_t count;
      [[maybe_unused]] const ssize_t got = read(wake_, &count, sizeof count);
    }
    if (waiting[0].revents & POLLERR) [[maybe_unused]]
      const bool down = ring_.failed();  // it was down; told once
  }
}

}  // namespace tapline::relay
