#include "relay/joins/group_sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tapline::relay {

namespace {
// The kernel's defaults (igmp_max_memberships, igmp_max_msf). Where they were raised these sockets are more than are
// needed; where they were lowered ENOBUFS says so, and the next socket is tried.
constexpr size_t kGroups = 20;
constexpr uint32_t kSources = 10;

void fill(sockaddr_storage& to, uint8_t family, const std::array<uint8_t, 16>& bytes) noexcept {
  if (family == 4) {
    auto& four = reinterpret_cast<sockaddr_in&>(to);
    four.sin_family = AF_INET;
    std::memcpy(&four.sin_addr, bytes.data(), 4);
  } else {
    auto& six = reinterpret_cast<sockaddr_in6&>(to);
    six.sin6_family = AF_INET6;
    std::memcpy(&six.sin6_addr, bytes.data(), 16);
  }
}

/// RFC 3678's calls, the same for both families.
int ask(int fd, const Membership& one, int any, int specific) noexcept {
  const int level = one.family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
  int failed;
  if (one.specific) {
    group_source_req request{};
    request.gsr_interface = one.ifindex;
    fill(request.gsr_group, one.family, one.group);
    fill(request.gsr_source, one.family, one.source);
    failed = setsockopt(fd, level, specific, &request, sizeof request);
  } else {
    group_req request{};
    request.gr_interface = one.ifindex;
    fill(request.gr_group, one.family, one.group);
    failed = setsockopt(fd, level, any, &request, sizeof request);
  }
  return failed ? errno : 0;
}
}  // namespace

GroupSockets::~GroupSockets() {
  for (const Socket& one : sockets_) close(one.fd);
}

std::vector<GroupSockets::Refusal> GroupSockets::want(const std::set<Membership>& wanted) {
  std::vector<Refusal> refused;
  for (const Membership& one : wanted) {
    if (held_.contains(one)) continue;
    if (const int error = join(one)) refused.push_back({one, error});
  }
  std::vector<Membership> over;
  for (const auto& [one, socket] : held_)
    if (!wanted.contains(one)) over.push_back(one);
  for (const Membership& one : over) leave(one);
  return refused;
}

int GroupSockets::join(const Membership& one) {
  const Group group{one.ifindex, one.group};
  for (Socket& socket : sockets_) {
    if (socket.family != one.family || socket.specific != one.specific) continue;
    const auto known = socket.sources.find(group);
    if (known == socket.sources.end() ? socket.sources.size() >= kGroups : known->second >= kSources) continue;
    const int error = ask(socket.fd, one, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP);
    if (error == ENOBUFS || error == ENOMEM) continue;
    if (error != 0) return error;
    socket.sources[group]++;
    held_[one] = &socket;
    return 0;
  }
  const int fd =
      socket(one.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);  // no port: it receives nothing
  if (fd < 0) return errno;
  if (const int error = ask(fd, one, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP)) {
    close(fd);
    return error;
  }
  Socket& made = sockets_.emplace_back(Socket{fd, one.family, one.specific, {}});
  made.sources[group] = 1;
  held_[one] = &made;
  return 0;
}

void GroupSockets::leave(const Membership& one) {
  const auto found = held_.find(one);
  Socket& socket = *found->second;
  held_.erase(found);
  // Of an interface that is gone the kernel has forgotten it already, and says so.
  [[maybe_unused]] const int error = ask(socket.fd, one, MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP);
  const auto group = socket.sources.find({one.ifindex, one.group});
  if (--group->second == 0) socket.sources.erase(group);
  if (!socket.sources.empty()) return;
  close(socket.fd);
  sockets_.remove_if([&](const Socket& other) { return &other == &socket; });
}

}  // namespace tapline::relay
