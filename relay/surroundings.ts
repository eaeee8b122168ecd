// What is around the rules at one moment: interfaces, this node's addresses, ways and next hops. A picture: nothing in it changes; when something
// does, there is a new one.
import type { RelayProbe } from "#native/relay.ts";

export type Bytes = Uint8Array;

export interface NearLink {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly mac: Bytes;
  readonly mtu: number;
}

/** How this node sends to an address. */
export interface Way {
  readonly ifindex: number;
  /** the next hop's address: the destination itself, or a router */
  readonly via: Bytes;
  /** this node's address that it takes; undefined: it has none there */
  readonly source: Bytes | undefined;
  /** the largest packet; absent: the link's */
  readonly mtu?: number;
}

export interface Surroundings {
  readonly links: readonly NearLink[];
  link(name: string): NearLink | undefined;
  linkAt(ifindex: number): NearLink | undefined;
  /** the interface that puts this tag on what leaves by that one */
  vlanOf(ifindex: number, vlan: number): NearLink | undefined;
  /** this node's own */
  readonly addresses: readonly { readonly ifindex: number; readonly address: Bytes }[];
  /** `ifindex`: by this interface only */
  way(to: Bytes, ifindex?: number): Way | undefined;
  /** its MAC address, when it is known */
  neighbour(ifindex: number, address: Bytes): Bytes | undefined;
  probe(ifindex: number): RelayProbe | undefined;
  /** the node's default route leaves by it */
  isDefault(ifindex: number): boolean;
  /** somebody captures on it: a sensor, tcpdump */
  isWatched(ifindex: number): boolean;
}
