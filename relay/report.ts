// The report of a second: everything bounded, with those rules that changed. A rule that was passed over is told first in the next ones.
import {
  type EngineRow,
  type HopRow,
  type RelayReport,
  reportedHops,
  reportedLinks,
  type ReportedPort,
  reportedRules,
  type LinkRow,
  type RuleRow,
  type TunnelRow,
  type WorkerRow,
} from "#domain/relay-report.ts";
import type { RelayPlace } from "#domain/subjects.ts";
import { timeText } from "#domain/time.ts";
import type { RelayFigures } from "#native/relay.ts";
import { secondMs } from "#process/every-second.ts";
import { version } from "#process/version.ts";
import { summed } from "./sums.ts";

/** reports */
const inTurn = 60;
const linksEvery = 30;

/** Which rows are told: a row is a new object exactly when something in it changed. */
export class ChangedRows {
  readonly #told = new Map<string, { row: RuleRow; turn: number }>();
  #turn = 0;
  #next = 0;

  take(rows: readonly RuleRow[], most = reportedRules): { readonly rows: readonly RuleRow[]; readonly untold: number } {
    this.#turn++;
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of this.#told.keys()) if (!ids.has(id)) this.#told.delete(id);
    const changed = rows.filter((row) => this.#told.get(row.id)?.row !== row);
    const turnOf = (row: RuleRow): number => this.#told.get(row.id)?.turn ?? 0;
    const chosen = changed.length > most ? changed.toSorted((a, b) => turnOf(a) - turnOf(b)).slice(0, most) : changed;
    for (const row of chosen) this.#told.set(row.id, { row, turn: this.#turn });
    return { rows: [...chosen, ...this.#again(rows, most - chosen.length)], untold: changed.length - chosen.length };
  }

  /** Some that did not change, in turn: who begins to listen knows all of them within a minute. */
  #again(rows: readonly RuleRow[], room: number): RuleRow[] {
    if (this.#next >= rows.length) this.#next = 0;
    const from = this.#next;
    this.#next += Math.min(room, Math.ceil(rows.length / inTurn));
    return rows.slice(from, this.#next).filter(({ id }) => this.#told.get(id)?.turn !== this.#turn);
  }
}

export interface Reported {
  readonly place: RelayPlace;
  readonly run: string;
  readonly startedNs: bigint;
  readonly ns: bigint;
  readonly sequence: number;
  readonly plan: RelayReport["plan"];
  readonly engines: readonly EngineRow[];
  readonly pinned: boolean;
  readonly figures: RelayFigures;
  readonly ports: readonly ReportedPort[];
  readonly rows: readonly RuleRow[];
  readonly changed: ReturnType<ChangedRows["take"]>;
  readonly hops: readonly HopRow[];
  readonly tunnels: readonly TunnelRow[];
  readonly links: readonly LinkRow[];
  readonly workers: readonly WorkerRow[];
  readonly bus: RelayReport["bus"];
  readonly conditions: RelayReport["conditions"];
}

export function makeReport(of: Reported): RelayReport {
  const { rows, figures } = of;
  const standing = (state: RuleRow["state"]): number => rows.filter((row) => row.state === state).length;
  const sum = (pick: (row: RuleRow) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  return {
    v: 1,
    ...of.place,
    version,
    run: of.run,
    time: timeText(of.ns),
    started: timeText(of.startedNs),
    sequence: of.sequence,
    interval_ms: secondMs,
    plan: of.plan,
    engines: [...of.engines],
    pinned: of.pinned,
    interfaces: [...of.ports],
    totals: {
      rules: rows.length,
      active: standing("active"),
      partial: standing("partial"),
      waiting: standing("waiting"),
      matched: sum(({ matched }) => matched),
      wanted: figures.outputs.reduce((total, { wanted }) => total + wanted, 0),
      sent: figures.outputs.reduce((total, { sent }) => total + sent, 0),
      sent_bytes: figures.outputs.reduce((total, { sentBytes }) => total + sentBytes, 0),
      refused: summed(figures.ports.map(({ refused }) => refused)),
      dropped: summed(figures.outputs.map(({ dropped }) => dropped)),
      packets_per_second: sum((row) => row.packets_per_second),
      bits_per_second: sum((row) => row.bits_per_second),
    },
    rules: [...of.changed.rows],
    rules_untold: of.changed.untold,
    hops: of.hops.slice(0, reportedHops),
    tunnels: of.tunnels.slice(0, reportedHops),
    ...(of.sequence % linksEvery === 1 && of.links.length <= reportedLinks ? { links: [...of.links] } : {}),
    workers: [...of.workers],
    bus: of.bus,
    conditions: [...of.conditions],
  };
}
