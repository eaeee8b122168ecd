// What a relay is told to do, resolved: names are indexes, addresses are bytes, next hops are MAC addresses. The agent
// (relay/) makes it from its rules, routes and neighbours; every engine compiles it into what it needs. Plain values,
// no behaviour.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace tapline::relay {

using Mac = std::array<uint8_t, 6>;
/// Of the one family in the first four bytes, of the other in all sixteen; the rest is zero.
struct Address {
  uint8_t family = 4;  ///< 4 or 6
  std::array<uint8_t, 16> bytes{};
  bool operator==(const Address&) const = default;
};

enum class Engine : uint8_t { Xdp, Tc, AfPacket };    ///< domain/vocabulary.ts: relayEngines
enum class Carried : uint8_t { Udp = 17, Esp = 50 };  ///< the IP protocol that a rule carries

/// Packets from the wire.
struct WireInput {
  uint32_t ifindex = 0;
  uint16_t vlan = 0;  ///< 0: untagged
  Carried protocol = Carried::Udp;
  Address destination;           ///< a group, or an address of this node
  uint16_t port = 0;             ///< of UDP; 0 for ESP
  std::vector<Address> sources;  ///< empty: any source
};

/// Of SipHash-2-4.
using PathKey = std::array<uint8_t, 16>;

/// Packets that another hop sent through a tunnel (native/src/relay/hop_header.h).
struct TunnelInput {
  uint32_t path = 0;
  PathKey key{};
  std::vector<Address> peers;  ///< the outer sources it may come from
};

/// Wrapped for the next hop instead of sent as it is.
struct TunnelOutput {
  uint32_t path = 0;
  uint32_t epoch = 0;
  PathKey key{};
};

/// Why an output cannot send at the moment: every packet it wants to send is dropped under that reason.
enum class Unready : uint8_t { No, NoRoute, NoNeighbour, Interface };

struct Output {
  std::string id;  ///< its counters follow this name through every change
  uint32_t ifindex = 0;
  Address destination;            ///< the group or address it leaves for; of a tunnel the next hop's
  uint16_t port = 0;              ///< 0 for ESP; of a tunnel 6087
  std::optional<uint8_t> ttl;     ///< else the incoming one less one
  std::optional<uint8_t> dscp;    ///< else kept
  std::optional<Address> source;  ///< else kept; of a tunnel always set
  Mac destination_mac{};
  Mac source_mac{};
  uint16_t mtu = 0;  ///< of the way to the destination: the largest IP packet
  Unready unready = Unready::No;
  std::optional<TunnelOutput> tunnel;
};

struct Rule {
  std::string id;  ///< its counters follow this name through every change
  Engine engine = Engine::Tc;
  std::variant<WireInput, TunnelInput> input;
  std::vector<Output> outputs;  ///< at most 64
  bool deliver_local = false;   ///< the node's own subscribers get it too
  uint64_t limit_pps = 0;       ///< 0: none. A token bucket of `limit_burst` packets
  uint64_t limit_burst = 0;
  uint64_t storm_pps = 0;  ///< 0: none. More than this within one second cuts the rule off for the rest of it
};

/// Where tunnel packets may come in, and this node's addresses there.
struct TunnelPort {
  uint32_t ifindex = 0;
  Engine engine = Engine::Tc;
  std::vector<Address> addresses;
};

struct Plan {
  std::vector<Rule> rules;
  std::vector<TunnelPort> tunnel_ports;
  std::vector<Address> own_addresses;
};

}  // namespace tapline::relay
