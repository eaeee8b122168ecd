#include "host/routes.h"

#include <linux/if_addr.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>

namespace tapline {

namespace {
size_t length_of(const relay::Address& address) noexcept { return address.family == 4 ? 4 : 16; }
Bytes bytes_of(const relay::Address& address) noexcept { return Bytes(address.bytes.data(), length_of(address)); }
uint8_t family_of(const relay::Address& address) noexcept { return address.family == 4 ? AF_INET : AF_INET6; }

std::optional<relay::Address> address_of(Bytes payload) noexcept {
  if (payload.size() != 4 && payload.size() != 16) return std::nullopt;
  relay::Address out;
  out.family = payload.size() == 4 ? 4 : 6;
  std::memcpy(out.bytes.data(), payload.data(), payload.size());
  return out;
}

void read_route(const RouteMessage& message, std::optional<Route>& out) {
  rtmsg fixed;
  Bytes attributes;
  if (message.type != RTM_NEWROUTE || !message.read(fixed, attributes)) return;
  Route route;
  route.kind = fixed.rtm_type;
  AttributeReader reader(attributes);
  for (Attribute one; reader.next(one);) {
    if (one.type == RTA_OIF && !one.as(route.ifindex)) return;
    if (one.type == RTA_GATEWAY) route.gateway = address_of(one.payload);
    if (one.type == RTA_PREFSRC) route.source = address_of(one.payload);
    if (one.type == RTA_VIA && one.payload.size() > 2) route.gateway = address_of(one.payload.subspan(2));
    if (one.type != RTA_METRICS) continue;
    AttributeReader metrics(one.payload);
    for (Attribute metric; metrics.next(metric);)
      if (metric.type == RTAX_MTU && !metric.as(route.mtu)) return;
  }
  out = route;
}

NetlinkStatus ask_once(RouteRequest& request, const RouteSeen& seen) {
  RouteSocket socket;
  if (NetlinkStatus status = socket.open(); !status.ok()) return status;
  return socket.ask(request, seen);
}

RouteRequest group_request(uint16_t type, uint16_t flags, uint32_t ifindex, const relay::Address& group) {
  ifaddrmsg fixed{};
  fixed.ifa_family = family_of(group);
  fixed.ifa_prefixlen = group.family == 4 ? 32 : 128;
  fixed.ifa_index = ifindex;
  RouteRequest request(type, static_cast<uint16_t>(flags | NLM_F_ACK), fixed);
  request.put(IFA_LOCAL, bytes_of(group));
  request.put(IFA_ADDRESS, bytes_of(group));
  return request;
}
}  // namespace

NetlinkStatus find_route(const relay::Address& to, uint32_t ifindex, std::optional<Route>& out) {
  out.reset();
  rtmsg fixed{};
  fixed.rtm_family = family_of(to);
  fixed.rtm_dst_len = to.family == 4 ? 32 : 128;
  RouteRequest request(RTM_GETROUTE, NLM_F_ACK, fixed);
  request.put(RTA_DST, bytes_of(to));
  if (ifindex > 0) request.put(RTA_OIF, ifindex);
  NetlinkStatus status = ask_once(request, [&](const RouteMessage& message) { read_route(message, out); });
  switch (status.error) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ESRCH:
    case ENODEV:
    case ENETDOWN:
    case EACCES:  // prohibited
    case EINVAL:  // a blackhole
    case EAGAIN:
      return {};
    default:
      return status;
  }
}

NetlinkStatus list_addresses(std::vector<OwnAddress>& out) {
  const ifaddrmsg fixed{};
  RouteRequest request(RTM_GETADDR, NLM_F_DUMP, fixed);
  return ask_once(request, [&](const RouteMessage& message) {
    ifaddrmsg head;
    Bytes attributes;
    if (message.type != RTM_NEWADDR || !message.read(head, attributes)) return;
    OwnAddress found;
    found.ifindex = head.ifa_index;
    found.prefix = head.ifa_prefixlen;
    found.flags = head.ifa_flags;
    std::optional<relay::Address> local, address;
    AttributeReader reader(attributes);
    for (Attribute one; reader.next(one);) {
      if (one.type == IFA_LOCAL) local = address_of(one.payload);  // of a point-to-point link IFA_ADDRESS is the peer's
      if (one.type == IFA_ADDRESS) address = address_of(one.payload);
      if (one.type == IFA_FLAGS && !one.as(found.flags)) return;
      if (one.type == IFA_PROTO && !one.as(found.protocol)) return;
    }
    if (!local) local = address;
    if (!local) return;
    found.address = *local;
    out.push_back(found);
  });
}

NetlinkStatus add_group_address(uint32_t ifindex, const relay::Address& group) {
  RouteRequest request = group_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, group);
  request.put(IFA_FLAGS, uint32_t{IFA_F_MCAUTOJOIN | IFA_F_NOPREFIXROUTE | IFA_F_NODAD});
  request.put(IFA_PROTO, kRelayAddressProtocol);
  return ask_once(request, [](const RouteMessage&) {});
}

NetlinkStatus remove_group_address(uint32_t ifindex, const relay::Address& group) {
  RouteRequest request = group_request(RTM_DELADDR, 0, ifindex, group);
  return ask_once(request, [](const RouteMessage&) {});
}

}  // namespace tapline
