// The closed lists. One order, used by C++ (native/src/generated/vocabulary.h), the store, the API and the docs.
// Add at the end only: the position is the number stored in databases.

/** Protocols whose flows are followed. The first three carry sequence numbers. */
export const protocols = ["macsec", "esp", "ah", "tcp", "udp"] as const;
export type Protocol = (typeof protocols)[number];
export const sequencedProtocols = ["macsec", "esp", "ah"] as const satisfies readonly Protocol[];

/** Why a frame that was read could not be decoded. */
export const undecodableReasons = {
  truncated: "a header ends past the captured bytes",
  malformed: "a header contradicts itself (a length, a version)",
  unknown_link_type: "the capture's link type is not one that is decoded",
} as const;
export type UndecodableReason = keyof typeof undecodableReasons;

/** Why a decoded frame belongs to no followed flow. */
export const untrackedReasons = {
  eapol: "EAPOL, MKA among it: MACsec's own key agreement",
  arp: "ARP",
  other_ethertype: "an EtherType that is not followed",
  macsec_not_data: "a MACsec frame with E=1, C=0: not user data",
  invalid_number: "sequence number 0 outside a wrap",
  fragment: "an IP fragment other than the first",
  ike: "IKE on UDP port 4500",
  natt_keepalive: "a NAT-T keepalive",
  icmp: "ICMP or ICMPv6",
  other_ip_protocol: "an IP protocol that is not followed",
  not_sampled: "its flow is not among those followed while only a sample is",
} as const;
export type UntrackedReason = keyof typeof untrackedReasons;

/** How a flow's record came to its end; `active`: it has not; `interrupted`: the capturing process died, and this is what it last kept. */
export const flowEnds = ["capture_end", "evicted", "evicted_cap", "active", "interrupted"] as const;
export type FlowEnd = (typeof flowEnds)[number];
/** Positions of the ends that came before the capture's own. */
export const evictedEnds = [flowEnds.indexOf("evicted"), flowEnds.indexOf("evicted_cap")] as const;

/** How a flow is linked to an earlier one. */
export const linkKinds = ["rekey", "resumed"] as const;
export type LinkKind = (typeof linkKinds)[number];

/** Why a live interface was not seen, or not all of it, for a while. */
export const blindReasons = {
  start: "from being asked for until frames are let in",
  ring_full: "a ring had no room for some frames",
  down: "the interface was down",
  gone: "no interface had the name: deleted, renamed, or not made yet",
  removed: "the interface was taken out of the capture",
  restart: "the sensor was not running between two runs",
} as const;
export type BlindReason = keyof typeof blindReasons;

/** What a live interface is at the moment. */
export const portStates = ["watching", "down", "absent", "removed"] as const;
export type PortState = (typeof portStates)[number];
/** What the memory budget has made a sensor give up, least first; each rung includes those before it. */
export const rungs = ["none", "fewer_flows", "shorter_windows", "sampling"] as const;
export type Rung = (typeof rungs)[number];

/** How a sensor's database stands: full is waited out, failed is not. */
export const storeStates = ["writing", "full", "failed"] as const;
