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
  NotSampled,  ///< its flow is not among those followed while only a sample is
};
inline constexpr size_t kUntrackedCount = 11;
inline constexpr const char* kUntrackedNames[] = {"eapol", "arp", "other_ethertype", "macsec_not_data", "invalid_number", "fragment", "ike", "natt_keepalive", "icmp", "other_ip_protocol", "not_sampled"};

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

enum class BlindReason : uint8_t {
  Start,  ///< from being asked for until frames are let in
  RingFull,  ///< a ring had no room for some frames
  Down,  ///< the interface was down
  Gone,  ///< no interface had the name: deleted, renamed, or not made yet
  Removed,  ///< the interface was taken out of the capture
  Restart,  ///< the sensor was not running between two runs
};
inline constexpr size_t kBlindReasonCount = 6;
inline constexpr const char* kBlindReasonNames[] = {"start", "ring_full", "down", "gone", "removed", "restart"};

enum class PortState : uint8_t {
  Watching,
  Down,
  Absent,
  Removed,
};
inline constexpr size_t kPortStateCount = 4;
inline constexpr const char* kPortStateNames[] = {"watching", "down", "absent", "removed"};

}  // namespace tapline
