// Rows of the store as the API tells them.
import type { z } from "zod";
import { timeText } from "#domain/time.ts";
import { flowEnds, linkKinds, protocols } from "#domain/vocabulary.ts";
import type { FlowRow } from "#store/queries.ts";
import type { BlindRow, GapRow, LedgerRow, LinkRow, RunRow, TotalRow } from "#store/reads.ts";
import type * as schemas from "./schemas.ts";

type Out<S extends z.ZodType> = z.output<S>;
const named = <T>(list: readonly T[], position: number): T => list[position] as T;
const iso = (ns: string): string => timeText(BigInt(ns));
const mbps = (bytes: number, ns: number): number => (ns > 0 ? (bytes * 8000) / ns : 0);

interface Counted
  extends Pick<
    FlowRow,
    | "expected"
    | "unique_packets"
    | "reordered"
    | "duplicate"
    | "late"
    | "lost"
    | "pending"
    | "jumps"
    | "outliers"
    | "restarts"
  > {}
const counters = (row: Counted) => ({
  expected: row.expected,
  unique: row.unique_packets,
  reordered: row.reordered,
  duplicate: row.duplicate,
  late: row.late,
  lost: row.lost,
  pending: row.pending,
  jumps: row.jumps,
  outliers: row.outliers,
  restarts: row.restarts,
  invariant_residue: row.expected - row.unique_packets - row.lost - row.pending,
});

export const presentFlow = (row: FlowRow): Out<typeof schemas.flow> => ({
  flow_id: `${row.run}-${row.packet}`,
  run: row.run,
  protocol: named(protocols, row.protocol),
  source: row.source,
  destination: row.destination,
  sci: row.sci,
  an: row.an,
  spi: row.spi,
  source_port: row.source_port,
  destination_port: row.destination_port,
  outer_vlan: row.outer_vlan,
  inner_vlan: row.inner_vlan,
  ipv6: row.ipv6 === 1,
  natt: row.natt === 1,
  wrapped: row.wrapped === 1,
  ended: named(flowEnds, row.ended),
  packets_received: row.packets,
  gaps_detected: row.gaps,
  total_lost_packets: row.lost,
  first_sequence: row.first_sequence,
  last_sequence: row.last_sequence,
  min_gap: row.min_gap,
  max_gap: row.max_gap,
  total_bytes: row.bytes,
  first_timestamp: iso(row.first_ns),
  last_timestamp: iso(row.last_ns),
  first_timestamp_ns: row.first_ns,
  last_timestamp_ns: row.last_ns,
  duration_seconds: row.duration_ns / 1e9,
  bandwidth_mbps: mbps(row.bytes, row.duration_ns),
  min_inter_arrival_ms: row.min_inter_arrival_ns / 1e6,
  max_inter_arrival_ms: row.max_inter_arrival_ns / 1e6,
  avg_inter_arrival_ms: row.packets > 1 ? row.duration_ns / (row.packets - 1) / 1e6 : 0,
  ...counters(row),
});

export const presentFlowDetail = (row: FlowRow, links: readonly LinkRow[]): Out<typeof schemas.flowDetail> => ({
  ...presentFlow(row),
  continues: links.map(({ previous, kind }) => ({ flow_id: `${row.run}-${previous}`, kind: named(linkKinds, kind) })),
});

export const presentGap = (row: GapRow): Out<typeof schemas.gap> => ({
  flow_id: `${row.run}-${row.packet}`,
  segment: row.segment,
  first: row.first,
  last: row.last,
  size: row.last - row.first + 1,
  noticed: iso(row.noticed_ns),
  noticed_ns: row.noticed_ns,
  confirmed: iso(row.confirmed_ns),
  confirmed_ns: row.confirmed_ns,
  jump: row.jump === 1,
  suspect: row.suspect === 1,
});

export const presentBlind = ({
  run,
  interface: name,
  since_ns,
  until_ns,
  reason,
}: BlindRow): Out<typeof schemas.blind> => ({
  run,
  interface: name,
  since: iso(since_ns),
  since_ns,
  until: iso(until_ns),
  until_ns,
  duration_seconds: Number(BigInt(until_ns) - BigInt(since_ns)) / 1e9,
  reason,
});

export const presentRun = ({
  options,
  complete,
  started_ns,
  finished_ns,
  first_ns,
  last_ns,
  file_error,
  file_error_offset,
  checkpoint_ns,
  ...rest
}: RunRow): Out<typeof schemas.runItem> => ({
  ...rest,
  options: JSON.parse(options) as unknown,
  complete: complete === 1,
  finished: finished_ns !== null,
  started: iso(started_ns),
  ended: finished_ns === null ? null : iso(finished_ns),
  checkpoint: checkpoint_ns === null ? null : iso(checkpoint_ns),
  first_timestamp: first_ns === null ? null : iso(first_ns),
  last_timestamp: last_ns === null ? null : iso(last_ns),
  file_error: file_error === null ? null : { code: file_error, offset: file_error_offset },
});

const sumOf = (rows: readonly TotalRow[], name: Exclude<keyof TotalRow, "first_ns" | "last_ns">): number =>
  rows.reduce((sum, row) => sum + row[name], 0);
const largest = (rows: readonly TotalRow[]): number => rows.reduce((most, row) => Math.max(most, row.max_gap), 0);

const summed = (rows: readonly TotalRow[]) =>
  counters({
    expected: sumOf(rows, "expected"),
    unique_packets: sumOf(rows, "unique_packets"),
    reordered: sumOf(rows, "reordered"),
    duplicate: sumOf(rows, "duplicate"),
    late: sumOf(rows, "late"),
    lost: sumOf(rows, "lost"),
    pending: sumOf(rows, "pending"),
    jumps: sumOf(rows, "jumps"),
    outliers: sumOf(rows, "outliers"),
    restarts: sumOf(rows, "restarts"),
  });

export function presentSummary(runs: readonly number[], rows: readonly TotalRow[]): Out<typeof schemas.summary> {
  let ns = 0n;
  for (const run of runs) {
    const own = rows.filter((row) => row.run === run);
    const [head] = own;
    if (!head) continue;
    let [first, last] = [BigInt(head.first_ns), BigInt(head.last_ns)];
    for (const row of own) {
      if (BigInt(row.first_ns) < first) first = BigInt(row.first_ns);
      if (BigInt(row.last_ns) > last) last = BigInt(row.last_ns);
    }
    ns += last - first;
  }
  return {
    runs: [...runs],
    total_flows: sumOf(rows, "flows"),
    total_packets_received: sumOf(rows, "packets"),
    total_gaps_detected: sumOf(rows, "gaps"),
    total_lost_packets: sumOf(rows, "lost"),
    max_gap_size: largest(rows),
    total_bytes: sumOf(rows, "bytes"),
    avg_bandwidth_mbps: mbps(sumOf(rows, "bytes"), Number(ns)),
    ...summed(rows),
  };
}

export const presentProtocols = (
  runs: readonly number[],
  rows: readonly TotalRow[],
): Out<typeof schemas.protocolList> => ({
  runs: [...runs],
  protocols: protocols.map((protocol, position) => {
    const own = rows.filter((row) => row.protocol === position);
    return {
      protocol,
      flows: sumOf(own, "flows"),
      packets: sumOf(own, "packets"),
      bytes: sumOf(own, "bytes"),
      gaps: sumOf(own, "gaps"),
      max_gap: largest(own),
      ...summed(own),
    };
  }),
});

const reasonsOf = (row: LedgerRow, kind: "undecodable" | "untracked"): Record<string, number> =>
  Object.fromEntries(
    row.reasons.filter((reason) => reason.kind === kind).map(({ reason, packets }) => [reason, packets]),
  );

export const presentLedger = (rows: readonly LedgerRow[]): Out<typeof schemas.ledger> => ({
  residue: rows.reduce((sum, row) => sum + row.residue, 0),
  interfaces: rows.map((row) => {
    const { position: _position, reasons: _reasons, ...rest } = row;
    return { ...rest, undecodable: reasonsOf(row, "undecodable"), untracked: reasonsOf(row, "untracked") };
  }),
});
