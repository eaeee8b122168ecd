// The network interfaces of this network namespace. Enters: rtnetlink's messages. Leaves: the list, kept up to date one
// change at a time, so that an interface that goes down and up again at once is seen to have done both.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "capture/ring.h"

namespace tapline {

struct Link {
  unsigned index = 0;
  std::string name;
  std::string mac;
  uint32_t mtu = 0;
  bool up = false;       ///< as it was set
  bool running = false;  ///< and has a carrier
  uint16_t type = 0;     ///< ARPHRD_…: what its frames begin with
  bool operator==(const Link&) const = default;
};

class LinkList {
 public:
  LinkList() = default;
  ~LinkList();
  LinkList(const LinkList&) = delete;
  LinkList& operator=(const LinkList&) = delete;

  /// Subscribes, and reads the list once.
  CaptureStatus open();
  int fd() const noexcept { return fd_; }
  /// Takes what has come; `changed` is called after each single change. When messages were lost the whole list is read
  /// again.
  void read(const std::function<void()>& changed);

  const std::map<unsigned, Link>& all() const noexcept { return links_; }
  const Link* named(const std::string& name) const noexcept;

 private:
  bool ask() noexcept;
  bool take(const void* messages, size_t length, const std::function<void()>& changed);

  int fd_ = -1;
  uint32_t listing_ = 0;  ///< number of the latest listing
  bool interrupted_ = false;
  bool listed_ = false;
  std::map<unsigned, Link> links_;
  std::map<unsigned, uint32_t> told_in_;  ///< by index: the listing in whose time it was last told of
};

}  // namespace tapline
