// Enters: captured bytes and their link type. Leaves: a Packet whose verdict is tracked, untracked(reason) or
// undecodable(reason). One direct path per protocol, chosen by EtherType; no look-up, no allocation, no byte read past
// `captured`.
#pragma once
#include <cstdint>

#include "decode/packet.h"

namespace tapline {

/// The link types that are decoded (numbers of the pcap registry; 12 and 14 are what some systems wrote for raw IP).
enum class LinkType : uint16_t {
  kEthernet = 1,
  kRawIpBsd = 12,
  kRawIpOpenBsd = 14,
  kRawIp = 101,
  kLinuxSll = 113,
  kIpv4 = 228,
  kIpv6 = 229,
  kLinuxSll2 = 276
};

/// Secret chosen once per process; hashes of keys are unpredictable to whoever sends the packets.
struct HashSeed {
  uint64_t k0, k1;
  static HashSeed random() noexcept;
};

/// A VLAN tag that the NIC or the kernel took off and handed over beside the frame: the outermost one.
struct SideTag {
  bool present = false;
  uint16_t id = 0;
};

/// Fills every field of `out` but time_ns and interface, which the reader knows.
void decode(const uint8_t* frame, uint32_t captured, uint32_t wire_length, uint16_t link_type, const HashSeed& seed,
            Packet& out, SideTag tag = {}) noexcept;

}  // namespace tapline
