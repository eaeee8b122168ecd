// What an analysis yields: batches of records while it runs, and one summary at its end. Made by native/, kept by store/.

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
  readonly ringBytes: number;
  readonly ringLocked: boolean;
  /** down or deleted: not watched at the moment */
  readonly gone: boolean;
}

/** What one thread of a capture got of its interface. */
export interface Member {
  readonly interface: string;
  readonly frames: number;
  readonly flows: number;
}

/** What a running capture counts; `ledger` has a row per interface. */
export interface CaptureFigures {
  readonly ledger: readonly PortCounts[];
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
  readonly peakFlows: number;
  readonly waitedNs: number;
  /** flows are spread over threads by the eBPF program; else by the classic one, less evenly */
  readonly ebpf: boolean;
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

export type ResultKind = "flows" | "gaps" | "links";
/** A run of fixed-size records; layouts in records.ts. */
export interface ResultBatch {
  readonly kind: ResultKind;
  readonly records: ArrayBuffer;
}
