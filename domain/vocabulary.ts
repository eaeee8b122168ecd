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

/** What carries a relay rule's packets. */
export const relayEngines = ["xdp", "tc", "afpacket"] as const;
export type RelayEngine = (typeof relayEngines)[number];

/** Why a packet that came for a relay rule was not taken. At each interface: received = passed + matched + the sum of these. */
export const relayRefusals = {
  source: "no rule of this group takes packets of this source",
  ttl: "its TTL is used up, and no output sets one of its own",
  loop: "its source is one of this node's own addresses",
  fragment: "an IP fragment: only whole packets are relayed",
  malformed: "a header contradicts itself or is cut off",
  hop_limit: "it came through 16 tunnels already",
  stranger: "a tunnel packet from an address that is none of the path's",
  unknown_path: "a tunnel packet of a path that is not in the plan",
  tag: "a tunnel packet whose tag is wrong",
  replay: "a tunnel packet that came before, or far too late",
  version: "a tunnel packet of another version",
  orphaned: "the agent has been silent for too long",
} as const;
export type RelayRefusal = keyof typeof relayRefusals;

/** Why a packet that a relay output wanted to send was not sent. At each output: wanted = sent + the sum of these. */
export const relayDrops = {
  mtu: "larger than the output's MTU",
  ttl: "its TTL is used up, and this output sets none of its own",
  no_route: "no route to the output's address",
  no_neighbour: "the next hop's MAC address is not known",
  interface: "the output's interface is down or gone",
  device: "the device did not take it: its queue was full, or it failed",
  rate: "above the rule's limit",
  storm: "above the rule's storm cut-off",
  buffer: "no buffer was free, or none could be cloned",
  worker: "the worker process ended while it had it: it may have been sent",
} as const;
export type RelayDrop = keyof typeof relayDrops;
