#include "relay/interface_probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "host/ethtool.h"
#include "host/netlink.h"
#include "relay/links.h"
#include "relay/status.h"

namespace tapline::relay {

namespace {

// linux/netdev.h; Debian 12's headers lack it.
constexpr uint8_t kDeviceGet = 1;
constexpr uint16_t kIfindex = 1, kXdpFeatures = 3;
constexpr uint64_t kBasic = 1, kRedirect = 2, kNdoXmit = 4;

/// The kernel's own list of what a driver's XDP can do; since Linux 6.3.
uint64_t xdp_features(uint32_t ifindex) {
  GenericNetlink netlink;
  uint16_t family = 0;
  if (!netlink.open().ok() || !netlink.family("netdev", family).ok()) return 0;
  NetlinkRequest request(family, kDeviceGet, 1);
  request.put(kIfindex, ifindex);
  std::vector<uint8_t> answer;
  if (!netlink.ask(request, answer).ok()) return 0;
  AttributeReader reader(answer);
  uint64_t features = 0;
  for (Attribute attribute{}; reader.next(attribute);)
    if (attribute.type == kXdpFeatures && attribute.payload.size() >= 8)
      std::memcpy(&features, attribute.payload.data(), 8);
  return features;
}

/// Kernel-wide id of the program that a filter runs; 0: it is of another kind.
uint32_t program_of_filter(const nlmsghdr* filter) {
  constexpr size_t head = NLMSG_LENGTH(sizeof(tcmsg));
  if (filter->nlmsg_len < head) return 0;
  AttributeReader reader({reinterpret_cast<const uint8_t*>(filter) + head, filter->nlmsg_len - head});
  uint32_t id = 0;
  for (Attribute attribute{}; reader.next(attribute);) {
    if (attribute.type != TCA_OPTIONS) continue;
    AttributeReader options(attribute.payload);
    for (Attribute option{}; options.next(option);)
      if (option.type == TCA_BPF_ID && !option.as(id)) id = 0;
  }
  return id;
}

/// Filters of others at an ingress qdisc, which programs of tcx run before.
bool has_filters(uint32_t ifindex, const std::function<bool(uint32_t)>& owns) {
  const Descriptor socket_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket_.open()) return false;
  struct {
    nlmsghdr header;
    tcmsg message;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETTFILTER;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.message.tcm_ifindex = static_cast<int>(ifindex);
  request.message.tcm_parent = TC_H_MAKE(TC_H_CLSACT, 0xFFF2u);  // TC_H_MIN_INGRESS
  if (send(socket_.get(), &request, sizeof request, 0) < 0) return false;
  std::vector<uint8_t> answer(32 << 10);
  for (bool found = false;;) {
    const ssize_t length = recv(socket_.get(), answer.data(), answer.size(), 0);
    if (length <= 0) return found;
    auto left = static_cast<unsigned>(length);
    for (const auto* at = reinterpret_cast<nlmsghdr*>(answer.data()); NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
      if (at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR) return found;
      // Of each kind and priority one without a handle comes first.
      if (static_cast<const tcmsg*>(NLMSG_DATA(at))->tcm_handle == 0) continue;
      const uint32_t program = program_of_filter(at);
      found = found || program == 0 || !owns(program);
    }
  }
}

bool foreign_tcx(uint32_t ifindex, const std::function<bool(uint32_t)>& owns) {
  uint32_t ids[64], count = 64;
  if (bpf_prog_query(static_cast<int>(ifindex), kTcxIngress, 0, nullptr, ids, &count) != 0) return false;
  for (uint32_t i = 0; i < count && i < 64; i++)
    if (!owns(ids[i])) return true;
  return false;
}

std::string driver_of(const char* name) {
  Ethtool ethtool;
  Driver driver;
  return ethtool.open(name).ok() && ethtool.driver(driver).ok() ? driver.name : "";
}

}  // namespace

InterfaceProbe probe_interface(uint32_t ifindex, const std::function<bool(uint32_t)>& owns) {
  InterfaceProbe out;
  out.ifindex = ifindex;
  char name[IF_NAMESIZE] = {};
  if (if_indextoname(ifindex, name) == nullptr) {
    out.why = "no such interface";
    return out;
  }
  out.driver = driver_of(name);
  const uint64_t features = xdp_features(ifindex);
  const bool native = (features & (kBasic | kRedirect)) == (kBasic | kRedirect);
  out.xdp = native ? XdpMode::Native : XdpMode::Generic;
  out.xdp_target = (features & kNdoXmit) != 0;
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  if (bpf_xdp_query(static_cast<int>(ifindex), 0, &query) == 0)
    for (const uint32_t id : {query.prog_id, query.drv_prog_id, query.hw_prog_id, query.skb_prog_id})
      if (id != 0 && !owns(id)) out.foreign_xdp = true;
  out.foreign_tc = foreign_tcx(ifindex, owns) || has_filters(ifindex, owns);
  if (!native) out.why = "the driver has no native XDP";
  if (!out.xdp_target) {
    out.why += out.why.empty() ? "" : "; ";
    out.why += out.driver == "veth" ? "frames can be redirected to it only when its peer has GRO or an XDP program"
                                    : "the driver takes no redirected frames";
  }
  if (out.foreign_xdp) out.why += std::string(out.why.empty() ? "" : "; ") + "another XDP program is attached";
  return out;
}

}  // namespace tapline::relay
