#include "capture/link_list.h"

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tapline {

namespace {
constexpr int kReceiveBytes = 1 << 20;
constexpr int kFirstListMs = 2000;

Link link_of(const nlmsghdr* message) {
  const auto* info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
  Link out;
  out.index = static_cast<unsigned>(info->ifi_index);
  out.up = info->ifi_flags & IFF_UP;
  out.running = info->ifi_flags & IFF_RUNNING;
  out.type = info->ifi_type;
  auto length = static_cast<int>(IFLA_PAYLOAD(message));
  for (const rtattr* a = IFLA_RTA(info); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
    const auto* bytes = static_cast<const uint8_t*>(RTA_DATA(a));
    if (a->rta_type == IFLA_IFNAME) out.name = reinterpret_cast<const char*>(bytes);
    if (a->rta_type == IFLA_MTU) std::memcpy(&out.mtu, bytes, sizeof out.mtu);
    if (a->rta_type != IFLA_ADDRESS) continue;
    for (size_t i = 0; i < RTA_PAYLOAD(a); i++) {
      constexpr char kHex[] = "0123456789abcdef";
      if (i > 0) out.mac += ':';
      out.mac += kHex[bytes[i] >> 4];
      out.mac += kHex[bytes[i] & 15];
    }
  }
  return out;
}
}  // namespace

LinkList::~LinkList() {
  if (fd_ >= 0) close(fd_);
}

CaptureStatus LinkList::open() {
  fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address))
    return CaptureStatus::failed("CAPTURE_FAILED", "netlink", errno);
  setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof kReceiveBytes);
  if (!ask()) return CaptureStatus::failed("CAPTURE_FAILED", "netlink", errno);
  while (!listed_) {
    pollfd waiting{fd_, POLLIN, 0};
    const int ready = poll(&waiting, 1, kFirstListMs);
    if (ready == 0) return {"CAPTURE_FAILED", "netlink does not answer"};
    if (ready > 0) read([] {});
  }
  return {};
}

/// Asks for the whole list. What is not told of until its end is gone.
bool LinkList::ask() noexcept {
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++listing_;
  interrupted_ = false;
  return send(fd_, &request, sizeof request, 0) == sizeof request;
}

void LinkList::read(const std::function<void()>& changed) {
  alignas(nlmsghdr) static thread_local char buffer[64 << 10];
  for (;;) {
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    bool again = false;
    if (got > 0) again = take(buffer, static_cast<size_t>(got), changed);
    if (got < 0 && errno == ENOBUFS) again = true;  // messages were lost
    if (again) ask();
    if (got <= 0 && !again) return;
  }
}

/// True when the list has to be read again.
bool LinkList::take(const void* messages, size_t length, const std::function<void()>& changed) {
  const auto* m = static_cast<const nlmsghdr*>(messages);
  for (auto left = static_cast<unsigned>(length); NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
    if (m->nlmsg_flags & NLM_F_DUMP_INTR) interrupted_ = true;
    if (m->nlmsg_type == NLMSG_DONE) {
      // An older listing was still under way: the one asked for meanwhile was refused as one too many.
      if (m->nlmsg_seq != listing_ || interrupted_) return true;
      listed_ = true;
      const size_t before = links_.size();
      std::erase_if(links_, [this](const auto& entry) { return told_in_[entry.first] != listing_; });
      std::erase_if(told_in_, [this](const auto& entry) { return !links_.contains(entry.first); });
      if (links_.size() != before) changed();
      continue;
    }
    if (m->nlmsg_type != RTM_NEWLINK && m->nlmsg_type != RTM_DELLINK) continue;
    // A bridge tells of its ports in the same words: a port that leaves it is not deleted.
    if (static_cast<const ifinfomsg*>(NLMSG_DATA(m))->ifi_family != AF_UNSPEC) continue;
    Link link = link_of(m);
    if (m->nlmsg_type == RTM_DELLINK) {
      if (links_.erase(link.index) > 0) changed();
      continue;
    }
    told_in_[link.index] = listing_;
    Link& kept = links_[link.index];
    if (kept == link) continue;
    kept = std::move(link);
    changed();
  }
  return false;
}

const Link* LinkList::named(const std::string& name) const noexcept {
  for (const auto& [index, link] : links_) {
    if (link.name == name) return &link;
  }
  return nullptr;
}

}  // namespace tapline
