// How this node reaches an address. Enters: an address, perhaps the interface to go by. Leaves: what the kernel's
// routing tables say: interface, gateway, the address it would send from, the way's MTU. And this node's own addresses.
#pragma once
#include <optional>

#include "host/rtnetlink.h"
#include "relay/rules.h"

namespace tapline {

struct Route {
  uint32_t ifindex = 0;
  uint8_t kind = 0;  ///< RTN_UNICAST, RTN_LOCAL, RTN_MULTICAST, …
  std::optional<relay::Address> gateway;
  std::optional<relay::Address> source;
  uint32_t mtu = 0;  ///< of the route; 0: that of its interface
};

/// Synchronous: the kernel answers from memory. `ifindex` 0: any. ENETUNREACH and its like are answers: none.
NetlinkStatus find_route(const relay::Address& to, uint32_t ifindex, std::optional<Route>& out);

struct OwnAddress {
  uint32_t ifindex = 0;
  relay::Address address;
  uint8_t prefix = 0;
  uint8_t protocol = 0;  ///< IFA_PROTO: who made it; 0: nobody said
  uint32_t flags = 0;    ///< IFA_F_…
};
NetlinkStatus list_addresses(std::vector<OwnAddress>& out);

/// A group as an address that the kernel joins (IFA_F_MCAUTOJOIN), marked as the relay's: it outlives every process.
/// ENOBUFS: there is no room for another; EEXIST: it is there.
NetlinkStatus add_group_address(uint32_t ifindex, const relay::Address& group);
NetlinkStatus remove_group_address(uint32_t ifindex, const relay::Address& group);
inline constexpr uint8_t kRelayAddressProtocol = 0x54;  ///< of IFA_PROTO; the kernel's own are below 4

}  // namespace tapline
