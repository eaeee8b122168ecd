// What an analysis yields: batches of records while it runs, and one summary at its end. Made by native/, kept by store/.

import type { BlindReason, PortState } from "./vocabulary.ts";

/** One interface of the capture: the ledger of docs/semantics.md. Reasons are keyed by the lists in vocabulary.ts. */
export interface LedgerCounts {
  readonly interface: string;
  readonly linkType: number;
  readonly seen: number;
  readonly ringDrops: number;
  readonly inFlight: number;
  readonly delivered: number;
  readonly decoded: number;
  readonly tracked: number;
  readonly undecodable: Readonly<Record<string, number>>;
  readonly untracked: Readonly<Record<string, number>>;
  readonly residue: number;
  /** what the program that made the capture says it dropped itself; it is outside the ledger */
  readonly captureDrops: number;
}

/** A live interface: its ledger and what stands beside it. */
export interface PortCounts extends LedgerCounts {
  readonly bytes: number;
  /** frames that an offload merged, and the packets in them */
  readonly superPackets: number;
  readonly segments: number;
  /** frames whose checksum was left for a NIC to fill */
  readonly partialChecksums: number;
  /** times a ring was full */
  readonly ringFull: number;
  /** of all its rings: less than wanted when memory was short; 0 while it is not watched */
  readonly ringBytes: number;
  readonly ringWanted: number;
  readonly ringLocked: boolean;
  readonly state: PortState;
  /** when that state began, in the run's time */
  readonly sinceNs: bigint;
  /** why it is not watched although it is there: a code of domain/errors.ts */
  readonly problem: { readonly code: string; readonly detail: string } | null;
}

/** What one thread of a capture got of its interface, and where it runs. */
export interface Member {
  readonly interface: string;
  readonly frames: number;
  readonly flows: number;
  /** null when any will do */
  readonly cpuWanted: number | null;
  /** where it last ran; null before its first look */
  readonly cpu: number | null;
  readonly nodeWanted: number | null;
  /** the NUMA node that its ring lies on; null when there is none, or the kernel does not tell */
  readonly node: number | null;
}

/** Sums over all flows of a protocol, ended and alive. `protocol` is its position in vocabulary.ts. */
export interface ProtocolCounts {
  readonly protocol: number;
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly expected: number;
  readonly unique: number;
  readonly reordered: number;
  readonly duplicate: number;
  readonly late: number;
  readonly lost: number;
  readonly pending: number;
  readonly gaps: number;
  readonly jumps: number;
  readonly outliers: number;
  readonly restarts: number;
}

/** What the threads did, summed; times are measured per block, never per packet. */
export interface Stages {
  readonly blocks: number;
  readonly frames: number;
  readonly decodeNs: number;
  /** waiting for results to be taken included: waitedNs */
  readonly followNs: number;
  readonly publishNs: number;
  readonly idlePolls: number;
}

/** What a running capture counts; `ledger` has a row per interface that ever was in it, `members` one per thread. */
export interface CaptureFigures {
  readonly ledger: readonly PortCounts[];
  readonly protocols: readonly ProtocolCounts[];
  readonly members: readonly Member[];
  readonly packets: number;
  readonly bytesRead: number;
  readonly firstTimeNs: bigint;
  readonly lastTimeNs: bigint;
  readonly flows: number;
  readonly liveFlows: number;
  readonly lost: number;
  readonly gaps: number;
  readonly capEvictions: number;
  readonly linksDropped: number;
  readonly tombstonesDropped: number;
  readonly settledEarly: number;
  /** writes of the files of active flows that failed; each is tried again */
  readonly liveWriteErrors: number;
  /** results that went through a file because the store was behind */
  readonly spilledBytes: number;
  /** batches of results that this file did not give back: lost */
  readonly unreadBatches: number;
  readonly peakFlows: number;
  readonly waitedNs: number;
  /** flows are spread over threads by the eBPF program; else by the classic one, less evenly */
  readonly ebpf: boolean;
  /** what the capture goes by now */
  readonly maxFlows: number;
  readonly settleNs: number;
  readonly idleNs: number;
  readonly sample: number;
  readonly filter: string;
  /** times the wall clock was set while the run's own time went on, and by how much in all */
  readonly clockSteps: number;
  readonly clockStepNs: number;
  /** blind times that could not be kept as records */
  readonly blindsDropped: number;
  readonly stages: Stages;
}

export interface AnalysisSummary {
  readonly complete: boolean;
  readonly looped: number;
  /** what ended the reading early, when something did: a code of domain/errors.ts */
  readonly fileError?: { readonly code: string; readonly offset: number; readonly detail: string };
  readonly format: "pcap" | "pcapng" | "live";
  readonly bytesRead: number;
  readonly packets: number;
  /** frames whose timestamp lay behind the clock */
  readonly timeReversed: number;
  readonly firstTimeNs: bigint;
  readonly lastTimeNs: bigint;
  readonly flows: number;
  readonly gaps: number;
  readonly capEvictions: number;
  readonly tombstonesDropped: number;
  readonly linksDropped: number;
  readonly settledEarly: number;
  readonly ledger: readonly (LedgerCounts | PortCounts)[];
  readonly threads: number;
  /** wall time of reading, decoding, following and gap detection alone */
  readonly engineNs: number;
  /** wall time the engine waited for its consumer to take results */
  readonly waitedNs: number;
  /** paced modes: how far behind its due time a packet was handed on */
  readonly pacing?: { readonly p50Ns: number; readonly p99Ns: number; readonly maxNs: number };
  readonly peakFlows: number;
  /** live captures */
  readonly members?: readonly Member[];
  readonly ebpf?: boolean;
}

/** A time in which an interface was not watched, or not wholly. */
export interface Blind {
  readonly interface: string;
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
  readonly reason: BlindReason;
}

export type ResultKind = "flows" | "gaps" | "links" | "blinds";
/** A run of fixed-size records; layouts in records.ts. */
export interface ResultBatch {
  readonly kind: ResultKind;
  readonly records: ArrayBuffer;
}
