// Memberships, held by sockets that receive nothing. Enters: the set that is wanted. Leaves: the groups joined, as long
// as this object lives; and which could not be. The kernel lets one socket have few groups (20), and few sources in
// each (10), so there are as many sockets as it takes.
#pragma once
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "relay/joins/membership.h"

namespace tapline::relay {

class GroupSockets {
 public:
  GroupSockets() = default;
  ~GroupSockets();
  GroupSockets(const GroupSockets&) = delete;
  GroupSockets& operator=(const GroupSockets&) = delete;

  struct Refusal {
    Membership membership;
    int error;
  };
  /// Joins what is new, then leaves what is not wanted any longer; what stays is not touched. What could not be joined
  /// is told, and tried again when it is wanted again.
  std::vector<Refusal> want(const std::set<Membership>& wanted);
  size_t held() const noexcept { return held_.size(); }
  size_t sockets() const noexcept { return sockets_.size(); }

 private:
  using Group = std::pair<uint32_t, std::array<uint8_t, 16>>;
  struct Socket {
    int fd;
    uint8_t family;
    bool specific;
    std::map<Group, uint32_t> sources;  ///< how many of each group; of one that is not specific always one
  };
  int join(const Membership& membership);
  void leave(const Membership& membership);

  std::list<Socket> sockets_;
  std::map<Membership, Socket*> held_;
};

}  // namespace tapline::relay
