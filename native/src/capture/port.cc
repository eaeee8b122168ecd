#include "capture/port.h"

#include <net/if_arp.h>
#include <time.h>

#include <algorithm>
#include <utility>

namespace tapline {

namespace {
constexpr uint16_t kEthernet = 1;
constexpr int64_t kTryAgainNs = 1'000'000'000;

BlindReason reason_of(PortState state) noexcept {
  if (state == PortState::Down) return BlindReason::Down;
  return state == PortState::Removed ? BlindReason::Removed : BlindReason::Gone;
}
}  // namespace

Port::Port(size_t position, const PortOptions& options, PortSurroundings& around)
    : position_(position), around_(around), options_(options), since_(around.members.clock.now()) {
  around_.members.blinds.begin(position_, BlindReason::Start, since_);
}

CaptureStatus Port::placeable(const PortOptions& options, unsigned threads) {
  if (!options.cpus.empty() && options.cpus.size() != threads) {
    return {"CAPTURE_BAD_PLACEMENT",
            std::to_string(options.cpus.size()) + " CPUs for " + std::to_string(threads) + " threads"};
  }
  std::string wrong = misplaced(kAnywhere, options.node);
  for (const int cpu : options.cpus) {
    if (wrong.empty()) wrong = misplaced(cpu, kAnywhere);
  }
  return wrong.empty() ? CaptureStatus{} : CaptureStatus{"CAPTURE_BAD_PLACEMENT", wrong};
}

void Port::become(PortState state) {
  const int64_t now = around_.members.clock.now();
  const std::lock_guard lock(mutex_);
  if (state == PortState::Watching) {
    around_.members.blinds.end(position_, now);
  } else {
    around_.members.blinds.begin(position_, reason_of(state), now);
  }
  if (state == state_) return;
  state_ = state;
  since_ = now;
}

void Port::note_problem(const CaptureStatus& status) {
  const std::lock_guard lock(mutex_);
  problem_ = status;
}

bool Port::all(bool (Member::*is)() const noexcept) const noexcept {
  return std::all_of(members_.begin(), members_.end(), [is](const auto& member) { return (*member.*is)(); });
}

void Port::tend(const Link* link, const std::string& filter, const FlowLimits& share) {
  if (!wanted_) become(PortState::Removed);
  if (leaving_) {
    if (!all(&Member::away)) return;
    leaving_ = false;
    close_rings();
  }
  if (retiring_ && !end_step()) return;
  if (!wanted_) return;

  if (index_ != 0) {
    if (!link || link->index != index_ || members_.front()->ring().interface_index() != index_) {
      become(PortState::Absent);
      leave();
    } else if (!link->up) {
      become(PortState::Down);
    } else {
      auto made = std::make_shared<Filter>();
      if (!filter_ && made->compile(options_.name, filter).ok()) use_filter(std::move(made));
      if (filter_) become(PortState::Watching);
    }
    return;
  }
  if (!link || !link->up) {
    tried_ = 0;
    note_problem({});
    become(link ? PortState::Down : PortState::Absent);
    return;
  }
  const int64_t now = RunClock::steady_ns();
  if (link->index == tried_ && now - tried_at_ < kTryAgainNs) return;
  const CaptureStatus status = open(link, filter, share);
  note_problem(status);
  if (status.ok()) return;
  tried_ = link->index;
  tried_at_ = now;
  become(PortState::Absent);
}

CaptureStatus Port::open(const Link* link, const std::string& filter, const FlowLimits& share) {
  if (!link) return {"INTERFACE_NOT_FOUND", ""};
  if (!link->up) return {"INTERFACE_DOWN", "it is not set up"};
  if (link->type != ARPHRD_ETHER && link->type != ARPHRD_LOOPBACK)
    return {"CAPTURE_NOT_ETHERNET", std::to_string(link->type)};
  auto made = std::make_shared<Filter>();
  CaptureStatus status = made->compile(options_.name, filter);
  if (status.ok()) status = add_members(share);
  if (status.ok()) status = open_rings(link->index, *made);
  if (!status.ok()) {
    close_rings();
    return status;
  }
  index_ = link->index;
  filter_ = std::move(made);
  {
    const std::lock_guard lock(mutex_);
    ring_locked_ = true;
    for (auto& member : members_) {
      ring_bytes_ += member->ring().bytes();
      ring_locked_ = ring_locked_ && member->ring().locked();
    }
  }
  for (auto& member : members_) member->watch();
  become(PortState::Watching);
  return {};
}

/// All members join before any of them lets a frame in: none sees what is another's.
CaptureStatus Port::open_rings(unsigned index, const Filter& filter) {
  RingOptions options = around_.ring;
  options.node = options_.node;
  uint16_t group = 0;
  CaptureStatus status;
  for (auto& member : members_) {
    const bool first = group == 0;
    const int program = around_.program.fd();
    if (status.ok()) status = member->ring().open(index, options);
    if (status.ok()) status = member->ring().join(group, options.outgoing, program >= 0);
    if (status.ok() && first) status = member->ring().spread(program);
  }
  for (auto& member : members_) {
    if (status.ok()) status = member->ring().start(filter.program());
  }
  return status;
}

void Port::close_rings() {
  for (auto& member : members_) member->ring().close();
  index_ = 0;
  filter_ = nullptr;
  const std::lock_guard lock(mutex_);
  ring_bytes_ = 0;
}

CaptureStatus Port::add_members(const FlowLimits& share) {
  if (!members_.empty()) return {};
  std::vector<std::unique_ptr<Member>> made;
  CaptureStatus status;
  for (unsigned i = 0; i < around_.threads && status.ok(); i++) {
    const unsigned number = around_.numbers.take();
    if (number == kMembers) {
      status = {"CAPTURE_TOO_MANY", "all " + std::to_string(kMembers) + " threads are at work"};
      break;
    }
    const Member::Place place{position_, number, around_.numbers.frames_before(number),
                              options_.cpus.empty() ? kAnywhere : options_.cpus[i]};
    made.push_back(std::make_unique<Member>(place, share, around_.members));
    if (!made.back()->allocated()) status = {"OUT_OF_MEMORY", "the flow table could not be reserved"};
  }
  if (!status.ok()) {
    for (auto& member : made) around_.numbers.give(member->place().number, member->place().frames_before);
    return status;
  }
  const std::lock_guard lock(mutex_);
  members_ = std::move(made);
  if (running_) {
    for (auto& member : members_) member->start();
  }
  return {};
}

void Port::start_threads() {
  running_ = true;
  for (auto& member : members_) member->start();
}

void Port::leave() {
  for (auto& member : members_) member->drain();
  leaving_ = true;
}

/// One step towards having no members; true when there are none.
bool Port::end_step() {
  if (index_ != 0) {
    leave();
  } else if (!ending_ && !members_.empty()) {
    for (auto& member : members_) member->end();
    ending_ = true;
  } else if (all(&Member::ended)) {
    drop_members();
    ending_ = retiring_ = false;
  }
  return !retiring_;
}

/// They have ended: their counts stay with the port, their numbers are free, their live files go once all is stored.
void Port::drop_members() {
  for (auto& member : members_) {
    member->join();
    around_.numbers.give(member->place().number, member->frames());
    if (member->live_file() >= 0) around_.members.live_files.leave(static_cast<unsigned>(member->live_file()));
  }
  // At one stroke: whoever reads meanwhile counts none twice.
  const std::lock_guard lock(mutex_);
  for (auto& member : members_) past_ += member->figures();
  members_.clear();
}

void Port::add(const PortOptions& options) {
  const std::lock_guard lock(mutex_);
  options_ = options;
  wanted_ = true;
  tried_ = 0;
}

void Port::remove() {
  wanted_ = false;
  retiring_ = true;
}

void Port::set_limits(const FlowLimits& share) noexcept {
  for (auto& member : members_) member->set_limits(share);
}

CaptureStatus Port::make_filter(const std::string& text, std::shared_ptr<Filter>& made) const {
  made = nullptr;
  if (index_ == 0 || leaving_ || state_ != PortState::Watching) return {};
  auto filter = std::make_shared<Filter>();
  CaptureStatus status = filter->compile(options_.name, text);
  if (status.ok()) made = std::move(filter);
  return status;
}

CaptureStatus Port::use_filter(std::shared_ptr<Filter> made) {
  if (index_ == 0 || leaving_) return {};
  CaptureStatus status;
  for (auto& member : members_) {
    member->note_filter();
    if (!made) {
      member->ring().close_door();
    } else if (status.ok()) {
      status = member->ring().start(made->program());
    }
  }
  for (auto& member : members_) member->note_filter();
  if (status.ok()) {
    filter_ = std::move(made);
  } else {
    for (auto& member : members_) {
      if (filter_) member->ring().start(filter_->program());
    }
  }
  return status;
}

void Port::close_doors() {
  if (index_ != 0 && !leaving_) leave();
}

void Port::end_members() {
  for (auto& member : members_) {
    while (!ending_ && !member->away()) {
      const timespec pause{0, 1'000'000};
      nanosleep(&pause, nullptr);
    }
    if (!ending_) member->end();
  }
  for (auto& member : members_) {
    member->join();
  }
}

void Port::give_up() {
  end_members();
  drop_members();
}

PortRow Port::row(std::vector<MemberRow>& members, MemberFigures& sum) {
  const std::lock_guard lock(mutex_);
  MemberFigures own = past_;
  for (auto& member : members_) {
    own += member->figures();
    MemberRow& row = members.emplace_back(member->row());
    row.interface = options_.name;
    row.node_wanted = options_.node;
  }
  sum += own;
  PortRow out;
  out.counts = own.counts;
  out.counts.ledger.name = options_.name;
  out.counts.ledger.link_type = kEthernet;
  out.ring_bytes = ring_bytes_;
  out.ring_wanted = around_.ring.bytes() * around_.threads;
  out.ring_locked = ring_locked_;
  out.state = state_;
  out.since = since_;
  out.problem = problem_;
  return out;
}

}  // namespace tapline
