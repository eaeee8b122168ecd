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
}

export interface AnalysisSummary {
  readonly complete: boolean;
  readonly looped: number;
  /** what ended the reading early, when something did: a code of domain/errors.ts */
  readonly fileError?: { readonly code: string; readonly offset: number };
  readonly format: "pcap" | "pcapng";
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
  readonly ledger: readonly LedgerCounts[];
  readonly threads: number;
  /** wall time of reading, decoding, following and gap detection alone */
  readonly engineNs: number;
  /** wall time the engine waited for its consumer to take results */
  readonly waitedNs: number;
  /** paced modes: how far behind its due time a packet was handed on */
  readonly pacing?: { readonly p50Ns: number; readonly p99Ns: number; readonly maxNs: number };
  readonly peakFlows: number;
}

export type ResultKind = "flows" | "gaps" | "links";
/** A run of fixed-size records; layouts in records.ts. */
export interface ResultBatch {
  readonly kind: ResultKind;
  readonly records: ArrayBuffer;
}
