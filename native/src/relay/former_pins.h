// Pins of other layouts, beside ours: what a relay of another version left attached. Its maps are of no use to us; its
// programs go on until ours have the same rules, and then give way between two packets. Enters: our folder. Leaves:
// links to be taken over; and at the end nothing.
#pragma once
#include <string>
#include <vector>

#include "relay/links.h"

namespace tapline::relay {

class FormerPins {
 public:
  /// RELAY_PINS when the relay that made them still runs.
  Status find(const std::string& pins);
  bool holds(const PortName& port) const { return links_.contains(port); }
  bool any() const noexcept { return !folders_.empty(); }
  Links& links() noexcept { return links_; }
  /// It is pinned elsewhere now.
  void forget(const std::string& pin);
  /// What was not taken over ends.
  void remove(uint32_t handle);

 private:
  struct Folder {
    std::string path;
    Descriptor lock;
  };
  std::vector<Folder> folders_;
  Links links_;
};

}  // namespace tapline::relay
