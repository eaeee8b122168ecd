// An interface in a capture, by its name. Enters: what rtnetlink says of that name, and what is wanted. Leaves: members
// that watch it while it is there and up; its row of figures, which stays when it is removed, so that no count is lost.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "capture/fanout.h"
#include "capture/filter.h"
#include "capture/link_list.h"
#include "capture/member.h"

namespace tapline {

struct PortOptions {
  std::string name;
  std::vector<int> cpus;  ///< one for each thread, or none: any
  int node = -1;          ///< NUMA node of the rings' memory; negative: any
  bool operator==(const PortOptions&) const = default;
};

/// What all ports of a capture share. Outlives them.
struct PortSurroundings {
  MemberSurroundings members;
  MemberNumbers& numbers;
  const FanoutProgram& program;
  RingOptions ring;
  unsigned threads;
};

class Port {
 public:
  Port(size_t position, const PortOptions& options, PortSurroundings& around);

  // By the keeper alone.
  /// What is impossible about its placement; ok when nothing is.
  static CaptureStatus placeable(const PortOptions& options, unsigned threads);
  /// Looks at its link, and does what follows from it. `filter` and `share` are for rings and tables it opens.
  void tend(const Link* link, const std::string& filter, const FlowLimits& share);
  /// Opens its rings and their doors now, or says why not.
  CaptureStatus open(const Link* link, const std::string& filter, const FlowLimits& share);
  /// Members there are, and those to come.
  void start_threads();
  void add(const PortOptions& options);
  void remove();
  void set_limits(const FlowLimits& share) noexcept;

  bool wanted() const noexcept { return wanted_; }
  /// Removed, and every flow of it is a record.
  bool removed() const noexcept { return !wanted_ && members_.empty(); }
  /// Something is under way that only time moves: look again soon.
  bool moving() const noexcept { return leaving_ || ending_; }
  const PortOptions& options() const noexcept { return options_; }
  size_t members() const noexcept { return members_.size(); }

  // A new filter, in two steps: made for all ports, then put on each.
  /// Made for the interface as it is; null when it is not watched, for then it will be made when it is.
  CaptureStatus make_filter(const std::string& text, std::shared_ptr<Filter>& made) const;
  /// On all its rings or on none. Null: closes the doors until it is watched again.
  CaptureStatus use_filter(std::shared_ptr<Filter> made);
  std::shared_ptr<Filter> filter() const { return filter_; }

  // The capture ends. Figures stay as they are.
  void close_doors();
  void end_members();
  /// It could not be opened and is wanted no more: its threads end, their numbers are free.
  void give_up();

  // From any thread.
  PortRow row(std::vector<MemberRow>& members, MemberFigures& all);

 private:
  bool all(bool (Member::*is)() const noexcept) const noexcept;
  CaptureStatus open_rings(unsigned index, const Filter& filter);
  CaptureStatus add_members(const FlowLimits& share);
  void drop_members();
  bool end_step();
  void leave();
  void close_rings();
  void become(PortState state);
  void note_problem(const CaptureStatus& status);

  const size_t position_;
  PortSurroundings& around_;
  PortOptions options_;
  bool wanted_ = true;
  bool retiring_ = false;  ///< was removed: its members are to end, even if it is wanted again
  bool leaving_ = false;   ///< members drain their rings
  bool ending_ = false;    ///< members make their last records
  bool running_ = false;   ///< members' threads
  unsigned index_ = 0;     ///< of the interface that the rings are on; 0: none
  unsigned tried_ = 0;     ///< opening that one failed
  int64_t tried_at_ = 0;
  std::shared_ptr<Filter> filter_;  ///< on the rings; null while the doors are closed until a new one is made
  std::vector<std::unique_ptr<Member>> members_;

  std::mutex mutex_;  ///< what others may see, and the list of members:
  PortState state_ = PortState::Absent;
  int64_t since_;
  CaptureStatus problem_;
  uint64_t ring_bytes_ = 0;
  bool ring_locked_ = true;
  MemberFigures past_;  ///< of members that have ended
};

}  // namespace tapline
