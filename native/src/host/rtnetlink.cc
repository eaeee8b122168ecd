#include "host/rtnetlink.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace tapline {

namespace {
constexpr size_t kLargestDatagram = 64 << 10;  // the kernel splits dumps at 32 KiB
constexpr int kReceiveBytes = 1 << 20;
constexpr time_t kPatienceSeconds = 5;
constexpr size_t align(size_t length) noexcept { return (length + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1}; }

/// Calls with each whole message of a datagram; ends at one that is damaged.
template <typename Each>
void each_message(Bytes datagram, const Each& each) {
  nlmsghdr head;
  while (datagram.size() >= sizeof head) {
    std::memcpy(&head, datagram.data(), sizeof head);
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > datagram.size()) return;
    each(head, datagram.subspan(sizeof head, head.nlmsg_len - sizeof head));
    datagram = datagram.subspan(std::min(align(head.nlmsg_len), datagram.size()));
  }
}
}  // namespace

RouteRequest::RouteRequest(uint16_t type, uint16_t flags, const void* fixed, size_t length)
    : bytes_(align(sizeof(nlmsghdr) + length)) {
  const nlmsghdr head{0, type, static_cast<uint16_t>(NLM_F_REQUEST | flags), 0, 0};
  std::memcpy(bytes_.data(), &head, sizeof head);
  std::memcpy(bytes_.data() + sizeof head, fixed, length);
}

void RouteRequest::put(uint16_t type, Bytes payload) {
  const nlattr head{static_cast<uint16_t>(sizeof(nlattr) + payload.size()), type};
  const auto* from = reinterpret_cast<const uint8_t*>(&head);
  bytes_.insert(bytes_.end(), from, from + sizeof head);
  bytes_.insert(bytes_.end(), payload.begin(), payload.end());
  bytes_.resize(align(bytes_.size()));
}

Bytes RouteRequest::finish(uint32_t sequence) noexcept {
  nlmsghdr head;
  std::memcpy(&head, bytes_.data(), sizeof head);
  head.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  head.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &head, sizeof head);
  return bytes_;
}

RouteSocket::~RouteSocket() {
  if (fd_ >= 0) close(fd_);
}

NetlinkStatus RouteSocket::open(uint32_t groups) {
  fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (groups ? SOCK_NONBLOCK : 0), NETLINK_ROUTE);
  if (fd_ < 0) return NetlinkStatus::failed(errno, "netlink socket");
  const int on = 1;
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd_, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd_, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof kReceiveBytes);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address)) return NetlinkStatus::failed(errno, "netlink");
  buffer_.resize(kLargestDatagram);
  return {};
}

NetlinkStatus RouteSocket::ask(RouteRequest& request, const RouteSeen& seen) {
  const uint32_t sequence = ++sequence_;
  const Bytes message = request.finish(sequence);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd_, message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0)
    return NetlinkStatus::failed(errno, "netlink request");
  for (bool done = false; !done;) {
    const ssize_t got = recv(fd_, buffer_.data(), buffer_.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return NetlinkStatus::failed(errno == EAGAIN ? ETIMEDOUT : errno, "netlink answer");
    NetlinkStatus status;
    each_message(Bytes(buffer_.data(), static_cast<size_t>(got)), [&](const nlmsghdr& head, Bytes body) {
      if (head.nlmsg_seq != sequence || done) return;
      if (head.nlmsg_type == NLMSG_ERROR) {
        done = true;
        int32_t error = -EBADMSG;
        if (body.size() >= sizeof error) std::memcpy(&error, body.data(), sizeof error);
        if (error != 0) status = NetlinkStatus::failed(-error, "");
      } else if (head.nlmsg_type == NLMSG_DONE) {
        done = true;
      } else {
        seen({head.nlmsg_type, body});
      }
    });
    if (!status.ok()) return status;
  }
  return {};
}

bool RouteSocket::take(const RouteSeen& seen) {
  bool whole = true;
  for (;;) {
    const ssize_t got = recv(fd_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      whole = false;
      continue;
    }
    if (got <= 0) return whole;
    each_message(Bytes(buffer_.data(), static_cast<size_t>(got)), [&](const nlmsghdr& head, Bytes body) {
      seen({head.nlmsg_type, body});
    });
  }
}

}  // namespace tapline
