// Ways, addresses and next hops of this network namespace, from the kernel's tables. The addon itself is native/src/addon.cc.
import { createRequire } from "node:module";

/** 4 or 16 bytes. */
type AddressBytes = Uint8Array;

export interface Route {
  readonly ifindex: number;
  readonly kind: "unicast" | "local" | "multicast" | "broadcast" | "none";
  readonly gateway: AddressBytes | null;
  /** the address this node would send from; null: none of that family */
  readonly source: AddressBytes | null;
  /** of the route; 0: that of its interface */
  readonly mtu: number;
}

export interface OwnAddress {
  readonly ifindex: number;
  readonly address: AddressBytes;
  readonly prefix: number;
  /** a group, as an address that the kernel joins */
  readonly joined: boolean;
  /** made by addGroupAddress */
  readonly ours: boolean;
}

export interface Neighbour {
  readonly ifindex: number;
  readonly address: AddressBytes;
  /** 6 bytes */
  readonly mac: Uint8Array;
}

export interface NetworkChange {
  /** of those that are wanted all whose MAC address is known */
  readonly neighbours: readonly Neighbour[];
  /** routes or addresses may be others than before */
  readonly routesChanged: boolean;
}

export interface NetworkWatch {
  /** These are kept known by the kernel from now on, others no longer. */
  want(neighbours: readonly { readonly ifindex: number; readonly address: AddressBytes }[]): void;
  stop(): void;
}

/** Each throws an Error whose `code` is NETWORK_NOT_PERMITTED or NETWORK_FAILED. */
interface NetworkEngine {
  /** Null: there is none. `ifindex` 0: by any interface. */
  findRoute(to: AddressBytes, ifindex: number): Route | null;
  listAddresses(): OwnAddress[];
  /** The kernel joins the group (any source) and stays in it, whoever ends; "full": it has no room for another. */
  addGroupAddress(ifindex: number, group: AddressBytes): "added" | "exists" | "full";
  /** False: it was not there. */
  removeGroupAddress(ifindex: number, group: AddressBytes): boolean;
  /** Calls after every change until stopped; keeps the process alive as long. */
  watchNetwork(onChange: (change: NetworkChange) => void): NetworkWatch;
}

let loaded: NetworkEngine | undefined;
const load = (): NetworkEngine => createRequire(import.meta.url)("./build/tapline.node") as NetworkEngine;
export const network = (): NetworkEngine => (loaded ??= load());
