#include "capture/live.h"

#include <malloc.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace tapline {

namespace {
constexpr size_t kOutbox = 1024;  ///< batches: the store may stand still for a second even with many threads
constexpr size_t kOutboxBytes = size_t{4} << 20;  ///< more goes into a file, once there is a database beside it
constexpr size_t kChanges = 1024;                 ///< that wait to be made; more are refused
/// Batches are larger than this, so their memory goes back as soon as they are stored. By itself malloc raises the
/// limit to their size, and they leave holes.
constexpr int kOwnMapping = 128 << 10;
constexpr size_t kPorts = 4096;  ///< rows of figures: every name that ever was in the capture
constexpr int kLookMs = 200;
constexpr int kMovingMs = 2;

bool comes_later(const CaptureStatus& status) {
  const std::string code = status.code;
  return code == "INTERFACE_NOT_FOUND" || code == "INTERFACE_DOWN";
}
}  // namespace

LiveCapture::LiveCapture(const LiveOptions& options)
    : options_(options),
      outbox_(kOutbox, kOutboxBytes),
      live_files_(outbox_),
      clock_(RunClock::read()),
      blinds_(outbox_),
      around_{{outbox_, blinds_, clock_, HashSeed::random(), int64_t{options.ring.retire_ms} * 1'000'000, latest_,
               live_files_},
              numbers_,
              program_,
              options.ring,
              options.threads},
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      limits_(options.limits),
      filter_(options.filter) {}

LiveCapture::~LiveCapture() {
  stop();
  outbox_.abandon();
  if (keeper_.joinable()) keeper_.join();
  if (wake_fd_ >= 0) close(wake_fd_);
}

std::unique_ptr<LiveCapture> LiveCapture::open(const LiveOptions& options, CaptureStatus& status) {
  mallopt(M_MMAP_THRESHOLD, kOwnMapping);
  std::unique_ptr<LiveCapture> live(new LiveCapture(options));
  live->program_.load();  // where BPF is not allowed the classic program does, and the figures say so
  status = live->links_.open();
  if (status.ok() && !live->latest_.allocated()) status = {"OUT_OF_MEMORY", "the table of links could not be reserved"};
  if (status.ok()) status = Filter::check(options.filter);
  for (const PortOptions& port : options.ports) {
    if (status.ok()) status = live->admit(port);
  }
  if (!status.ok()) return nullptr;
  live->share_out();
  return live;
}

void LiveCapture::start(std::function<void(const LiveSnapshot&)> done) {
  done_ = std::move(done);
  running_ = true;
  for (auto& port : ports_) port->start_threads();
  keeper_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "capture-keeper");
    keep();
  });
}

void LiveCapture::wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

void LiveCapture::stop() noexcept {
  stop_.store(true, std::memory_order_relaxed);
  wake();
}

void LiveCapture::post(std::function<void()> change, Answer answer) {
  const char* refusal = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (ended_already_) {
      refusal = "it has ended";
    } else if (changes_.size() == kChanges) {
      refusal = "too many changes are waiting";
    } else {
      changes_.push_back({std::move(change), answer});
    }
  }
  wake();
  if (refusal) answer({"CAPTURE_FAILED", refusal});
}

void LiveCapture::add(const PortOptions& port, Answer answer) {
  post(
      [this, port, answer] {
        answer(admit(port));
        share_out();
      },
      answer);
}

void LiveCapture::remove(const std::string& name, Answer answer) {
  post(
      [this, name, answer] {
        Port* port = find(name);
        if (!port) return answer({});
        if (port->wanted()) port->remove();
        leaving_.emplace_back(port, answer);
      },
      answer);
}

void LiveCapture::set_filter(const std::string& text, Answer answer) {
  post([this, text, answer] { answer(change_filter(text)); }, answer);
}

void LiveCapture::set_limits(const LimitsChange& change) {
  {
    const std::lock_guard lock(mutex_);
    limits_.settle_ns = change.settle_ns.value_or(limits_.settle_ns);
    limits_.idle_ns = change.idle_ns.value_or(limits_.idle_ns);
    limits_.max_flows = change.max_flows.value_or(limits_.max_flows);
    limits_.sample = change.sample.value_or(limits_.sample);
  }
  limits_changed_.store(true, std::memory_order_release);
  wake();
}

Port* LiveCapture::find(const std::string& name) const noexcept {
  for (auto& port : ports_) {
    if (port->options().name == name) return port.get();
  }
  return nullptr;
}

size_t LiveCapture::threads_wanted(size_t more) const noexcept {
  size_t threads = more * options_.threads;
  for (auto& port : ports_) threads += port->wanted() ? options_.threads : port->members();
  return threads;
}

/// Each member's part of the limits: the cap is of the whole capture.
FlowLimits LiveCapture::share(size_t more) {
  const std::lock_guard lock(mutex_);
  FlowLimits part = limits_;
  part.max_flows =
      std::max<uint32_t>(1, limits_.max_flows / static_cast<uint32_t>(std::max<size_t>(1, threads_wanted(more))));
  return part;
}

void LiveCapture::share_out() {
  const FlowLimits part = share(0);
  for (auto& port : ports_) port->set_limits(part);
}

std::string LiveCapture::filter() {
  const std::lock_guard lock(mutex_);
  return filter_;
}

/// A port comes in, or comes back. One that is refused changes nothing.
CaptureStatus LiveCapture::admit(const PortOptions& options) {
  if (options.name.empty() || options.name.size() >= IFNAMSIZ) return {"INTERFACE_NOT_FOUND", ""};
  Port* port = find(options.name);
  if (port && port->wanted()) {
    if (port->options() == options) return {};
    return {"CAPTURE_BAD_PLACEMENT", "it is watched, placed otherwise: remove it first"};
  }
  if (const size_t threads = threads_wanted(1) - (port ? port->members() : 0); threads > kMembers)
    return {"CAPTURE_TOO_MANY", std::to_string(threads) + " threads, and " + std::to_string(kMembers) + " is the most"};
  if (!port && ports_.size() == kPorts)
    return {"CAPTURE_TOO_MANY", std::to_string(kPorts) + " interfaces have been in it"};
  CaptureStatus status = Port::placeable(options, options_.threads);
  if (!status.ok()) return status;

  const Link* link = links_.named(options.name);
  if (port) {
    // It may still be leaving; it comes back when it is done.
    if (!options_.wait && !link) return {"INTERFACE_NOT_FOUND", ""};
    port->add(options);
    return {};
  }
  auto made = std::make_unique<Port>(ports_.size(), options, around_);
  if (running_) made->start_threads();
  const FlowLimits part = share(1);
  status = made->open(link, filter(), part);
  if (!status.ok() && !(options_.wait && comes_later(status))) {
    made->give_up();
    blinds_.forget(ports_.size());
    return status;
  }
  const std::lock_guard lock(mutex_);
  ports_.push_back(std::move(made));
  return {};
}

CaptureStatus LiveCapture::change_filter(const std::string& text) {
  if (text == filter()) return {};
  CaptureStatus status = Filter::check(text);
  std::vector<std::shared_ptr<Filter>> made(ports_.size());
  for (size_t i = 0; i < ports_.size() && status.ok(); i++) status = ports_[i]->make_filter(text, made[i]);
  if (!status.ok()) return status;
  for (size_t i = 0; i < ports_.size(); i++) {
    std::shared_ptr<Filter> before = ports_[i]->filter();
    status = ports_[i]->use_filter(std::move(made[i]));
    made[i] = std::move(before);  // to be put back, should a later one fail
    if (status.ok()) continue;
    for (size_t done = 0; done < i; done++) ports_[done]->use_filter(std::move(made[done]));
    return status;
  }
  const std::lock_guard lock(mutex_);
  filter_ = text;
  return {};
}

void LiveCapture::tend_all() {
  const std::string text = filter();
  const FlowLimits part = share(0);
  for (auto& port : ports_) port->tend(links_.named(port->options().name), text, part);
}

void LiveCapture::keep() {
  while (!stop_.load(std::memory_order_relaxed)) {
    const bool moving = std::any_of(ports_.begin(), ports_.end(), [](const auto& port) { return port->moving(); });
    pollfd waiting[] = {{links_.fd(), POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    poll(waiting, 2, moving ? kMovingMs : kLookMs);
    uint64_t woken = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &woken, sizeof woken);
    links_.read([this] { tend_all(); });

    std::deque<Change> changes;
    {
      const std::lock_guard lock(mutex_);
      changes.swap(changes_);
    }
    for (Change& change : changes) change.make();
    if (limits_changed_.exchange(false, std::memory_order_acquire)) share_out();
    tend_all();

    const size_t before = leaving_.size();
    std::erase_if(leaving_, [](const auto& entry) {
      const auto& [port, answer] = entry;
      // One that was added again meanwhile has let its old members go, too, or is about to.
      if (!port->removed() && !(port->wanted() && !port->moving())) return false;
      answer({});
      return true;
    });
    if (leaving_.size() != before) share_out();
    blinds_.flush(clock_.now());
    live_files_.tidy();
  }
  end();
}

void LiveCapture::end() {
  for (auto& port : ports_) port->close_doors();
  for (auto& port : ports_) port->end_members();
  blinds_.finish(clock_.now());
  std::deque<Change> refused;
  {
    const std::lock_guard lock(mutex_);
    ended_already_ = true;
    refused.swap(changes_);
  }
  for (Change& change : refused) change.refuse({"CAPTURE_FAILED", "it has ended"});
  for (auto& [port, answer] : leaving_) answer({});
  done_(snapshot());
}

LiveSnapshot LiveCapture::snapshot() {
  LiveSnapshot out;
  out.ebpf = program_.fd() >= 0;
  out.waited_ns = outbox_.waited_ns();
  out.spilled = outbox_.spilled();
  const RunClock::Steps steps = clock_.steps();
  out.clock_steps = steps.count;
  out.clock_step_ns = steps.sum_ns;
  out.blinds_dropped = blinds_.dropped();
  out.links_dropped = latest_.forgotten();
  const std::lock_guard lock(mutex_);
  out.limits = limits_;
  out.filter = filter_;
  for (auto& port : ports_) out.ports.push_back(port->row(out.members, out.all));
  out.all.flows.links_dropped += latest_.forgotten();
  return out;
}

EngineProgress LiveCapture::progress() {
  const LiveSnapshot now = snapshot();
  const PortCounts& all = now.all.counts;
  return {all.bytes, 0, all.ledger.counts.delivered, now.all.flows.flows, now.all.lost};
}

}  // namespace tapline
