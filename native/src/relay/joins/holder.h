// The process that holds memberships while the agent comes and goes. Enters: over a UNIX socket, the whole set that is
// wanted, as often as the agent likes. Leaves: groups joined. When nobody was heard for `orphan_after` it leaves them
// all: traffic that nobody answers for is not called for ever.
//
// A question is lines; so is its answer, which ends with "end":
//   want N, then N lines of "INDEX GROUP SOURCE"   → failed INDEX GROUP SOURCE ERRNO …, then end HELD
//   ping                                           → end HELD
//   release                                        → end 0; leaves all, and the process ends
// Anything else ends the connection.
#pragma once
#include <cstdint>
#include <list>
#include <string>

#include "relay/joins/group_sockets.h"

namespace tapline::relay {

struct HolderOptions {
  std::string socket;
  uint64_t orphan_after_ms = 0;  ///< 0: never
};

class Holder {
 public:
  explicit Holder(HolderOptions options) : options_(std::move(options)) {}
  ~Holder();
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  /// Empty when it listens; else why not. Somebody who listens there already is left alone.
  [[nodiscard]] std::string open();
  /// Until told to end.
  void run();

 private:
  struct Client {
    int fd;
    std::string in, out;
    std::set<Membership> wanted;
    size_t expected = 0;  ///< lines of a set that are still to come
  };
  void accept_one();
  /// False: the connection ends.
  bool read_from(Client& client);
  bool line(Client& client, std::string_view text);
  void apply(Client& client);
  bool write_to(Client& client);

  HolderOptions options_;
  GroupSockets groups_;
  std::list<Client> clients_;
  int lock_ = -1, listener_ = -1, signals_ = -1;
  uint64_t heard_ms_ = 0;
  bool ending_ = false;
};

}  // namespace tapline::relay
