// The native engine as TypeScript sees it. The addon itself is native/src/addon.cc.
import { createRequire } from "node:module";
import type { AnalysisSummary, CaptureFigures, ResultBatch } from "#domain/analysis.ts";

export type ReplayMode = "fast" | "original" | "fixed" | "speed";

export interface AnalyzeOptions {
  readonly path: string;
  readonly threads: number;
  readonly mode: ReplayMode;
  /** packets per second; mode fixed */
  readonly pps?: number;
  /** the capture's gaps are divided by this; mode speed */
  readonly speed?: number;
  /** read the file this many times; the result is marked as looped */
  readonly loop: number;
  readonly settleNs: number;
  readonly idleNs: number;
  readonly maxFlows: number;
}

/** Live figures of a running analysis; cheap to ask for. */
export interface Progress {
  readonly bytesRead: number;
  readonly bytesTotal: number;
  readonly packets: number;
  readonly flows: number;
  readonly lost: number;
}

/** An interface to capture on, by its name, and where its threads and rings are. */
export interface PortOptions {
  readonly name: string;
  /** one for each thread, which runs there alone */
  readonly cpus?: readonly number[];
  /** NUMA node of the rings' memory */
  readonly node?: number;
}

export interface CaptureOptions {
  readonly ports: readonly PortOptions[];
  /** for interfaces that are not there or not up yet; else INTERFACE_NOT_FOUND, INTERFACE_DOWN. One that goes away later is always waited for. */
  readonly wait: boolean;
  /** rings, threads and flow tables of each interface */
  readonly threads: number;
  /** libpcap's language; empty for everything */
  readonly filter: string;
  /** In leaves out what this machine sends */
  readonly direction: "In" | "Both";
  readonly promiscuous: boolean;
  /** of each thread */
  readonly ring: { readonly blockKiB: number; readonly blocks: number; readonly retireMs: number };
  readonly settleNs: number;
  readonly idleNs: number;
  /** of the whole capture, whoever comes and goes */
  readonly maxFlows: number;
  /** one flow of so many is followed, the packets of the others are untracked: not_sampled; 1 when left out */
  readonly sample?: number;
}

/** What may change of a capture's limits while it runs. What is left out stays. */
export interface LimitsChange {
  readonly settleNs?: number;
  readonly idleNs?: number;
  readonly maxFlows?: number;
  readonly sample?: number;
}

/** A network interface of this network namespace. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** as it was set */
  readonly up: boolean;
  /** up, and with a carrier */
  readonly running: boolean;
  readonly mac: string;
  readonly mtu: number;
}

/** A running engine, over a file or over interfaces. */
export interface Job<Summary> {
  /** Takes the next batch; null when there is none at the moment. The engine waits while too many are untaken. */
  take(): ResultBatch | null;
  progress(): Progress;
  /** Ends the reading at the next batch; what was done stays, and the summary says complete: false. */
  stop(): void;
  /** Settles after the last packet; batches may still be waiting to be taken. Rejects with an Error whose `code` is one of domain/errors.ts. */
  readonly done: Promise<Summary>;
}

export type Analysis = Job<AnalysisSummary>;

export interface Capture extends Job<CaptureFigures> {
  /** Null once everything was taken after the end. */
  figures(): CaptureFigures | null;
  /**
   * Watches one more; again, when it was removed: the same row of the ledger goes on. Resolves when frames are let in, or it is waited for; rejects
   * with a coded Error (CAPTURE_BAD_PLACEMENT, CAPTURE_TOO_MANY, …) and changes nothing.
   */
  add(port: PortOptions): Promise<void>;
  /** Closes its door, takes what is inside, ends its flows; resolves then. Results must be taken meanwhile. Its row stays. A name that is not watched is removed already. */
  remove(name: string): Promise<void>;
  /** On every ring, without a gap. Rejects with a coded Error (FILTER_BPF_INVALID) and changes nothing. */
  setFilter(expression: string): Promise<void>;
  /** Takes effect within a second or so; a lower cap by eviction, which is counted. */
  setLimits(change: LimitsChange): void;
  /** From now on every flow that has not ended is in a file beside the database, at most a second old (store/README.md). Once. */
  keepLive(run: LiveRun): void;
  /** The first `batches` that were taken are in the database: the live file need not hold their flows any longer. */
  stored(batches: number): void;
}

export interface LiveRun {
  readonly database: string;
  readonly run: number;
  /** as in the run's row */
  readonly startedNs: bigint;
}

export type TrafficKind = "macsec" | "ipsec" | "mixed" | "tcp";

export interface GenerateOptions {
  readonly path: string;
  readonly truthPath?: string;
  readonly packets: number;
  readonly flows: number;
  readonly protocol: TrafficKind;
  readonly seed: number;
  readonly loss: number;
  readonly reorder: number;
  readonly duplicate: number;
  /** packets between rekeys of a flow; 0 for never */
  readonly rekey: number;
  readonly xpn: boolean;
  readonly esn: boolean;
  readonly ipv6: boolean;
  readonly vlan: boolean;
  /** frame sizes on the wire, drawn evenly from this range */
  readonly minSize: number;
  readonly maxSize: number;
  /** packets per second of capture time */
  readonly pps: number;
  readonly nanosecond: boolean;
  readonly pcapng: boolean;
  /** capture time of the first packet */
  readonly startNs: bigint;
}

export interface Generated {
  readonly packets: number;
  readonly bytes: number;
  readonly flows: number;
  readonly lost: number;
}

export interface Generation {
  progress(): { readonly packets: number; readonly total: number };
  stop(): void;
  readonly done: Promise<Generated>;
}

export interface MicroResult {
  readonly name: string;
  readonly nsPerOp: number;
  readonly spreadNs: readonly [number, number];
  readonly rounds: number;
}

/** A driver that lacks something is no error: then there are the kernel's words. */
export type Part<T> = { readonly value: T } | { readonly notSupported: string };

/** Fields that the driver does not fill are absent. */
export interface Rings {
  readonly rx?: number;
  readonly tx?: number;
  readonly rxMax?: number;
  readonly txMax?: number;
}
export interface Coalesce {
  readonly rxUsecs?: number;
  readonly rxFrames?: number;
  readonly txUsecs?: number;
  readonly txFrames?: number;
  readonly adaptiveRx?: boolean;
  readonly adaptiveTx?: boolean;
}
export interface Channels {
  readonly rx?: number;
  readonly tx?: number;
  readonly combined?: number;
  readonly rxMax?: number;
  readonly txMax?: number;
  readonly combinedMax?: number;
}
export interface Feature {
  readonly active: boolean;
  readonly wanted: boolean;
  /** false: the driver or the kernel keeps it as it is */
  readonly changeable: boolean;
}

/** An interface's settings, by the kernel's ethtool family; features and statistics by the kernel's and the driver's own names. */
export interface Ethtool {
  readonly index: number;
  readonly driver: Part<{
    readonly name: string;
    readonly version: string;
    readonly firmware: string;
    /** the device's address on its bus; empty for one made of software */
    readonly bus: string;
  }>;
  readonly rings: Part<Rings>;
  readonly coalesce: Part<Coalesce>;
  readonly channels: Part<Channels>;
  readonly features: Part<Readonly<Record<string, Feature>>>;
  readonly statistics: Part<Readonly<Record<string, number>>>;
}

export interface Probe {
  /** unknown: an earlier step failed, or it could not be told */
  readonly outcome: "works" | "fails" | "unknown";
  /** the kernel's words, unless it works */
  readonly detail: string;
}

/** What this kernel lets this process do, found out by doing it. */
export interface HostProbe {
  readonly capture: Readonly<
    Record<"packetSocket" | "packetRing" | "ringLocked" | "fanout" | "ignoreOutgoing" | "fanoutProgram", Probe>
  >;
  readonly clock: {
    readonly synchronised: boolean;
    readonly estimatedErrorUs: number;
    readonly largestErrorUs: number;
  };
}

/** The process at the other end of a UNIX socket, as it was when it connected. */
export interface Peer {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** supplementary ones */
  readonly groups: readonly number[];
}

export interface Engine {
  /** Throws an Error whose `code` is one of domain/errors.ts, as the three below do. Blocks for as long as the driver takes: milliseconds, or a link reset. */
  ethtool(interfaceName: string): Ethtool;
  setRings(interfaceName: string, values: Pick<Rings, "rx" | "tx">): void;
  setCoalesce(interfaceName: string, values: Coalesce): void;
  /** The kernel grants what it can and says nothing of the rest: read again to know. */
  setFeatures(interfaceName: string, values: Readonly<Record<string, boolean>>): void;
  /** Sends one frame over the loopback interface; opens sockets that take nothing, and closes them. */
  probe(): HostProbe;
  /** Unmaps the program's text, what is run again is mapped again; gives freed memory back. For when starting is over (native/src/host/unused_memory.h). */
  releaseUnused(): void;
  analyze(options: AnalyzeOptions): Analysis;
  capture(options: CaptureOptions): Capture;
  /** Calls with all interfaces, soon and after every change, until stopped; keeps the process alive as long. */
  watchLinks(onChange: (links: readonly Link[]) => void): { stop(): void };
  /** Of a connected UNIX socket, by its descriptor; null when it is none. */
  peer(descriptor: number): Peer | null;
  generate(options: GenerateOptions): Generation;
  /** Blocks; for `tapline bench micro` only. */
  micro(rounds: number): MicroResult[];
}

const load = (): Engine => createRequire(import.meta.url)("./build/tapline.node") as Engine;
let loaded: Engine | undefined;
/** The addon, loaded on first use so that commands that need no engine start without it. */
export const engine = (): Engine => (loaded ??= load());
