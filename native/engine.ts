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

export interface CaptureOptions {
  readonly interfaces: readonly string[];
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
  readonly maxFlows: number;
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

export interface Engine {
  analyze(options: AnalyzeOptions): Analysis;
  capture(options: CaptureOptions): Capture;
  generate(options: GenerateOptions): Generation;
  /** Blocks; for `tapline bench micro` only. */
  micro(rounds: number): MicroResult[];
}

const load = (): Engine => createRequire(import.meta.url)("./build/tapline.node") as Engine;
let loaded: Engine | undefined;
/** The addon, loaded on first use so that commands that need no engine start without it. */
export const engine = (): Engine => (loaded ??= load());
