// Flow, gap and link records as the engine would hand them over, for tests and measurements.
import { cellCount, cellOffsets, flowRecord, gapRecord, linkRecord } from "#domain/records.ts";
import type { Protocol } from "#domain/vocabulary.ts";
import { protocols } from "#domain/vocabulary.ts";
import type { AnalysisSummary, ResultBatch } from "#domain/analysis.ts";

export interface MadeFlow {
  readonly packet: number;
  readonly protocol: Protocol;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  readonly packets: number;
  readonly bytes: number;
  readonly lost?: number;
  readonly gaps?: number;
  readonly duplicate?: number;
  readonly late?: number;
  readonly jumps?: number;
  readonly end?: number;
  readonly ipv6?: boolean;
  readonly an?: number;
  readonly vlans?: readonly number[];
  readonly spi?: number;
  readonly ports?: readonly [number, number];
  readonly sci?: readonly number[];
  /** bytes: 4 of IPv4, 16 of IPv6, 6 of a MAC */
  readonly source?: readonly number[];
  readonly destination?: readonly number[];
}

const f = cellOffsets(flowRecord);
const g = cellOffsets(gapRecord);
const l = cellOffsets(linkRecord);

export function flowBatch(flows: readonly MadeFlow[]): ResultBatch {
  const stride = cellCount(flowRecord);
  const records = new ArrayBuffer(flows.length * stride * 8);
  const numbers = new Float64Array(records);
  const times = new BigInt64Array(records);
  const bytes = new Uint8Array(records);
  const view = new DataView(records);
  for (const [i, flow] of flows.entries()) {
    const r = i * stride;
    const lost = flow.lost ?? 0;
    const duplicate = flow.duplicate ?? 0;
    const late = flow.late ?? 0;
    const unique = flow.packets - duplicate - late;
    const sequenced = flow.protocol !== "tcp" && flow.protocol !== "udp";
    const gaps = flow.gaps ?? (lost > 0 ? 1 : 0);
    const values = {
      packet: flow.packet,
      packets: flow.packets,
      bytes: flow.bytes,
      first_number: sequenced ? 1 : 0,
      last_number: sequenced ? unique + lost : 0,
      expected: sequenced ? unique + lost : 0,
      unique: sequenced ? unique : 0,
      duplicate,
      late,
      lost,
      jumps: flow.jumps ?? 0,
      gaps,
      min_gap: gaps ? Math.floor(lost / gaps) : 0,
      max_gap: gaps ? lost - Math.floor(lost / gaps) * (gaps - 1) : 0,
      min_inter_arrival: flow.packets > 1 ? 1000 : 0,
      max_inter_arrival: flow.packets > 1 ? 5_000_000 : 0,
    };
    for (const [name, value] of Object.entries(values)) numbers[r + f[name as keyof typeof values]] = value;
    times[r + f.first_time] = flow.firstNs;
    times[r + f.last_time] = flow.lastNs;
    const vlans = flow.vlans ?? [];
    bytes.set(
      [protocols.indexOf(flow.protocol), flow.end ?? 0, flow.ipv6 ? 1 : 0, flow.an ?? 0, 0, 0, vlans.length, 0],
      (r + f.meta) * 8,
    );
    const tags = (r + f.tags) * 8;
    view.setUint16(tags, vlans[0] ?? 0);
    view.setUint16(tags + 2, vlans[1] ?? 0);
    if (flow.ports) {
      view.setUint16(tags + 4, flow.ports[0]);
      view.setUint16(tags + 6, flow.ports[1]);
    } else view.setUint32(tags + 4, flow.spi ?? 0);
    bytes.set(flow.sci ?? [], (r + f.sci) * 8);
    bytes.set(flow.source ?? [], (r + f.source) * 8);
    bytes.set(flow.destination ?? [], (r + f.destination) * 8);
  }
  return { kind: "flows", records };
}

export interface MadeGap {
  readonly packet: number;
  readonly first: number;
  readonly last: number;
  readonly noticedNs: bigint;
  readonly confirmedNs: bigint;
  readonly jump?: boolean;
  readonly suspect?: boolean;
}

export function gapBatch(gaps: readonly MadeGap[]): ResultBatch {
  const stride = cellCount(gapRecord);
  const records = new ArrayBuffer(gaps.length * stride * 8);
  const numbers = new Float64Array(records);
  const times = new BigInt64Array(records);
  const bytes = new Uint8Array(records);
  for (const [i, gap] of gaps.entries()) {
    const r = i * stride;
    numbers[r + g.packet] = gap.packet;
    numbers[r + g.first] = gap.first;
    numbers[r + g.last] = gap.last;
    times[r + g.noticed] = gap.noticedNs;
    times[r + g.confirmed] = gap.confirmedNs;
    bytes.set([gap.jump ? 1 : 0, gap.suspect ? 1 : 0], (r + g.flags) * 8);
  }
  return { kind: "gaps", records };
}

export function linkBatch(
  links: readonly { readonly packet: number; readonly previous: number; readonly kind: number }[],
): ResultBatch {
  const stride = cellCount(linkRecord);
  const records = new ArrayBuffer(links.length * stride * 8);
  const numbers = new Float64Array(records);
  const bytes = new Uint8Array(records);
  for (const [i, link] of links.entries()) {
    numbers[i * stride + l.packet] = link.packet;
    numbers[i * stride + l.previous] = link.previous;
    bytes[(i * stride + l.meta) * 8] = link.kind;
  }
  return { kind: "links", records };
}

export const madeSummary = (change: Partial<AnalysisSummary> = {}): AnalysisSummary => ({
  complete: true,
  looped: 1,
  format: "pcap",
  bytesRead: 1_000_000,
  packets: 1000,
  timeReversed: 2,
  firstTimeNs: 1_790_000_000_000_000_001n,
  lastTimeNs: 1_790_000_010_000_000_009n,
  flows: 10,
  gaps: 3,
  capEvictions: 0,
  tombstonesDropped: 0,
  linksDropped: 0,
  settledEarly: 0,
  ledger: [
    {
      interface: "0", linkType: 1, seen: 1000, ringDrops: 0, inFlight: 0, delivered: 1000, decoded: 998, tracked: 990,
      undecodable: { truncated: 2 }, untracked: { arp: 5, ike: 3 }, residue: 0, captureDrops: 0,
    }, // biome-ignore format: one interface
  ],
  threads: 2,
  engineNs: 100_000_000,
  waitedNs: 0,
  peakFlows: 10,
  ...change,
});
