// Reports of strangers → reports to count with, or why not. Enters: a message's subject and bytes. Leaves: a report whose sender is who the subject says (the
// server lets a node speak for itself alone), of a node and pool that exist, with numbers that can be; everything else under one of the reasons below, counted
// and named, and never believed. Times are the sender's own: one whose clock is off is heard, but its times are not used.
import { relayReport, type RelayReport } from "#domain/relay-report.ts";
import { sensorReport, type SensorReport } from "#domain/report.ts";
import { parseReportSubject, type ReportSubject } from "#domain/subjects.ts";

/** Why a report is not counted with. */
export const reportRefusals = {
  subject: "its subject names nobody of this fleet",
  too_large: "it is larger than any agent makes one",
  malformed: "it is no report, or a field of it has another form",
  sender: "it says that it is somebody else's",
  unknown_node: "the cluster has no such node",
  unknown_pool: "there is no such pool",
  impossible: "numbers of it cannot be",
  behind: "one that was made later was here before",
} as const;
export type ReportRefusal = keyof typeof reportRefusals;

export type Taken =
  | { readonly kind: "sensor"; readonly report: SensorReport; readonly clockOffMs: number }
  | { readonly kind: "relay"; readonly report: RelayReport; readonly clockOffMs: number };
export interface Refused {
  readonly refused: ReportRefusal;
  /** who is said to have sent it; undefined when even that cannot be told */
  readonly node: string | undefined;
  readonly detail: string;
}

export interface Intake {
  readonly fleet: string;
  readonly knowsNode: (node: string) => boolean;
  readonly knowsPool: (pool: string) => boolean;
  /** wall clock, ms since 1970 */
  readonly now: () => number;
}

const mostBytes = 1 << 20;
const utf8 = new TextDecoder("utf-8", { fatal: true });
/** Of a rate: the fastest NICs there are make less in an hour. */
const mostPerSecond = 1e13;
/** Clocks that differ by less are taken as one. */
export const clockToleranceMs = 10_000;

export function takeReport(subject: string, data: Uint8Array, intake: Intake): Taken | Refused {
  const from = parseReportSubject(subject);
  const refused = (why: ReportRefusal, detail: string): Refused => ({ refused: why, node: from?.node, detail });
  if (!from || from.fleet !== intake.fleet) return refused("subject", subject.slice(0, 200));
  if (!intake.knowsNode(from.node)) return refused("unknown_node", from.node);
  if (from.kind === "sensor" && !intake.knowsPool(from.pool)) return refused("unknown_pool", from.pool);
  if (data.length > mostBytes) return refused("too_large", `${data.length} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(data));
  } catch (cause) {
    return refused("malformed", (cause as Error).message);
  }
  const parsed = from.kind === "sensor" ? sensorReport.safeParse(value) : relayReport.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refused("malformed", `${issue?.path.join(".") || "it"}: ${issue?.message ?? "not valid"}`);
  }
  const report = parsed.data;
  if (!isOf(from, report)) return refused("sender", `${report.node} of ${report.fleet}`);
  const wrong = "pool" in report ? impossibleSensor(report) : impossibleRelay(report);
  if (wrong !== undefined) return refused("impossible", wrong);
  const clockOffMs = Date.parse(report.time) - intake.now();
  if (Number.isNaN(clockOffMs)) return refused("malformed", "time: no time");
  return "pool" in report ? { kind: "sensor", report, clockOffMs } : { kind: "relay", report, clockOffMs };
}

const isOf = (from: ReportSubject, report: SensorReport | RelayReport): boolean =>
  report.fleet === from.fleet &&
  report.node === from.node &&
  (from.kind === "sensor" ? "pool" in report && report.pool === from.pool : true);

const tooFast = (name: string, rate: number): string | undefined =>
  rate > mostPerSecond ? `${name} is ${rate}` : undefined;

function impossibleSensor(report: SensorReport): string | undefined {
  if (report.interval_ms > mostIntervalMs) return `interval_ms is ${report.interval_ms}`;
  for (const one of report.interfaces) {
    const { delivered, decoded, tracked, ring_drops: drops, seen } = one;
    const wrong = tooFast(`${one.interface}: packets_per_second`, one.packets_per_second) ?? tooFast(`${one.interface}: bits_per_second`, one.bits_per_second); // biome-ignore format: one row
    if (wrong !== undefined) return wrong;
    if (decoded > delivered || tracked > decoded)
      return `${one.interface}: delivered ${delivered}, decoded ${decoded}, tracked ${tracked}`;
    const right = drops + delivered + one.in_flight + sum(one.undecodable) + sum(one.untracked);
    if (Math.abs(one.residue) > seen + right) return `${one.interface}: a residue of ${one.residue}`;
  }
  for (const { protocol, expected, unique, lost, pending } of report.protocols)
    if (expected !== unique + lost + pending)
      return `${protocol}: expected ${expected} is not unique ${unique} + lost ${lost} + pending ${pending}`;
  return undefined;
}

function impossibleRelay(report: RelayReport): string | undefined {
  if (report.interval_ms > mostIntervalMs) return `interval_ms is ${report.interval_ms}`;
  const { totals } = report;
  if (totals.active + totals.partial + totals.waiting !== totals.rules)
    return `${totals.rules} rules, of which ${totals.active + totals.partial + totals.waiting} stand somehow`;
  const paths = new Set<number>();
  for (const { path } of report.hops) {
    if (paths.has(path)) return `path ${path} came in twice`;
    paths.add(path);
  }
  return tooFast("packets_per_second", totals.packets_per_second) ?? tooFast("bits_per_second", totals.bits_per_second);
}

const mostIntervalMs = 60_000;
const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
