// The figures of a second as a report, and as rates. Enters: the engine's figures, now and a second before. Leaves: what domain/report.ts describes.
import type { CaptureFigures, PortCounts, ProtocolCounts } from "#domain/analysis.ts";
import type { ReportedInterface, ReportedProtocol } from "#domain/report.ts";
import { timeText } from "#domain/time.ts";
import { protocols } from "#domain/vocabulary.ts";
import type { Losses } from "#host/losses.ts";

/** What the kernel, the NIC and its driver say they lost before the rings. */
export type Beside = ReportedInterface["beside"];

/** Per second, over the time between two looks. */
export const rate = (now: number, before: number, ns: number): number =>
  ns > 0 ? Math.max(0, ((now - before) * 1e9) / ns) : 0;

export const reportInterface = (
  port: PortCounts,
  before: PortCounts | undefined,
  ns: number,
  beside: Beside,
): ReportedInterface => ({
  interface: port.interface,
  state: port.state,
  since: timeText(port.sinceNs),
  problem: port.problem,
  seen: port.seen,
  ring_drops: port.ringDrops,
  in_flight: port.inFlight,
  delivered: port.delivered,
  decoded: port.decoded,
  tracked: port.tracked,
  undecodable: port.undecodable,
  untracked: port.untracked,
  residue: port.residue,
  bytes: port.bytes,
  super_packets: port.superPackets,
  segments: port.segments,
  partial_checksums: port.partialChecksums,
  ring_full: port.ringFull,
  ring_bytes: port.ringBytes,
  ring_wanted: port.ringWanted,
  ring_locked: port.ringLocked,
  packets_per_second: rate(port.seen, before?.seen ?? 0, ns),
  bits_per_second: rate(port.bytes, before?.bytes ?? 0, ns) * 8,
  beside,
});

const isRemoved = ({ state }: Pick<PortCounts, "state">): boolean => state === "removed";
const byName = (figures: CaptureFigures | undefined): Map<string, PortCounts> =>
  new Map(figures?.ledger.map((port) => [port.interface, port]));

/** Interfaces that were removed before, and of which nothing has been counted since: there may be thousands. */
export function settledInterfaces(now: CaptureFigures, before: CaptureFigures | undefined): ReadonlySet<string> {
  const portsBefore = byName(before);
  const settled = now.ledger.filter((port) => {
    const then = portsBefore.get(port.interface);
    return isRemoved(port) && then && isRemoved(then) && then.seen === port.seen && then.tracked === port.tracked;
  });
  return new Set(settled.map((port) => port.interface));
}

export const reportInterfaces = (
  now: CaptureFigures,
  before: CaptureFigures | undefined,
  ns: number,
  losses: Losses,
): ReportedInterface[] => {
  const names = now.ledger.map((port) => port.interface);
  const removed = new Set(now.ledger.filter(isRemoved).map((port) => port.interface));
  const beside = losses.interfaces(names, (name) => !removed.has(name));
  const portsBefore = byName(before);
  return now.ledger.map((port, i) =>
    reportInterface(port, portsBefore.get(port.interface), ns, {
      kernel: beside[i]?.kernel ?? {},
      driver: beside[i]?.driver ?? {},
    }),
  );
};

/** Interfaces that are watched no more are one row together: on a node where pods come and go there would be ever more. */
export function foldRemoved(rows: readonly ReportedInterface[]): ReportedInterface[] {
  const gone = rows.filter(({ state }) => state === "removed");
  const there = rows.filter(({ state }) => state !== "removed");
  const [first, ...rest] = gone;
  return first ? [...there, rest.reduce(together, { ...first, interface: "(removed)" })] : there;
}

function together(a: ReportedInterface, b: ReportedInterface): ReportedInterface {
  const numbers = Object.entries(a).filter(([, value]) => typeof value === "number");
  const sums = Object.fromEntries(
    numbers.map(([name, value]) => [name, Number(value) + Number(b[name as keyof ReportedInterface])]),
  );
  const added = (x: Readonly<Record<string, number>>, y: Readonly<Record<string, number>>): Record<string, number> =>
    Object.fromEntries(
      [...new Set([...Object.keys(x), ...Object.keys(y)])].map((key) => [key, (x[key] ?? 0) + (y[key] ?? 0)]),
    );
  return {
    ...a,
    ...sums,
    since: [a.since, b.since].sort()[1] ?? a.since,
    undecodable: added(a.undecodable, b.undecodable),
    untracked: added(a.untracked, b.untracked),
    beside: { kernel: added(a.beside.kernel, b.beside.kernel), driver: added(a.beside.driver, b.beside.driver) },
  };
}

export const reportProtocols = (counts: readonly ProtocolCounts[]): ReportedProtocol[] =>
  counts.flatMap(({ protocol, ...rest }) => {
    const name = protocols[protocol];
    return name === undefined ? [] : [{ protocol: name, ...rest }];
  });

export const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
