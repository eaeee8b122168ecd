// Interfaces and hops as a report has them. Pure. Enters: figures now and before. Leaves: rows with their residue and rates.
import type { HopRow, ReportedPort, TunnelRow } from "#domain/relay-report.ts";
import type { RelayFigures, RelayHopFigures, RelayPortFigures } from "#native/relay.ts";
import type { Stand } from "./programme.ts";
import { added, nonZero, rate, sumOf } from "./sums.ts";

/** One for each interface and engine. */
export const portName = ({ ifindex, engine }: Pick<RelayPortFigures, "ifindex" | "engine">): string =>
  `${ifindex} ${engine}`;

export function portRows(
  now: RelayFigures,
  before: RelayFigures | undefined,
  ns: number,
  nameOf: (ifindex: number) => string,
): ReportedPort[] {
  const old = new Map(before?.ports.map((port) => [portName(port), port]));
  return now.ports.map((port) => {
    const was = before ? old.get(portName(port)) : port;
    return {
      interface: nameOf(port.ifindex),
      engine: port.engine,
      received: port.received,
      bytes: port.bytes,
      passed: port.passed,
      matched: port.matched,
      refused: nonZero(port.refused),
      ring_drops: port.ringDrops,
      residue: port.received - port.passed - port.matched - sumOf(port.refused),
      packets_per_second: rate(added(port.received, was?.received), ns),
      bits_per_second: rate(added(port.bytes, was?.bytes), ns) * 8,
    };
  });
}

export function hopRows(figures: RelayFigures, stands: Iterable<Stand>): HopRow[] {
  const streams = Map.groupBy(figures.hops, ({ path }) => path);
  const rows: HopRow[] = [];
  for (const { rule } of stands) {
    const { tunnel } = rule.from;
    if (!tunnel) continue;
    const all = streams.get(tunnel.path) ?? [];
    const of = (pick: (one: RelayHopFigures) => number): number => all.reduce((total, one) => total + pick(one), 0);
    rows.push({
      path: tunnel.path,
      rule: rule.id,
      peers: tunnel.peers,
      streams: all.length,
      unique: of(({ unique }) => unique),
      lost: of(({ lost }) => lost),
      pending: of(({ pending }) => pending),
      duplicate: of(({ duplicate }) => duplicate),
      reordered: of(({ reordered }) => reordered),
      late: of(({ late }) => late),
      latency_us: latency(all),
    });
  }
  return rows.sort((a, b) => a.path - b.path);
}

/** By path. */
export function tunnelRows(figures: RelayFigures, stands: Iterable<Stand>): TunnelRow[] {
  const outputs = new Map(figures.outputs.map((one) => [`${one.rule} ${one.id}`, one]));
  const rows: TunnelRow[] = [];
  for (const { rule } of stands)
    for (const { id, tunnel } of rule.to) {
      if (!tunnel) continue;
      const one = outputs.get(`${rule.id} ${id}`);
      rows.push({
        path: tunnel.path,
        rule: rule.id,
        wanted: one?.wanted ?? 0,
        sent: one?.sent ?? 0,
        dropped: nonZero(one?.dropped ?? {}),
      });
    }
  return rows.sort((a, b) => a.path - b.path);
}

function latency(all: readonly RelayHopFigures[]): HopRow["latency_us"] {
  const buckets = Array.from({ length: Math.max(0, ...all.map((one) => one.latency.length)) }, (_, i) =>
    all.reduce((total, one) => total + (one.latency[i] ?? 0), 0),
  );
  return { p50: percentile(buckets, 0.5), p99: percentile(buckets, 0.99), buckets };
}

/** The upper end of the bucket in which it lies; the last bucket has none. */
export function percentile(buckets: readonly number[], share: number): number | null {
  const all = buckets.reduce((total, count) => total + count, 0);
  let seen = 0;
  for (const [i, count] of buckets.entries()) {
    seen += count;
    if (all > 0 && seen >= share * all) return i === buckets.length - 1 ? null : 2 ** i;
  }
  return null;
}
