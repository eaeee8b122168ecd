// What the relays have told, of what is planned: how each stands, its rules, and the paths between them. Enters: reports that may be counted with. Leaves: look-ups. Bounded by
// the plans: of rules and paths that are in none nothing is kept, nor of nodes that are no more.
import { isDeepStrictEqual } from "node:util";
import type { RelayReport, RuleRow } from "#domain/relay-report.ts";
import { Heard } from "./heard.ts";
import { clockToleranceMs } from "./intake.ts";
import { PathLedger } from "./path-ledger.ts";

/** A rule on a node, as last told. */
export interface RuleTally
  extends Pick<RuleRow, "state" | "engine" | "why" | "matched" | "refused" | "dropped" | "last"> {
  readonly sent: number;
  readonly pps: number;
  readonly bps: number;
  /** by our clock, monotonic: when it last took, dropped or refused more than before; −Infinity: not since we look */
  readonly movedAt: number;
  readonly lossAt: number;
}

export interface RelayState {
  readonly heard: Heard;
  /** as last told; its rules, hops and tunnels apart */
  readonly head: Pick<
    RelayReport,
    "version" | "run" | "started" | "plan" | "engines" | "pinned" | "totals" | "conditions"
  >;
  /** wall clock of ours, ms since 1970: when it was last heard */
  readonly at: number;
  /** of its clock: undefined when it agrees with ours */
  readonly clockOffMs: number | undefined;
  readonly links: RelayReport["links"];
  readonly rules: ReadonlyMap<string, RuleTally>;
}

export interface Planned {
  /** by node: ids of rules */
  readonly rules: ReadonlyMap<string, ReadonlySet<string>>;
  readonly paths: ReadonlySet<number>;
}
const nothing: ReadonlySet<string> = new Set();
/** Refused for these reasons a packet of the feed itself is gone; for the others it was somebody else's. */
export const lossyRefusals = ["ttl", "loop", "fragment", "hop_limit", "orphaned"] as const;

interface Kept extends RelayState {
  readonly rules: Map<string, RuleTally>;
}

export class RelayBook {
  readonly #nodes = new Map<string, Kept>();
  readonly #paths = new Map<number, PathLedger>();
  #planned: Planned = { rules: new Map(), paths: new Set() };
  /** called when a node has other interfaces than before */
  onLinks: () => void = () => undefined;

  get(node: string): RelayState | undefined {
    return this.#nodes.get(node);
  }
  path(path: number): PathLedger | undefined {
    return this.#paths.get(path);
  }

  /** What is kept from now on. */
  plan(planned: Planned): void {
    this.#planned = planned;
    for (const path of this.#paths.keys()) if (!planned.paths.has(path)) this.#paths.delete(path);
    for (const [node, { rules }] of this.#nodes) {
      const ids = planned.rules.get(node) ?? nothing;
      for (const id of rules.keys()) if (!ids.has(id)) rules.delete(id);
    }
  }

  /** Nodes that are no more. */
  forgetBut(knows: (node: string) => boolean): void {
    for (const node of this.#nodes.keys()) if (!knows(node)) this.#nodes.delete(node);
  }

  /** `now` monotonic, `wall` since 1970; both ms. False when a later report was here before. */
  hear(report: RelayReport, clockOffMs: number, now: number, wall: number): boolean {
    const before = this.#nodes.get(report.node);
    const heard = before?.heard ?? new Heard();
    if (!heard.hear(report, now)) return false;
    const { version, run, started, plan, engines, pinned, totals, conditions } = report;
    const rules = before?.rules ?? new Map<string, RuleTally>();
    const ids = this.#planned.rules.get(report.node) ?? nothing;
    for (const row of report.rules) if (ids.has(row.id)) rules.set(row.id, tallyOf(row, rules.get(row.id), now));
    for (const row of report.hops) this.#ledger(row.path)?.came(row, now);
    for (const row of report.tunnels) this.#ledger(row.path)?.sent(row, now);
    const links = report.links ?? before?.links;
    this.#nodes.set(report.node, {
      heard,
      head: { version, run, started, plan, engines, pinned, totals, conditions: conditions.slice(0, 32) },
      at: wall,
      clockOffMs: Math.abs(clockOffMs) > clockToleranceMs ? clockOffMs : undefined,
      links,
      rules,
    });
    if (report.links !== undefined && !isDeepStrictEqual(links, before?.links)) this.onLinks();
    return true;
  }

  #ledger(path: number): PathLedger | undefined {
    if (!this.#planned.paths.has(path)) return undefined;
    const ledger = this.#paths.get(path) ?? new PathLedger();
    this.#paths.set(path, ledger);
    return ledger;
  }
}

function tallyOf(row: RuleRow, before: RuleTally | undefined, now: number): RuleTally {
  const { state, engine, why, matched, refused, dropped, last } = row;
  const lossOf = (of: Pick<RuleRow, "refused" | "dropped">): number =>
    lossyRefusals.reduce((sum, reason) => sum + (of.refused[reason] ?? 0), total(of.dropped));
  // The first look at a rule is no movement: what it has counted may be of yesterday.
  const moved = before !== undefined && matched > before.matched;
  const lost = before !== undefined && lossOf(row) > lossOf(before);
  return {
    state,
    engine,
    why,
    matched,
    refused,
    dropped,
    last,
    sent: row.packets_relayed,
    pps: row.packets_per_second,
    bps: row.bits_per_second,
    movedAt: moved || row.packets_per_second > 0 ? now : (before?.movedAt ?? -Infinity),
    lossAt: lost ? now : (before?.lossAt ?? -Infinity),
  };
}

export const total = (counts: Readonly<Partial<Record<string, number>>>): number =>
  Object.values(counts).reduce<number>((sum, count) => sum + (count ?? 0), 0);

export function sumsOf(all: Iterable<Readonly<Partial<Record<string, number>>>>): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const counts of all)
    for (const [reason, count = 0] of Object.entries(counts)) sums[reason] = (sums[reason] ?? 0) + count;
  return sums;
}
