// Generated from domain/vocabulary.ts by `make generate`. Do not edit.
// clang-format off
#pragma once
#include <cstddef>
#include <cstdint>

namespace tapline {

enum class Protocol : uint8_t {
  Macsec,
  Esp,
  Ah,
  Tcp,
  Udp,
};
inline constexpr size_t kProtocolCount = 5;
inline constexpr const char* kProtocolNames[] = {"macsec", "esp", "ah", "tcp", "udp"};

enum class Undecodable : uint8_t {
  Truncated,  ///< a header ends past the captured bytes
  Malformed,  ///< a header contradicts itself (a length, a version)
  UnknownLinkType,  ///< the capture's link type is not one that is decoded
};
inline constexpr size_t kUndecodableCount = 3;
inline constexpr const char* kUndecodableNames[] = {"truncated", "malformed", "unknown_link_type"};

enum class Untracked : uint8_t {
  Eapol,  ///< EAPOL, MKA among it: MACsec's own key agreement
  Arp,  ///< ARP
  OtherEthertype,  ///< an EtherType that is not followed
  MacsecNotData,  ///< a MACsec frame with E=1, C=0: not user data
  InvalidNumber,  ///< sequence number 0 outside a wrap
  Fragment,  ///< an IP fragment other than the first
  Ike,  ///< IKE on UDP port 4500
  NattKeepalive,  ///< a NAT-T keepalive
  Icmp,  ///< ICMP or ICMPv6
  OtherIpProtocol,  ///< an IP protocol that is not followed
};
inline constexpr size_t kUntrackedCount = 10;
inline constexpr const char* kUntrackedNames[] = {"eapol", "arp", "other_ethertype", "macsec_not_data", "invalid_number", "fragment", "ike", "natt_keepalive", "icmp", "other_ip_protocol"};

enum class FlowEnd : uint8_t {
  CaptureEnd,
  Evicted,
  EvictedCap,
  Active,
  Interrupted,
};
inline constexpr size_t kFlowEndCount = 5;
inline constexpr const char* kFlowEndNames[] = {"capture_end", "evicted", "evicted_cap", "active", "interrupted"};

enum class LinkKind : uint8_t {
  Rekey,
  Resumed,
};
inline constexpr size_t kLinkKindCount = 2;
inline constexpr const char* kLinkKindNames[] = {"rekey", "resumed"};

}  // namespace tapline
