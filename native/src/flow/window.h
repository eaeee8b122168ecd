// The sequence window of docs/semantics.md, exact and compact: a flow keeps only the runs of numbers that are missing
// in its window of 1,024 (RFC 6479 keeps a bit for each; the results are the same, and a flow in order needs nothing).
// Enters: a number and the clock. Leaves: counters, and a gap for each run of lost numbers.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

#include "flow/pool.h"

namespace tapline {

inline constexpr int64_t kWindow = 1024;
inline constexpr int64_t kFar = 3000;
inline constexpr int64_t kNear = 64;

struct Gap {
  int64_t first;
  int64_t last;
  int64_t noticed;
  int64_t confirmed;
  uint32_t segment;  ///< restarts of the flow before it
  bool jump;
  bool suspect;  ///< this sensor was blind between the packet before it and the one that showed it
};

/// Takes the gaps of one flow as they are confirmed.
class GapSink {
 public:
  virtual void gap(const Gap& gap) noexcept = 0;

 protected:
  ~GapSink() = default;
};

/// Consecutive numbers that were not seen. The first `lost` of them are counted lost, the rest are pending.
struct Run {
  int64_t first;
  uint32_t length;
  uint32_t lost : 31;
  uint32_t suspect : 1;  ///< noticed over a time in which this sensor was blind
  int64_t noticed;       ///< clock when a higher number showed that they are missing

  int64_t last() const noexcept { return first + length - 1; }
  bool pending() const noexcept { return lost < length; }
};
static_assert(sizeof(Run) == 24);

/// What few of the flows need that lost something: late and double numbers, jumps, restarts. Made when one has it.
struct Rarely {
  int64_t first_number;      ///< base of the first segment, once there was a restart
  uint64_t expected_before;  ///< numbers of earlier segments
  uint64_t duplicate;
  uint64_t reordered;
  uint64_t late;
  int64_t held;
  int64_t held_since;
  int64_t partly_lost;  ///< clock when the run across the window's lower edge last lost a number; there is one at most
  uint32_t jumps;
  uint32_t outliers;
  uint32_t restarts;
};

/// What a flow needs once it is not simply in order. `hi` lives in the table's hot line and is passed along. A million
/// flows that lost something each have one: 48 bytes.
struct Sequence {
  enum class Hold : uint8_t { kNone, kJump, kRestartAhead, kRestartBehind };

  int64_t base;
  uint64_t lost;
  uint64_t gaps;
  uint64_t run_count : 10;
  uint64_t run_class : 4;
  Hold hold : 2;
  bool held_blind : 1;  ///< this sensor was blind before the held number came
  bool base_fixed : 1;  ///< set by a tombstone: earlier numbers are late, not early
  int64_t oldest : 46;  ///< no pending run was noticed before it: in steps of 2^18 ns (0.26 ms), rounded down
  uint32_t runs;        ///< sorted by number; never adjacent
  uint32_t more;        ///< of Rarely; none while all of it is 0
  uint32_t min_gap;
  uint32_t max_gap;

  /// Nothing missing in the window and nothing held: the next number in order needs no attention.
  bool calm() const noexcept { return run_count == 0 && hold == Hold::kNone; }

  static constexpr int kStep = 18;
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max() >> kStep;
  /// Whether a run may have been pending for so long.
  bool settles(int64_t now, int64_t after) const noexcept {
    return oldest != kNever && now - (int64_t{oldest} << kStep) >= after;
  }
  void pending_since(int64_t noticed) noexcept { oldest = std::min<int64_t>(oldest, noticed >> kStep); }
};
static_assert(sizeof(Sequence) == 48);
static_assert(Pool<Run>::capacity(Pool<Run>::kClasses - 1) == kWindow / 2, "a window cannot hold more runs");

/// Where the windows of one thread keep what is missing.
struct WindowMemory {
  Pool<Run> runs;
  Pool<Rarely> rarely;

  /// `most_runs` is a limit that is lived with; `flows` is one that is never reached.
  WindowMemory(size_t most_runs, size_t flows) : runs(most_runs), rarely(flows) {}
  bool allocated() const noexcept { return runs.allocated() && rarely.allocated(); }
};

/// The rule, with its surroundings: how long to wait for a number, where what is missing lives, who takes the gaps.
class Window {
 public:
  Window(int64_t settle_ns, WindowMemory& memory) : settle_(settle_ns), memory_(memory) {}

  /// From now on; what is pending is judged by it, too.
  void settle_after(int64_t ns) noexcept { settle_ = ns; }

  static void begin(Sequence& s, int64_t base, bool fixed) noexcept;
  /// Step 3 of the rule: 0 counts only inside a wrap.
  static bool valid(int64_t hi, uint32_t number) noexcept;
  /// One packet's number at clock `now`; moves `hi`.
  /// `blind`: this sensor missed packets since the flow's last one.
  void arrive(Sequence& s, int64_t& hi, uint32_t number, int64_t now, GapSink& sink, bool blind = false) noexcept;
  /// Step 1 of the rule: what has been missing for long enough at `now` is lost. Each arrival does this first.
  void settle(Sequence& s, int64_t now, GapSink& sink) noexcept;
  /// The flow ended at `end`: resolves what is held and pending, returns the runs' memory. Its counters can be read
  /// until forget().
  void finish(Sequence& s, int64_t end, GapSink& sink) noexcept;
  /// Returns the memory of the counters.
  void forget(Sequence& s) noexcept;

  const Rarely& rarely(const Sequence& s) const noexcept { return s.more ? *memory_.rarely.at(s.more) : kNothing; }
  uint64_t pending(const Sequence& s) const noexcept;
  /// Numbers from the first to `hi`, over all segments.
  uint64_t expected(const Sequence& s, int64_t hi) const noexcept {
    return rarely(s).expected_before + static_cast<uint64_t>(hi - s.base + 1);
  }
  /// Packets that are not `unique`: counted otherwise, or still held.
  uint64_t not_unique(const Sequence& s) const noexcept {
    const Rarely& rare = rarely(s);
    return rare.duplicate + rare.late + rare.outliers + (s.hold == Sequence::Hold::kNone ? 0 : 1);
  }

  /// Numbers counted lost before their time because there was no room for runs.
  uint64_t settled_early() const noexcept { return settled_early_; }

 private:
  void near(Sequence& s, int64_t& hi, int64_t v, int64_t now, GapSink& sink) noexcept;
  bool confirmed(Sequence& s, int64_t& hi, uint32_t number, int64_t now, GapSink& sink) noexcept;
  void hold(Sequence& s, Sequence::Hold kind, int64_t number, int64_t now) noexcept;
  void release(Sequence& s) noexcept;
  Run* runs(const Sequence& s) noexcept { return memory_.runs.at(s.runs); }
  unsigned find(const Sequence& s, int64_t v) noexcept;
  Rarely& rare(Sequence& s) noexcept;
  void see(Sequence& s, unsigned at, int64_t v, int64_t now, GapSink& sink) noexcept;
  void miss(Sequence& s, unsigned at, const Run& run, int64_t now, GapSink& sink) noexcept;
  void lose_below(Sequence& s, int64_t low, int64_t now, GapSink& sink) noexcept;
  void lose(Sequence& s, Run& run, uint32_t upto, int64_t confirmed, GapSink& sink) noexcept;
  void end_segment(Sequence& s, int64_t end, GapSink& sink) noexcept;
  void report(Sequence& s, const Run& run, int64_t confirmed, bool jump, GapSink& sink) noexcept;
  bool make_room(Sequence& s) noexcept;
  void drop(Sequence& s, unsigned at) noexcept;

  Run missing(int64_t first, int64_t count, int64_t now) const noexcept {
    return {first, static_cast<uint32_t>(count), 0, blind_, now};
  }

  static constexpr Rarely kNothing{};
  int64_t settle_;
  WindowMemory& memory_;
  uint64_t settled_early_ = 0;
  bool blind_ = false;  ///< for the number that is arriving
};

}  // namespace tapline
