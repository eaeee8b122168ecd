// The MAC addresses of next hops. Enters: which neighbours are wanted, and the kernel's messages. Leaves: each one's
// MAC address when it is known, kept known by the kernel itself (NTF_EXT_MANAGED, Linux 5.16; where that is not
// understood it is asked for each time it was lost).
#pragma once
#include <map>
#include <optional>
#include <set>

#include "host/rtnetlink.h"
#include "relay/rules.h"

namespace tapline {

struct NeighbourKey {
  uint32_t ifindex = 0;
  uint8_t family = 4;
  std::array<uint8_t, 16> address{};
  auto operator<=>(const NeighbourKey&) const = default;
};

struct Neighbour {
  std::optional<relay::Mac> mac;  ///< when it is known
  bool fixed = false;             ///< somebody set it for good: nobody asks for it, and we do not touch it
  bool operator==(const Neighbour&) const = default;
};

class NeighbourList {
 public:
  NetlinkStatus open();
  int fd() const noexcept { return events_.fd(); }
  /// From now on these are looked after; others that were no longer.
  void want(const std::set<NeighbourKey>& wanted);
  /// Takes what has come. True: a wanted one has another MAC address, has one at last, or has none any longer.
  bool take();
  /// Asks again for those that are not known. For a timer: where the kernel does not manage them nobody else would.
  void nudge();
  const std::map<NeighbourKey, Neighbour>& all() const noexcept { return known_; }

 private:
  bool note(const RouteMessage& message);
  void list();
  void solicit(const NeighbourKey& key);
  void abandon(const NeighbourKey& key);

  RouteSocket events_, questions_;
  std::map<NeighbourKey, Neighbour> known_;  ///< of those that are wanted
};

}  // namespace tapline
