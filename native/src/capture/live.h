// The live capture: interfaces in, finished flows, gaps, blind times and the ledger out. Interfaces come and go while
// it runs; filter and limits change without a frame lost.
//   Member (member.h)  one thread: a ring, a flow table
//   Port (port.h)      an interface by its name: as many members as threads are wanted
//   LiveCapture        the ports, and the keeper: the one thread that opens, closes and changes them
#pragma once
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "capture/port.h"

namespace tapline {

struct LiveOptions {
  std::vector<PortOptions> ports;
  bool wait = false;     ///< for interfaces that are not there or not up yet; else that is an error
  unsigned threads = 1;  ///< for each interface
  std::string filter;
  RingOptions ring;
  FlowLimits limits{2'000'000'000, 60'000'000'000, 1u << 20};  ///< of the whole capture
};

struct LimitsChange {
  std::optional<int64_t> settle_ns, idle_ns;
  std::optional<uint32_t> max_flows, sample;
};

class LiveCapture {
 public:
  using Answer = std::function<void(const CaptureStatus&)>;

  static std::unique_ptr<LiveCapture> open(const LiveOptions& options, CaptureStatus& status);
  ~LiveCapture();

  /// Runs until stop(), then calls `done` from one of its threads, when every frame taken is in a record.
  void start(std::function<void(const LiveSnapshot&)> done);
  /// Closes the doors first, then takes what is still in the rings: no frame is seen and not delivered.
  void stop() noexcept;

  // Changes, made by the keeper in the order they were asked for. Answers come from its thread.
  /// Answered when it is watched, or waited for.
  void add(const PortOptions& port, Answer answer);
  /// Answered when all its flows are records.
  void remove(const std::string& name, Answer answer);
  /// On every ring, or an error and on none.
  void set_filter(const std::string& text, Answer answer);
  void set_limits(const LimitsChange& change);

  LiveSnapshot snapshot();
  EngineProgress progress();
  Outbox& outbox() noexcept { return outbox_; }

  /// From now on each member keeps its flows in a file of its own (flow/live_file.h), and results that do not fit into
  /// memory wait in one. Once.
  void keep_live(const LiveFlows& run) {
    live_files_.begin(run);
    outbox_.spill_beside(run.database);
  }

 private:
  explicit LiveCapture(const LiveOptions& options);
  void post(std::function<void()> change, Answer answer);
  void wake() noexcept;
  void keep();
  void end();
  void tend_all();
  void share_out();
  FlowLimits share(size_t more);
  size_t threads_wanted(size_t more) const noexcept;
  std::string filter();
  Port* find(const std::string& name) const noexcept;
  CaptureStatus admit(const PortOptions& options);
  CaptureStatus change_filter(const std::string& text);

  const LiveOptions options_;
  Outbox outbox_;
  LatestFlows latest_;
  LiveFiles live_files_;
  RunClock clock_;
  BlindLog blinds_;
  MemberNumbers numbers_;
  FanoutProgram program_;
  LinkList links_;
  PortSurroundings around_;
  int wake_fd_ = -1;
  bool running_ = false;
  std::function<void(const LiveSnapshot&)> done_;
  std::vector<std::pair<Port*, Answer>> leaving_;  ///< removals to be answered

  std::mutex mutex_;                          ///< what follows:
  std::vector<std::unique_ptr<Port>> ports_;  ///< grows only, by the keeper, who reads it unlocked
  FlowLimits limits_;
  std::string filter_;
  struct Change {
    std::function<void()> make;
    Answer refuse;
  };
  std::deque<Change> changes_;
  bool ended_already_ = false;

  std::thread keeper_;
  std::atomic<bool> limits_changed_{false};
  std::atomic<bool> stop_{false};
};

}  // namespace tapline
