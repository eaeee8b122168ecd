#include "generate/generate.h"

#include <cmath>
#include <memory>
#include <new>
#include <vector>

#include "generate/capture_writer.h"
#include "generate/delayed.h"
#include "generate/flow.h"
#include "generate/frame.h"
#include "generate/random.h"
#include "generate/truth.h"

namespace tapline {

using namespace generation;

namespace {

constexpr uint64_t kMaxFlows = 1u << 24;
constexpr uint32_t kMaxRun = 200;  // of drops: far below a jump of 3,000, and with the delays far inside the window
constexpr double kSpacing = 30;    // seconds a flow may be silent by plan; an observer forgets it after 60
constexpr double kIdle = 58;
constexpr double kDelay = 0.9;  // seconds a packet may be late; an observer waits 2
constexpr uint64_t kEapolEvery = 512;

uint64_t billionths(double share) noexcept { return static_cast<uint64_t>(std::llround(share * 1e9)); }

/// What is wrong with the options, in words; empty when nothing is.
std::string objection(const GenerateOptions& o) {
  const auto within = [](double value, double low, double high) { return value >= low && value <= high; };
  if (o.packets == 0) return "packets must be at least 1";
  if (o.flows == 0 || o.flows > kMaxFlows) return "flows must be 1 to 16777216";
  if (!within(o.loss, 0, 0.9)) return "loss must be 0 to 0.9";
  if (!within(o.reorder, 0, 0.5)) return "reorder must be 0 to 0.5";
  if (!within(o.duplicate, 0, 1)) return "duplicate must be 0 to 1";
  if (o.min_size > o.max_size) return "the smallest size is above the largest";
  if (o.max_size > CaptureWriter::kMaxFrame) return "sizes must be at most 65535";
  if (!within(o.pps, 0.001, 1e9)) return "pps must be 0.001 to 1000000000";
  if (o.start_ns < 0 || static_cast<double>(o.start_ns) / 1e9 + static_cast<double>(o.packets) / o.pps > 4294967295.0) {
    return "the capture's times must lie between 1970 and 2106";
  }
  if (o.path == o.truth_path) return "capture and truth are the same file";
  return "";
}

/// Capture time: packet i is due at start + i / pps, a little later by chance, never before the one before it.
class Clock {
 public:
  explicit Clock(const GenerateOptions& options)
      : now_(static_cast<uint64_t>(options.start_ns)), per_(static_cast<uint64_t>(std::llround(options.pps * 1000))) {
    constexpr uint64_t kUnit = 1000000000000;  // ns per second, times the 1000 of per_
    step_ = kUnit / per_;
    over_ = kUnit % per_;
  }
  uint64_t tick(Random& random) noexcept {
    const uint64_t time = now_ + (first_ ? 0 : random.below(step_ / 4 + 1));
    first_ = false;
    now_ += step_;
    rest_ += over_;
    if (rest_ >= per_) {
      rest_ -= per_;
      ++now_;
    }
    return time;
  }

 private:
  uint64_t now_, per_, step_, over_, rest_ = 0;
  bool first_ = true;
};

/// The work goes by slots: each writes exactly one packet, a fresh one of some flow or one that was delayed. Drops take
/// no slot.
class Generator {
 public:
  explicit Generator(const GenerateOptions& options)
      : options_(options), random_(options.seed), clock_(options), end_(options.packets) {}

  GenerateResult run(std::atomic<uint64_t>& made, const std::atomic<bool>& stop);

 private:
  [[nodiscard]] bool plan();
  void slots(std::atomic<uint64_t>& made, const std::atomic<bool>& stop);
  uint32_t sweep() noexcept;
  void serve(uint32_t flow);
  void fresh(uint32_t flow);
  void write_delayed(uint32_t id);
  void write_mka();
  void write(uint32_t flow, uint32_t association, uint64_t number, uint32_t sequence, uint32_t acknowledged, bool copy);
  uint64_t take(uint32_t flow, uint32_t& sequence);
  uint32_t drop_run() noexcept;
  void delay(uint32_t flow, uint64_t number, uint32_t sequence, uint32_t acknowledged, uint64_t positions, bool copy);
  bool may_delay() const noexcept;
  uint32_t begin(uint32_t flow, bool first);
  void rekey(uint32_t flow);
  void finish(uint32_t association);
  uint32_t acknowledged(uint32_t flow) const noexcept;
  void fail(const char* code, OutputFile& file);

  const GenerateOptions& options_;
  Random random_;
  Clock clock_;
  CaptureWriter capture_;
  Truth truth_;
  FrameBuilder frames_;
  DelayedPackets delayed_;
  std::unique_ptr<Flow[]> flows_;
  std::vector<Association> associations_;
  std::vector<uint32_t> spare_;
  GenerateResult result_;

  uint64_t slot_ = 0;
  uint64_t end_;
  uint64_t unswept_ = 0;      ///< flows that the first sweep has still to visit
  uint64_t at_ = 0;           ///< where the sweep stands
  uint64_t since_sweep_ = 0;  ///< slots
  uint64_t sweep_every_ = 4;
  uint64_t wait_slots_ = 0;  ///< how long a packet may be delayed; 0: not at all
  uint64_t idle_slots_ = ~0ull;
  uint64_t keys_ = 0;  ///< SPIs given out
  uint64_t drop_limit_ = 0;
  uint64_t delay_limit_ = 0;
  uint64_t copy_limit_ = 0;
};

/// False when flows would be silent for so long that an observer forgets them.
bool Generator::plan() {
  const uint64_t loss = billionths(options_.loss);
  const uint64_t reorder = billionths(options_.reorder);
  const uint64_t duplicate = billionths(options_.duplicate);
  constexpr uint64_t kOne = 1000000000;
  // A loss takes 4 numbers on average, and before each packet there are q / (1 − q) losses: q = loss / (4 − 3 loss).
  drop_limit_ = threshold(loss, 4 * kOne - 3 * loss);
  // Only the first of a slot's numbers may be delayed, and the one that overtakes it is not copied.
  delay_limit_ = threshold(reorder, kOne - reorder);
  copy_limit_ = threshold(duplicate, kOne - reorder);

  const double pps = options_.pps;
  const auto flows = static_cast<double>(options_.flows);
  wait_slots_ = static_cast<uint64_t>(kDelay * pps);
  if (static_cast<double>(options_.packets) / pps > kIdle && options_.packets > options_.flows) {
    const double per_visit = (1 + options_.duplicate) / (1 - options_.reorder);  // slots
    const double visits = kSpacing * pps / (flows * per_visit);
    if (visits < 1) return false;
    if (visits < 4) sweep_every_ = static_cast<uint64_t>(visits);
    idle_slots_ = static_cast<uint64_t>(kIdle * pps);
  }
  unswept_ = options_.packets < options_.flows ? options_.packets : options_.flows;
  return true;
}

GenerateResult Generator::run(std::atomic<uint64_t>& made, const std::atomic<bool>& stop) {
  made.store(0, std::memory_order_relaxed);
  result_.detail = objection(options_);
  if (!result_.detail.empty()) {
    result_.code = "GENERATE_BAD_OPTION";
    return result_;
  }
  if (!plan()) {
    result_.code = "GENERATE_TOO_SLOW";
    result_.detail = std::to_string(options_.flows) + " flows";
    return result_;
  }
  flows_.reset(new (std::nothrow) Flow[options_.flows]);
  if (!flows_ || !frames_.init(options_)) {
    result_.code = "OUT_OF_MEMORY";
    result_.detail = std::to_string(options_.flows) + " flows";
    return result_;
  }
  for (uint64_t i = 0; i < options_.flows; ++i) make_flow(options_, i, flows_[i]);
  associations_.reserve(options_.flows + 16);
  if (!capture_.open(options_.path, options_.pcapng, options_.nanosecond)) {
    fail("FILE_WRITE_FAILED", capture_.file());
  } else if (!truth_.open(options_)) {
    fail("FILE_WRITE_FAILED", truth_.file());
  }
  if (result_.ok()) slots(made, stop);
  if (!result_.ok()) return result_;

  for (uint64_t i = 0; i < options_.flows; ++i) {
    if (flows_[i].association != kNone) finish(flows_[i].association);
  }
  if (!capture_.file().close()) {
    fail("FILE_WRITE_FAILED", capture_.file());
  } else if (!truth_.close(result_.complete)) {
    fail("FILE_WRITE_FAILED", truth_.file());
  }
  result_.packets = truth_.all().packets;
  result_.bytes = truth_.all().bytes;
  result_.flows = truth_.all().flows;
  result_.lost = truth_.all().lost;
  return result_;
}

void Generator::fail(const char* code, OutputFile& file) {
  result_.code = code;
  result_.path = file.path();
  result_.detail = file.problem();
}

void Generator::slots(std::atomic<uint64_t>& made, const std::atomic<bool>& stop) {
  result_.complete = true;
  for (; slot_ < end_ && result_.ok(); ++slot_) {
    if (slot_ % 1024 == 0) {
      made.store(slot_, std::memory_order_relaxed);
      if (result_.complete && stop.load(std::memory_order_relaxed)) {
        // What is delayed still has to come: the truth counts on it.
        result_.complete = false;
        unswept_ = 0;
        end_ = slot_ + delayed_.count();
        if (slot_ == end_) break;
      }
    }
    ++since_sweep_;
    const uint64_t left = end_ - slot_;
    const uint64_t owed = unswept_ + delayed_.count();
    const uint32_t oldest = delayed_.oldest();
    if (oldest != kNone && (delayed_.at(oldest).deadline <= slot_ || left <= owed)) {
      write_delayed(oldest);
    } else if (left <= owed) {
      serve(sweep());
    } else if (options_.protocol == TrafficKind::kMixed && slot_ % kEapolEvery == 37) {
      write_mka();
    } else if (since_sweep_ >= sweep_every_ || (unswept_ != 0 && random_.below(left) < unswept_)) {
      serve(sweep());
    } else {
      serve(static_cast<uint32_t>(random_.below(options_.flows)));
    }
  }
  made.store(slot_, std::memory_order_relaxed);
}

/// Flows are chosen at random, but now and then in turn: none is left out, and none is silent for long.
uint32_t Generator::sweep() noexcept {
  since_sweep_ = 0;
  if (unswept_ != 0) --unswept_;
  const auto flow = static_cast<uint32_t>(at_);
  if (++at_ == options_.flows) at_ = 0;
  return flow;
}

void Generator::serve(uint32_t index) {
  const Flow& flow = flows_[index];
  const uint32_t due = flow.delayed == kNone ? kNone : delayed_.due(flow, associations_[flow.association]);
  if (due != kNone) {
    write_delayed(due);
  } else {
    fresh(index);
  }
}

bool Generator::may_delay() const noexcept {
  return wait_slots_ != 0 && end_ - slot_ - 1 > unswept_ + delayed_.count();
}

void Generator::fresh(uint32_t index) {
  Flow& flow = flows_[index];
  uint32_t sequence = 0;
  uint64_t number = take(index, sequence);
  const Association& association = associations_[flow.association];
  // A flow that shall wrap begins with its first number: seen first after the wrap, it would be a different flow to an
  // observer.
  const bool settled = !association.wraps || association.packets != 0;
  if (settled && random_.chance(delay_limit_) && may_delay()) {
    delay(index, number, sequence, acknowledged(index), 1 + random_.below(8), false);
    number = take(index, sequence);
    write(index, flow.association, number, sequence, acknowledged(index), false);
    return;
  }
  const uint32_t seen = acknowledged(index);
  const bool copy = random_.chance(copy_limit_) && may_delay();
  if (copy) delay(index, number, sequence, seen, 1 + random_.below(5), true);
  write(index, flow.association, number, sequence, seen, false);
}

void Generator::write_delayed(uint32_t id) {
  const uint32_t index = delayed_.at(id).flow;
  Flow& flow = flows_[index];
  const Delayed packet = delayed_.remove(id, flow);
  Association& association = associations_[packet.association];
  --association.outstanding;
  if (!packet.copy && random_.chance(copy_limit_) && may_delay()) {
    Delayed copy = packet;
    copy.copy = true;
    copy.position = flow.written + 1 + random_.below(5);
    copy.deadline = slot_ + wait_slots_;
    delayed_.add(copy, flow);
    ++association.outstanding;
  }
  write(index, packet.association, packet.number, packet.sequence, packet.acknowledged, packet.copy);
  if (association.rekeyed && association.outstanding == 0) finish(packet.association);
}

void Generator::write_mka() {
  const uint64_t draw = random_.next();
  uint64_t index = random_.below(options_.flows);
  while (flows_[index].kind != Kind::kMacsec) index = index == 0 ? 0 : index - 1;  // flow 0 of a mixed file is MACsec
  uint8_t* out = capture_.frame();
  if (out == nullptr) return fail("FILE_WRITE_FAILED", capture_.file());
  const uint32_t length = frames_.build_mka(flows_[index], draw, out);
  capture_.commit(length, clock_.tick(random_));
  truth_.add_eapol(length);
}

void Generator::write(uint32_t index, uint32_t which, uint64_t number, uint32_t sequence, uint32_t acknowledged,
                      bool copy) {
  Flow& flow = flows_[index];
  Association& association = associations_[which];
  const uint64_t packet = slot_ + 1;
  if (association.packets != 0 && packet - association.last_packet > idle_slots_ && !association.rekeyed) {
    result_.code = "GENERATE_TOO_SLOW";
    result_.detail = std::to_string(options_.flows) + " flows";
    return;
  }
  uint8_t* out = capture_.frame();
  if (out == nullptr) return fail("FILE_WRITE_FAILED", capture_.file());
  const uint32_t length = frames_.build(flow, association, number, sequence, acknowledged, out);
  capture_.commit(length, clock_.tick(random_));
  if (association.packets == 0) {
    association.previous = flow.latest;
    flow.latest = packet;
  }
  association.deliver(number, copy, packet, length);
  ++flow.written;
}

/// The next number that is not dropped, in whatever association it falls.
uint64_t Generator::take(uint32_t index, uint32_t& sequence) {
  Flow& flow = flows_[index];
  if (flow.association == kNone) flow.association = begin(index, true);
  for (;;) {
    Association& association = associations_[flow.association];
    uint32_t run = association.wraps && !association.taken ? 0 : drop_run();
    const bool ends = options_.rekey != 0 && flow.numbered() && (flow.kind != Kind::kMacsec || flow.rekeys < 3);
    if (ends && association.sent() + run >= options_.rekey) {
      association.next = association.start + options_.rekey;  // dropped at the end, where nobody can see it
      rekey(index);
      continue;
    }
    if (flow.kind == Kind::kTcp) {
      for (uint64_t i = 0; i <= run; ++i) {
        sequence = flow.tcp_next;
        flow.tcp_next += frames_.length(flow, association, association.next + i) - flow.header_length;
      }
    }
    return association.take(run);
  }
}

uint32_t Generator::drop_run() noexcept {
  constexpr uint64_t kSingle = 3006477107;  // 70 % of 2^32
  uint32_t run = 0;
  while (run < kMaxRun && random_.chance(drop_limit_)) {
    run += random_.chance(kSingle) ? 1 : 2 + static_cast<uint32_t>(random_.below(19));
  }
  return run < kMaxRun ? run : kMaxRun;
}

void Generator::delay(uint32_t index, uint64_t number, uint32_t sequence, uint32_t acknowledged, uint64_t positions,
                      bool copy) {
  Flow& flow = flows_[index];
  Delayed packet{};
  packet.number = number;
  packet.position = flow.written + positions;
  packet.deadline = slot_ + wait_slots_;
  packet.flow = index;
  packet.association = flow.association;
  packet.sequence = sequence;
  packet.acknowledged = acknowledged;
  packet.copy = copy;
  delayed_.add(packet, flow);
  ++associations_[flow.association].outstanding;
}

uint32_t Generator::begin(uint32_t index, bool first) {
  const Flow& flow = flows_[index];
  Association association{};
  association.flow = index;
  association.salt = random_.next();
  association.number = flow.association_number;
  association.start = 1;
  if (flow.kind == Kind::kEsp || flow.kind == Kind::kNatTEsp || flow.kind == Kind::kAh) {
    do {
      association.spi = scatter(static_cast<uint32_t>(keys_++), 32, options_.seed);
    } while (association.spi < 256);  // reserved, RFC 4303
  }
  if (first && flow.numbered()) {
    const bool wraps = (flow.kind == Kind::kMacsec ? options_.xpn : options_.esn) && random_.below(3) == 0;
    if (wraps) {
      uint64_t share = options_.packets / options_.flows;
      if (options_.rekey != 0 && share > options_.rekey) share = options_.rekey;
      if (share > 1u << 20) share = 1u << 20;
      association.wraps = true;
      association.start = (1ull << 32) - 1 - random_.below(share / 2 + 1);
    } else if (random_.below(4) == 0) {
      association.start = 1 + random_.below(1u << 31);  // the capture began while it was under way
    }
  }
  association.next = association.start;
  if (spare_.empty()) {
    associations_.push_back(association);
    return static_cast<uint32_t>(associations_.size() - 1);
  }
  const uint32_t id = spare_.back();
  spare_.pop_back();
  associations_[id] = association;
  return id;
}

void Generator::rekey(uint32_t index) {
  Flow& flow = flows_[index];
  const uint32_t old = flow.association;
  associations_[old].rekeyed = true;
  flow.association_number = (flow.association_number + 1) & 3;
  ++flow.rekeys;
  flow.association = begin(index, false);
  if (associations_[old].outstanding == 0) finish(old);
}

/// Nothing more comes of it.
void Generator::finish(uint32_t id) {
  truth_.add(flows_[associations_[id].flow], associations_[id]);
  spare_.push_back(id);
}

uint32_t Generator::acknowledged(uint32_t index) const noexcept {
  const uint32_t peer = index ^ 1;
  return peer < options_.flows ? flows_[peer].tcp_next : 0;
}

}  // namespace

GenerateResult generate(const GenerateOptions& options, std::atomic<uint64_t>& made, const std::atomic<bool>& stop) {
  return Generator(options).run(made, stop);
}

}  // namespace tapline
