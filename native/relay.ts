// The relay's engines as TypeScript sees them. The addon itself is native/src/addon.cc.
import { createRequire } from "node:module";
import type { RelayDrop, RelayEngine, RelayRefusal } from "#domain/vocabulary.ts";

/** 4 or 16 bytes. */
export type AddressBytes = Uint8Array;

/** native/src/relay/rules.h says what each field means. */
export interface ResolvedWireInput {
  readonly ifindex: number;
  readonly vlan: number;
  readonly protocol: "UDP" | "ESP";
  readonly destination: AddressBytes;
  readonly port: number;
  readonly sources: readonly AddressBytes[];
}
export interface ResolvedTunnelInput {
  readonly path: number;
  /** 16 bytes */
  readonly key: Uint8Array;
  readonly peers: readonly AddressBytes[];
}
export interface ResolvedOutput {
  readonly id: string;
  readonly ifindex: number;
  readonly destination: AddressBytes;
  readonly port: number;
  readonly ttl?: number;
  readonly dscp?: number;
  readonly source?: AddressBytes;
  /** 6 bytes each */
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
  readonly mtu: number;
  readonly unready?: "no_route" | "no_neighbour" | "interface";
  readonly tunnel?: { readonly path: number; readonly epoch: number; readonly key: Uint8Array };
}
export interface ResolvedRule {
  readonly id: string;
  readonly engine: RelayEngine;
  readonly input: ResolvedWireInput | ResolvedTunnelInput;
  readonly outputs: readonly ResolvedOutput[];
  readonly deliverLocal: boolean;
  /** 0: none */
  readonly limitPps: number;
  readonly limitBurst: number;
  readonly stormPps: number;
}

/** Where rules with a tunnel as input listen: the interfaces tunnel packets may come in by, and this node's addresses there. */
export interface TunnelPort {
  readonly ifindex: number;
  readonly addresses: readonly AddressBytes[];
  readonly engine: RelayEngine;
}

export interface RelayPlan {
  readonly rules: readonly ResolvedRule[];
  readonly tunnelPorts: readonly TunnelPort[];
  /** this node's own addresses: what comes from one of them on an input is a loop */
  readonly ownAddresses: readonly AddressBytes[];
}

type Counts<Reason extends string> = Readonly<Record<Reason, number>>;

export interface RelayPortFigures {
  readonly ifindex: number;
  readonly engine: RelayEngine;
  readonly received: number;
  /** of frames, as the engine sees them */
  readonly bytes: number;
  readonly passed: number;
  readonly matched: number;
  readonly refused: Counts<RelayRefusal>;
  /** afpacket: the ring had no room; part of no other number here */
  readonly ringDrops: number;
}
export interface RelayRuleFigures {
  readonly id: string;
  readonly matched: number;
  /** of whole IP packets */
  readonly bytes: number;
  readonly refused: Counts<RelayRefusal>;
  /** of the wall clock; 0: none yet */
  readonly lastNs: bigint;
}
export interface RelayOutputFigures {
  readonly rule: string;
  readonly id: string;
  readonly wanted: number;
  readonly sent: number;
  readonly sentBytes: number;
  readonly dropped: Counts<RelayDrop>;
}
/** What arrived of a path, by sending CPU (stream) and numbering (epoch): docs/semantics.md. */
export interface RelayHopFigures {
  readonly path: number;
  readonly stream: number;
  readonly epoch: number;
  readonly unique: number;
  readonly lost: number;
  readonly pending: number;
  readonly duplicate: number;
  readonly reordered: number;
  readonly late: number;
  /** packets by one-way time: bucket i holds those of less than 2^i µs (and not less than 2^(i-1)); the last all others */
  readonly latency: readonly number[];
}
export interface RelayFigures {
  readonly ports: readonly RelayPortFigures[];
  readonly rules: readonly RelayRuleFigures[];
  readonly outputs: readonly RelayOutputFigures[];
  readonly hops: readonly RelayHopFigures[];
}

/** A packet of a traced rule and what became of it. */
export interface RelayTrace {
  readonly atNs: bigint;
  readonly rule: string;
  readonly source: AddressBytes;
  readonly length: number;
  readonly ttl: number;
  /** "refused" by a reason, or one line an output */
  readonly refused?: RelayRefusal;
  readonly outputs: readonly { readonly id: string; readonly dropped?: RelayDrop }[];
}

/** What an interface can do, asked without changing anything for longer than the question takes. */
export interface RelayProbe {
  readonly ifindex: number;
  readonly driver: string;
  /** native: in the driver; generic: only in the kernel's slow form */
  readonly xdp: "native" | "generic" | "none";
  /** somebody else's program there: never replaced */
  readonly foreignXdp: boolean;
  readonly foreignTc: boolean;
  /** frames redirected to it by XDP are taken: ndo_xdp_xmit; of a veth: its peer has GRO or an XDP program */
  readonly xdpTarget: boolean;
  /** words for what is missing */
  readonly why: string;
}

export interface KernelRelayOptions {
  /** folder in a bpffs, <bpffs>/tapline/<fleet>/v<layout>; made when it is not there. Null: nothing is pinned, forwarding ends with the process */
  readonly pins: string | null;
  readonly maxRules: number;
  readonly maxOutputs: number;
  /** rules stop when the heartbeat is older than this */
  readonly orphanAfterMs: number;
  /** replace programs that are adopted even by equal ones */
  readonly renew?: boolean;
  /** attach tc's programs as filters of clsact qdiscs, as kernels before 6.6 need it; for tests */
  readonly filters?: boolean;
}

/** Of one apply(). */
export interface RelayChanges {
  readonly rulesWritten: number;
  readonly rulesKept: number;
  readonly rulesRemoved: number;
}

/** The engines in the kernel: xdp and tc. Adopts what is pinned, upgrades its programs in place. */
export interface KernelRelay {
  /** what was found: pins of an earlier agent, and whether its programs were replaced by newer ones */
  readonly adopted: boolean;
  readonly upgraded: boolean;
  /** false: nothing behind a redirect is. What xdp hands to a device counts as sent, even if the device drops it; tc stays exact, and is slower */
  readonly observed: boolean;
  /** tc's programs are attached by tcx links; false: by filters, which somebody else may take away (they come back within a second) */
  readonly tcx: boolean;
  probe(ifindex: number): RelayProbe;
  /**
   * The rules of xdp and tc in it, all of them: what is not in it is removed. All or nothing; a rule that did not change is not touched. Throws
   * RELAY_ROOM when the old must go before the new fits: then the removed rules have ended, the kept ones run on, and it is to be called again in a second.
   */
  apply(plan: RelayPlan): RelayChanges;
  /** Not orphaned, from now on. */
  heartbeat(): void;
  figures(): RelayFigures;
  /** The next `packets` of a rule; taken with takeTraces. */
  trace(rule: string, packets: number): void;
  takeTraces(): RelayTrace[];
  /** Programs stay attached when pinned; descriptors are closed. */
  close(): void;
  /** Detaches every program and removes every pin. */
  uninstall(): void;
}

interface KernelEngine {
  /** Throws an Error whose `code` is one of domain/errors.ts (RELAY_NOT_ALLOWED, RELAY_PINS, …), as apply() and trace() do. */
  openKernelRelay(options: KernelRelayOptions): KernelRelay;
}

const addon = (): KernelEngine => createRequire(import.meta.url)("./build/tapline.node") as KernelEngine;
export const openKernelRelay = (options: KernelRelayOptions): KernelRelay => addon().openKernelRelay(options);
