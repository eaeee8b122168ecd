// What the sensors have told: of each the sums of its last report, and for how long something is wrong. Enters: reports that may be counted with. Leaves: look-ups, by pool
// and node. Bounded: one small row for each sensor of a pool and node that exist.
import type { ReportedInterface, SensorReport } from "#domain/report.ts";
import { Heard } from "./heard.ts";
import { clockToleranceMs } from "./intake.ts";
import { total } from "./relay-book.ts";

export interface SensorState {
  readonly heard: Heard;
  readonly head: Pick<SensorReport, "version" | "run" | "started" | "rung" | "conditions">;
  /** wall clock of ours, ms since 1970 */
  readonly at: number;
  readonly clockOffMs: number | undefined;
  readonly packets: number;
  readonly bytes: number;
  readonly pps: number;
  readonly bps: number;
  /** seen and not followed, by reason */
  readonly drops: Readonly<Record<string, number>>;
  readonly ringDrops: number;
  readonly lost: number;
  readonly suspect: number;
  readonly flows: number;
  readonly interfaces: readonly Pick<ReportedInterface, "interface" | "state" | "problem">[];
  /** packets in no account, over interfaces on which nothing moves; undefined: all are in one */
  readonly residue: { readonly interface: string; readonly packets: number } | undefined;
  /** for how many reports in a row */
  readonly residueFor: number;
  /** by our clock, monotonic: when the rings last dropped something; −Infinity: not since we look */
  readonly droppedAt: number;
  readonly seen: ReadonlyMap<string, number>;
}

/** A node has so many interfaces that are told one by one; the rest are summed. */
const mostInterfaces = 64;

export class SensorBook {
  /** by pool, then node */
  readonly #pools = new Map<string, Map<string, SensorState>>();

  get(pool: string, node: string): SensorState | undefined {
    return this.#pools.get(pool)?.get(node);
  }
  /** Pools and nodes that are no more. */
  forgetBut(knowsPool: (pool: string) => boolean, knowsNode: (node: string) => boolean): void {
    for (const [pool, nodes] of this.#pools) {
      for (const node of nodes.keys()) if (!knowsNode(node)) nodes.delete(node);
      if (!knowsPool(pool)) this.#pools.delete(pool);
    }
  }

  /** `now` monotonic, `wall` since 1970; both ms. False when a later report was here before. */
  hear(report: SensorReport, clockOffMs: number, now: number, wall: number): boolean {
    const before = this.get(report.pool, report.node);
    const heard = before?.heard ?? new Heard();
    if (!heard.hear(report, now)) return false;
    const { version, run, started, rung, conditions, interfaces } = report;
    const sum = (pick: (one: ReportedInterface) => number): number => interfaces.reduce((all, one) => all + pick(one), 0); // biome-ignore format: one row
    const drops: Record<string, number> = {};
    const add = (counts: Readonly<Record<string, number>>): void => {
      for (const [reason, count] of Object.entries(counts)) if (count > 0) drops[reason] = (drops[reason] ?? 0) + count;
    };
    for (const one of interfaces) {
      add({ ring_drops: one.ring_drops });
      add(one.undecodable);
      add(one.untracked);
    }
    const ringDrops = sum((one) => one.ring_drops);
    const same = before?.head.run === run;
    const residue = residueOf(interfaces, same ? before.seen : new Map());
    const nodes = this.#pools.get(report.pool) ?? new Map<string, SensorState>();
    this.#pools.set(
      report.pool,
      nodes.set(report.node, {
        heard,
        head: { version, run, started, rung, conditions: conditions.slice(0, 32) },
        at: wall,
        clockOffMs: Math.abs(clockOffMs) > clockToleranceMs ? clockOffMs : undefined,
        packets: sum((one) => one.seen),
        bytes: sum((one) => one.bytes),
        pps: sum((one) => one.packets_per_second),
        bps: sum((one) => one.bits_per_second),
        drops,
        ringDrops,
        lost: report.lost,
        suspect: report.suspect_gaps,
        flows: report.flows.live,
        interfaces: interfaces.slice(0, mostInterfaces).map(({ interface: name, state, problem }) => ({ interface: name, state, problem })), // biome-ignore format: one row
        residue,
        residueFor: residue === undefined ? 0 : (before?.residueFor ?? 0) + 1,
        droppedAt: same && ringDrops > before.ringDrops ? now : (before?.droppedAt ?? -Infinity),
        seen: new Map(interfaces.slice(0, mostInterfaces).map((one) => [one.interface, one.seen])),
      }),
    );
    return true;
  }
}

/** Counters are read one after another while packets come: only where nothing moved since the report before does a residue mean something. */
function residueOf(
  interfaces: readonly ReportedInterface[],
  seen: ReadonlyMap<string, number>,
): SensorState["residue"] {
  const resting = interfaces.filter((one) => one.residue !== 0 && seen.get(one.interface) === one.seen);
  const packets = total(Object.fromEntries(resting.map((one) => [one.interface, Math.abs(one.residue)])));
  const [first] = resting;
  return first && { interface: first.interface, packets };
}
