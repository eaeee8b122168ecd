// Questions to the kernel's routing tables. Enters: a message with attributes. Leaves: its answers, each cut at its own
// length; or what the kernel says against it.
#pragma once
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <functional>
#include <vector>

#include "host/netlink.h"

namespace tapline {

/// A message with a fixed part (rtmsg, ndmsg, ifaddrmsg), growing attribute by attribute.
class RouteRequest {
 public:
  template <typename Fixed>
  RouteRequest(uint16_t type, uint16_t flags, const Fixed& fixed) : RouteRequest(type, flags, &fixed, sizeof fixed) {}
  void put(uint16_t type, Bytes payload);
  void put(uint16_t type, uint32_t value) { put(type, Bytes(reinterpret_cast<const uint8_t*>(&value), sizeof value)); }
  void put(uint16_t type, uint8_t value) { put(type, Bytes(&value, 1)); }
  Bytes finish(uint32_t sequence) noexcept;

 private:
  RouteRequest(uint16_t type, uint16_t flags, const void* fixed, size_t length);
  std::vector<uint8_t> bytes_;
};

/// One message from the kernel. `fixed` and `attributes` point into the buffer it was read to.
struct RouteMessage {
  uint16_t type = 0;
  Bytes body;
  template <typename Fixed>
  bool read(Fixed& fixed, Bytes& attributes) const noexcept {
    constexpr size_t aligned = (sizeof(Fixed) + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1};
    if (body.size() < sizeof fixed) return false;
    std::memcpy(&fixed, body.data(), sizeof fixed);
    attributes = body.size() > aligned ? body.subspan(aligned) : Bytes{};
    return true;
  }
};
using RouteSeen = std::function<void(const RouteMessage&)>;

class RouteSocket {
 public:
  RouteSocket() = default;
  ~RouteSocket();
  RouteSocket(const RouteSocket&) = delete;
  RouteSocket& operator=(const RouteSocket&) = delete;

  /// `groups`: RTMGRP_… to be told of, on the same socket; then it does not block.
  NetlinkStatus open(uint32_t groups = 0);
  int fd() const noexcept { return fd_; }
  /// Asks, and waits for the answers' end. Only on a socket without groups.
  NetlinkStatus ask(RouteRequest& request, const RouteSeen& seen);
  /// Takes what has come. False: messages were lost, and what they told has to be asked for.
  bool take(const RouteSeen& seen);

 private:
  int fd_ = -1;
  uint32_t sequence_ = 0;
  std::vector<uint8_t> buffer_;
};

}  // namespace tapline
