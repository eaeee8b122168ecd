// A RelayRule of the cluster as the controller sees it.
import type { LabelSelector } from "../nodes.ts";

interface WireEnd {
  readonly interface?: string | undefined;
  readonly vlan?: number | undefined;
  readonly group?: string | undefined;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}
export interface HopOutput extends WireEnd {
  /** in place of all else: to every node of that hop, by a tunnel */
  readonly hop?: string | undefined;
  readonly ttl?: number | undefined;
  readonly dscp?: number | undefined;
  readonly source?: string | undefined;
}
export interface Hop {
  readonly name: string;
  readonly nodes: { readonly names?: readonly string[] | undefined; readonly selector?: LabelSelector | undefined };
  /** absent: what tunnels bring */
  readonly from?:
    | (WireEnd & {
        readonly protocol?: "UDP" | "ESP" | undefined;
        readonly sources?: readonly string[] | undefined;
      })
    | undefined;
  readonly to: readonly HopOutput[];
}

export interface RuleSpec {
  readonly hops: readonly Hop[];
  readonly engine?: "Auto" | "XDP" | "TC" | "AFPacket" | undefined;
  readonly deliverLocal?: boolean | undefined;
  readonly limit?: { readonly pps: number } | undefined;
}

export interface RuleObject {
  readonly name: string;
  readonly uid: string;
  /** creationTimestamp, RFC 3339 in UTC */
  readonly created: string;
  readonly generation: number;
  /** being deleted: it places nothing any more */
  readonly leaving?: boolean;
  readonly spec: RuleSpec;
}

/** The one that was there first, first. */
export const byAge = (a: RuleObject, b: RuleObject): number =>
  a.created.localeCompare(b.created) || a.name.localeCompare(b.name);
