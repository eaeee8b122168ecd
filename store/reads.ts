// What can be asked of a database, as plain data that can cross a thread. Runs in the reader's worker.
import type { Database } from "better-sqlite3";
import type { Filter, Operator } from "#domain/filter.ts";
import type { BlindReason } from "#domain/vocabulary.ts";
import { FlowPages, type FlowPage, type FlowQuery } from "./flow-pages.ts";
import { LiveFlows } from "./live-flows.ts";
import { addTotals } from "./live-run.ts";
import { flowByName, type FlowRow } from "./queries.ts";

/** A row of `runs`; times in ns as text. */
export interface RunRow {
  readonly run: number;
  readonly source: string;
  readonly options: string;
  readonly started_ns: string;
  readonly finished_ns: string | null;
  readonly complete: number;
  readonly looped: number;
  readonly format: string | null;
  readonly bytes_read: number | null;
  readonly packets: number | null;
  readonly time_reversed: number | null;
  readonly first_ns: string | null;
  readonly last_ns: string | null;
  readonly flows: number | null;
  readonly gaps: number | null;
  readonly cap_evictions: number | null;
  readonly tombstones_dropped: number | null;
  readonly links_dropped: number | null;
  readonly settled_early: number | null;
  readonly threads: number | null;
  readonly engine_ns: number | null;
  readonly waited_ns: number | null;
  readonly peak_flows: number | null;
  readonly file_error: string | null;
  readonly file_error_offset: number | null;
  /** while it runs, or when its writer died: when the figures above were taken */
  readonly checkpoint_ns: string | null;
  readonly pruned_flows: number;
  readonly pruned_gaps: number;
}

/** Sums of one protocol in one run. */
export interface TotalRow {
  readonly run: number;
  readonly protocol: number;
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly first_ns: string;
  readonly last_ns: string;
  readonly expected: number;
  readonly unique_packets: number;
  readonly reordered: number;
  readonly duplicate: number;
  readonly late: number;
  readonly lost: number;
  readonly pending: number;
  readonly jumps: number;
  readonly outliers: number;
  readonly restarts: number;
  readonly gaps: number;
  readonly max_gap: number;
}

export interface GapPlace {
  readonly run: number;
  readonly packet: number;
  readonly segment: number;
  readonly first: number;
}
export interface GapRow extends GapPlace {
  readonly last: number;
  readonly noticed_ns: string;
  readonly confirmed_ns: string;
  readonly jump: number;
  readonly suspect: number;
}

export interface LinkRow {
  readonly previous: number;
  readonly kind: number;
}

export interface BlindPlace {
  readonly run: number;
  readonly since_ns: string;
  readonly interface: string;
  readonly reason: BlindReason;
}
/** A time in which an interface was not watched. */
export interface BlindRow extends BlindPlace {
  readonly until_ns: string;
}

export interface LedgerRow {
  readonly run: number;
  readonly position: number;
  readonly interface: string;
  readonly link_type: number;
  readonly seen: number;
  readonly ring_drops: number;
  readonly in_flight: number;
  readonly delivered: number;
  readonly decoded: number;
  readonly tracked: number;
  readonly residue: number;
  readonly reasons: readonly {
    readonly kind: "undecodable" | "untracked";
    readonly reason: string;
    readonly packets: number;
  }[];
}

const runColumns = `run, source, options, CAST(started_ns AS TEXT) AS started_ns, CAST(finished_ns AS TEXT) AS finished_ns, complete, looped,
  format, bytes_read, packets, time_reversed, CAST(first_ns AS TEXT) AS first_ns, CAST(last_ns AS TEXT) AS last_ns, flows, gaps,
  cap_evictions, tombstones_dropped, links_dropped, settled_early, threads, engine_ns, waited_ns, peak_flows, file_error, file_error_offset,
  CAST(checkpoint_ns AS TEXT) AS checkpoint_ns, pruned_flows, pruned_gaps`;
const totalColumns = `run, protocol, flows, packets, bytes, CAST(first_ns AS TEXT) AS first_ns, CAST(last_ns AS TEXT) AS last_ns, expected,
  unique_packets, reordered, duplicate, late, lost, pending, jumps, outliers, restarts, gaps, max_gap`;
const gapColumns = `run, packet, segment, first, last, CAST(noticed_ns AS TEXT) AS noticed_ns, CAST(confirmed_ns AS TEXT) AS confirmed_ns, jump, suspect`;

const marks = (list: readonly unknown[]): string => list.map(() => "?").join(", ");

const holds: Readonly<Record<Operator, (a: number, b: number) => boolean>> = {
  "=": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
};

export class Reads {
  readonly #db: Database;
  readonly #pages: FlowPages;
  readonly #live: LiveFlows;

  /** `now`: wall clock, ms. */
  constructor(db: Database, flowsInMemory: number, now?: () => number) {
    this.#db = db;
    this.#live = new LiveFlows(db, flowsInMemory, now);
    this.#pages = new FlowPages(db, flowsInMemory, this.#live);
  }

  /** Nobody has asked for a while: what changes all the time is not kept in memory for them. */
  letGo(): void {
    this.#pages.letGo(this.#live.letGo());
  }

  /** Newest first. */
  runs(limit: number, before: number | null): RunRow[] {
    const sql = `SELECT ${runColumns} FROM runs WHERE run < ? ORDER BY run DESC LIMIT ?`;
    return this.#db.prepare<unknown[], RunRow>(sql).all(before ?? Number.MAX_SAFE_INTEGER, limit);
  }

  run(run: number): RunRow | null {
    return this.#db.prepare<unknown[], RunRow>(`SELECT ${runColumns} FROM runs WHERE run = ?`).get(run) ?? null;
  }

  /** The runs a question is about: those its run=… terms allow, else the one named, else the newest; ascending. */
  chooseRuns(wanted: number | "all" | "newest", filter: Filter): number[] {
    const all = this.#db.prepare("SELECT run FROM runs ORDER BY run").pluck().all() as number[];
    const terms = filter.filter((term) => term.kind === "number" && term.field === "run");
    const asked =
      wanted === "all" || (wanted === "newest" && terms.length > 0)
        ? all
        : wanted === "newest"
          ? all.slice(-1)
          : all.filter((run) => run === wanted);
    return asked.filter((run) =>
      terms.every((term) => {
        if (term.kind !== "number") return true;
        const test = (value: number): boolean => holds[term.op](run, value);
        return term.op === "!=" ? term.values.every(test) : term.values.some(test);
      }),
    );
  }

  totals(runs: readonly number[]): TotalRow[] {
    return this.#live.ask(() => {
      const active = this.#live.totals(runs);
      const ended = this.#db
        .prepare<unknown[], TotalRow>(
          `SELECT ${totalColumns} FROM totals WHERE run IN (${marks(runs)}) ORDER BY run, protocol`,
        )
        .all(...runs);
      return active.length > 0 ? addTotals(ended, active) : ended;
    });
  }

  /** What `work` returns of a table that has the columns of flows, with the runs' active flows among its rows. */
  withActive<T>(runs: readonly number[], work: (table: string) => T): T {
    return this.#live.ask(() => work(this.#live.table(this.#live.of(runs))));
  }

  flowPage(query: FlowQuery): FlowPage {
    return this.#pages.page(query);
  }

  flow(run: number, packet: number): { readonly flow: FlowRow; readonly links: readonly LinkRow[] } | null {
    const flow = this.#live.ask(() => {
      this.#live.of([run]);
      return (
        this.#db.prepare<unknown[], FlowRow>(flowByName("main.flows")).get(run, packet) ?? this.#live.row(run, packet)
      );
    });
    if (!flow) return null;
    const links = this.#db
      .prepare<unknown[], LinkRow>(
        "SELECT previous, kind FROM links WHERE run = ? AND packet = ? ORDER BY previous, kind",
      )
      .all(run, packet);
    return { flow, links };
  }

  gapsOfFlow(run: number, packet: number, after: GapPlace | null, limit: number): GapRow[] {
    const sql = `SELECT ${gapColumns} FROM gaps WHERE run = ? AND packet = ? AND (segment, first) > (?, ?) ORDER BY segment, first LIMIT ?`;
    return this.#db.prepare<unknown[], GapRow>(sql).all(run, packet, after?.segment ?? -1, after?.first ?? -1, limit);
  }

  /** Ordered by run, flow, and number. `runs` ascending. */
  gaps(runs: readonly number[], after: GapPlace | null, limit: number): GapRow[] {
    // One run at a time: each is then one range of the primary key.
    const sql = `SELECT ${gapColumns} FROM gaps WHERE run = ? AND (packet, segment, first) > (?, ?, ?) ORDER BY packet, segment, first LIMIT ?`;
    const read = this.#db.prepare<unknown[], GapRow>(sql);
    const rows: GapRow[] = [];
    for (const run of runs) {
      if (rows.length >= limit) break;
      if (after && run < after.run) continue;
      const from = after?.run === run ? after : null;
      rows.push(...read.all(run, from?.packet ?? -1, from?.segment ?? -1, from?.first ?? -1, limit - rows.length));
    }
    return rows;
  }

  /** Ordered by run and time. `runs` ascending. */
  blinds(runs: readonly number[], after: BlindPlace | null, limit: number): BlindRow[] {
    return this.#db
      .prepare<unknown[], BlindRow>(
        `SELECT run, CAST(since_ns AS TEXT) AS since_ns, interface, reason, CAST(until_ns AS TEXT) AS until_ns
         FROM blind WHERE run IN (${marks(runs)}) AND (run, since_ns, interface, reason) > (?, ?, ?, ?)
         ORDER BY blind.run, blind.since_ns, blind.interface, blind.reason LIMIT ?`,
      )
      .all(...runs, after?.run ?? 0, BigInt(after?.since_ns ?? 0), after?.interface ?? "", after?.reason ?? "", limit);
  }

  ledger(runs: readonly number[]): LedgerRow[] {
    const rows = this.#db
      .prepare<unknown[], Omit<LedgerRow, "reasons">>(
        `SELECT * FROM ledger WHERE run IN (${marks(runs)}) ORDER BY run, position`,
      )
      .all(...runs);
    const reasons = this.#db.prepare<unknown[], LedgerRow["reasons"][number]>(
      "SELECT kind, reason, packets FROM ledger_reasons WHERE run = ? AND position = ?",
    );
    return rows.map((row) => ({ ...row, reasons: reasons.all(row.run, row.position) }));
  }

  /** Loads the newest run's columns and runs the loops over them hot, so that the first question is as fast as the next. */
  warm(): void {
    const runs = this.chooseRuns("newest", []);
    for (const by of ["packets", "last_seen"] as const)
      for (const descending of [false, true])
        this.#pages.page({ runs, filter: [], sort: { by, descending }, limit: 1000 });
  }
}
