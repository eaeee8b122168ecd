#include "replay/analysis.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "flow/links.h"

namespace tapline {

namespace {
constexpr uint64_t kChunk = uint64_t{1} << 20;
constexpr uint64_t kPacedChunk = uint64_t{64} << 10;  // a stop or a slow pace should not wait for much
constexpr size_t kOutbox = 32;
constexpr int kPacedNice = -19;
constexpr int64_t kBeforeTime = std::numeric_limits<int64_t>::min();
/// Times lie between -2^60 and 2^62 ns. With a shift of at most this, no difference of two clocks overflows; beyond,
/// after some 73 years of passes, the clock stands still.
constexpr int64_t kMostShift = int64_t{1} << 61;
}  // namespace

std::unique_ptr<Analysis> Analysis::open(const AnalysisOptions& options, FileStatus& status) {
  auto file = CaptureFile::open(options.path.c_str(), status);
  if (!file) return nullptr;
  AnalysisOptions sound = options;
  sound.loop = std::max(1u, options.loop);
  std::unique_ptr<Analysis> analysis(new Analysis(sound, std::move(file)));
  for (const auto& table : analysis->tables_) {
    if (!table->allocated()) {
      status = FileStatus{"OUT_OF_MEMORY", 0, "the flow table could not be reserved"};
      return nullptr;
    }
  }
  return analysis;
}

Analysis::Analysis(const AnalysisOptions& options, std::unique_ptr<CaptureFile> file)
    : options_(options),
      threads_(options.paced() ? 1 : std::max(1u, options.threads)),
      chunk_bytes_(options.paced() ? kPacedChunk : kChunk),
      file_(std::move(file)),
      seed_(HashSeed::random()),
      outbox_(kOutbox),
      tallies_(threads_),
      pacer_(options.pps, options.speed),
      followed_(threads_),
      clock_(kBeforeTime) {
  FlowLimits share = options.limits;
  share.max_flows = std::max(1u, (share.max_flows + threads_ - 1) / threads_);
  for (unsigned i = 0; i < threads_; i++) tables_.push_back(std::make_unique<FlowTable>(share, outbox_));
  for (unsigned i = 0; i < 2 * threads_ + 1; i++) slots_.push_back(std::make_unique<Slot>(threads_));
  const uint64_t bytes = file_->size() - file_->first_record();
  per_pass_ = std::max<uint64_t>(1, (bytes + chunk_bytes_ - 1) / chunk_bytes_);
  expected_ = file_->first_record();
}

Analysis::~Analysis() {
  stop();
  outbox_.abandon();
  if (supervisor_.joinable()) supervisor_.join();
}

uint64_t Analysis::chunk_begin(uint64_t number) const noexcept {
  return file_->first_record() + (number % per_pass_) * chunk_bytes_;
}
uint64_t Analysis::chunk_end(uint64_t number) const noexcept {
  return std::min(file_->size(), chunk_begin(number) + chunk_bytes_);
}

void Analysis::start(std::function<void(const AnalysisResult&)> done) {
  supervisor_ = std::thread([this, done = std::move(done)] { supervise(done); });
}

void Analysis::supervise(const std::function<void(const AnalysisResult&)>& done) {
  started_ = std::chrono::steady_clock::now();
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads_; i++) others.emplace_back([this, i] { work(i); });
  work(0);
  for (auto& other : others) other.join();
  engine_ns_ = (std::chrono::steady_clock::now() - started_).count();
  done(result());
}

/// One thread's turn, again and again: follow what is confirmed, else read what is next, else wait.
void Analysis::work(unsigned thread) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (followed_[thread] < confirmed_) {
      Slot& next = slot(followed_[thread]);
      lock.unlock();
      if (options_.paced()) {
        follow_paced(next);
      } else {
        follow(thread, next);
      }
      lock.lock();
      followed_[thread]++;
      if (--next.followers == 0) {
        next.phase = Phase::kFree;
        moved_.notify_all();
      }
      continue;
    }
    if (ended_) break;
    if (stop_.load(std::memory_order_relaxed) && !confirming_) {
      ended_ = true;
      moved_.notify_all();
      continue;
    }
    if (claimed_ < per_pass_ * options_.loop && slot(claimed_).phase == Phase::kFree) {
      const uint64_t number = claimed_++;
      Slot& mine = slot(number);
      mine.phase = Phase::kReading;
      const unsigned version = version_;
      lock.unlock();
      mine.version = version;
      read(number, mine);
      lock.lock();
      mine.phase = Phase::kRead;
      confirm(lock);
      moved_.notify_all();
      continue;
    }
    moved_.wait(lock);
  }
  const int64_t clock = clock_;
  lock.unlock();
  tables_[thread]->finish(clock);
}

void Analysis::read(uint64_t number, Slot& slot) {
  std::shared_lock shared(interfaces_);
  Chunk& chunk = slot.chunk;
  chunk.clear();
  const uint64_t end = chunk_end(number);
  chunk.begin = chunk_begin(number);
  if (!chunk.touch(*file_, chunk.begin, end)) return;
  if (number % per_pass_ != 0) chunk.begin = file_->guess_boundary(chunk.begin, end);
  chunk.read(*file_, chunk.begin, end, seed_);
}

/// Confirms chunks in order, as far as they have been read. One thread at a time; the lock is let go for repairs.
void Analysis::confirm(std::unique_lock<std::mutex>& lock) {
  if (confirming_) return;
  confirming_ = true;
  while (!ended_ && confirmed_ < claimed_ && slot(confirmed_).phase == Phase::kRead) {
    const uint64_t number = confirmed_;
    Slot& next = slot(number);
    const uint64_t end = chunk_end(number);
    const bool right = next.chunk.begin == expected_ || (next.chunk.begin >= end && expected_ >= end);
    if (!right || next.version != version_) {
      read_again_++;
      const uint64_t from = expected_;
      lock.unlock();
      next.chunk.clear();
      read_rightly(next, from, end);
      lock.lock();
    }
    if (next.chunk.step == Step::kChanged) {
      const uint64_t from = next.chunk.reached;
      lock.unlock();
      read_rightly(next, from, end);
      lock.lock();
    }
    Chunk& chunk = next.chunk;
    if (frames_ == 0 && chunk.frames() > 0) first_time_ = chunk.times[0];
    next.first_frame = frames_;
    next.clock = clock_;
    next.shift = shift_;
    next.followers = threads_;
    frames_ += chunk.frames();
    time_reversed_ += chunk.behind(clock_, shift_);
    if (chunk.frames() > 0) clock_ = std::max(clock_, chunk.latest + shift_);
    if (totals_.size() < chunk.tally.size()) totals_.resize(chunk.tally.size());
    for (size_t i = 0; i < chunk.tally.size(); i++) totals_[i] += chunk.tally[i];
    const uint64_t reached = std::max(expected_, chunk.reached);
    bytes_read_.fetch_add(reached - expected_, std::memory_order_relaxed);
    expected_ = reached;
    packets_.store(frames_, std::memory_order_relaxed);
    next.phase = Phase::kConfirmed;
    confirmed_++;
    if (chunk.step == Step::kBroken) {
      status_ = chunk.status;
      ended_ = true;
    } else if (confirmed_ % per_pass_ == 0) {
      passes_++;
      if (passes_ == options_.loop) {
        ended_ = true;
      } else {
        start_pass(lock);
      }
    }
    moved_.notify_all();
  }
  confirming_ = false;
}

/// The file once more: time goes on where it stopped, one mean gap later; the interfaces are those of the beginning.
void Analysis::start_pass(std::unique_lock<std::mutex>& lock) {
  expected_ = file_->first_record();
  if (passes_ == 1 && frames_ > 0) {
    const int64_t lasted = std::min(clock_ - first_time_, kMostShift);
    pass_time_ = lasted + lasted / static_cast<int64_t>(std::max<uint64_t>(2, frames_) - 1);
  }
  shift_ = pass_time_ > kMostShift - shift_ ? kMostShift : shift_ + pass_time_;
  if (version_ == pass_version_) return;
  lock.unlock();
  {
    std::unique_lock alone(interfaces_);
    file_->rewind();
  }
  lock.lock();
  pass_version_ = ++version_;
}

/// Reads from a place known to be right, applying what changes the file's interfaces on the way.
void Analysis::read_rightly(Slot& slot, uint64_t from, uint64_t end) {
  for (;;) {
    if (slot.chunk.step == Step::kChanged) {
      std::unique_lock alone(interfaces_);
      const Step step = file_->apply_change(from, slot.chunk.status);
      {
        std::lock_guard lock(mutex_);
        version_++;
      }
      if (step == Step::kBroken) {
        slot.chunk.step = step;
        slot.chunk.reached = from;
        return;
      }
    }
    std::shared_lock shared(interfaces_);
    if (!slot.chunk.touch(*file_, from, end)) return;
    slot.chunk.read(*file_, from, end, seed_);
    if (slot.chunk.step != Step::kChanged) return;
    from = slot.chunk.reached;
  }
}

void Analysis::follow(unsigned thread, Slot& slot) {
  auto& tally = tallies_[thread];
  if (tally.size() < slot.chunk.tally.size()) tally.resize(slot.chunk.tally.size());
  tables_[thread]->follow(slot.chunk.parts[thread], slot.clock, slot.shift, slot.first_frame + 1, tally);
}

void Analysis::follow_paced(Slot& slot) {
  auto& tally = tallies_[0];
  if (tally.size() < slot.chunk.tally.size()) tally.resize(slot.chunk.tally.size());
  const std::vector<Packet>& packets = slot.chunk.parts[0];
  int64_t clock = slot.clock;
  size_t at = 0;
  if (slot.first_frame == 0) {
    outbox_.wait_for_reader();
    // Ahead of whoever else wants this CPU, where that is allowed: a packet's moment does not wait for a time slice.
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kPacedNice);
    prctl(PR_SET_TIMERSLACK, 1UL);
    started_ = std::chrono::steady_clock::now();
  }
  for (uint32_t i = 0; i < slot.chunk.frames(); i++) {
    clock = std::max(clock, slot.chunk.times[i] + slot.shift);
    // Once stopped, what is confirmed is followed without waiting: it is already in the ledger.
    pacer_.wait(slot.first_frame + i, clock, stop_);
    if (at < packets.size() && packets[at].ordinal == i) {
      tables_[0]->follow({&packets[at], 1}, slot.clock, slot.shift, slot.first_frame + 1, tally);
      at++;
    }
  }
}

EngineProgress Analysis::progress() const noexcept {
  EngineProgress p{bytes_read_.load(std::memory_order_relaxed), (file_->size() - file_->first_record()) * options_.loop,
                   packets_.load(std::memory_order_relaxed), 0, 0};
  for (const auto& table : tables_) {
    p.flows += table->live().flows.load(std::memory_order_relaxed);
    p.lost += table->live().lost.load(std::memory_order_relaxed);
  }
  return p;
}

/// After all threads have ended.
AnalysisResult Analysis::result() {
  AnalysisResult r;
  r.status = status_;
  r.complete = passes_ == options_.loop;
  r.pcapng = file_->pcapng();
  r.passes = passes_;
  r.threads = threads_;
  r.bytes_read = bytes_read_.load();
  r.packets = frames_;
  r.time_reversed = time_reversed_;
  r.chunks_read_again = read_again_;
  r.first_time = first_time_;
  r.last_time = frames_ ? clock_ : 0;
  r.engine_ns = engine_ns_;
  r.waited_ns = outbox_.waited_ns();

  std::vector<Association> all;
  for (const auto& table : tables_) {
    const FlowTable::Counts& c = table->counts();
    r.flows.flows += c.flows;
    r.flows.gaps += c.gaps;
    r.flows.cap_evictions += c.cap_evictions;
    r.flows.links_dropped += c.links_dropped;
    r.flows.peak += c.peak;
    r.tombstones_dropped += table->tombstones_dropped();
    r.settled_early += table->settled_early();
    all.insert(all.end(), table->associations().begin(), table->associations().end());
  }
  link_associations(std::move(all), outbox_);

  const auto& interfaces = file_->interfaces();
  for (size_t i = 0; i < interfaces.size(); i++) {
    InterfaceLedger row{interfaces[i].name, interfaces[i].link_type, {}, 0, 0, interfaces[i].capture_drops};
    if (i < totals_.size()) row.counts = totals_[i];
    for (const auto& tally : tallies_) {
      if (i >= tally.size()) continue;
      row.tracked += tally[i].tracked;
      row.invalid_number += tally[i].invalid_number;
    }
    r.ledger.push_back(std::move(row));
  }
  if (options_.paced()) {
    r.paced = true;
    r.late_p50 = pacer_.percentile(0.50);
    r.late_p99 = pacer_.percentile(0.99);
    r.late_max = pacer_.max();
  }
  return r;
}

}  // namespace tapline
