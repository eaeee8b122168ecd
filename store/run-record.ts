// What is kept of a run besides its flows: its row, its ledger and its blind times. A run that goes on is brought up to date
// once a second, so that a killed sensor's run tells what was seen until then.
import type { Database, Statement } from "better-sqlite3";
import type { AnalysisSummary, Blind } from "#domain/analysis.ts";

export interface RunStart {
  /** the capture's path, or the interfaces */
  readonly source: string;
  /** what the analysis was asked to do; kept as JSON */
  readonly options: Readonly<Record<string, unknown>>;
  readonly startedNs?: bigint;
  /** Of a sensor: what it watches. The time since the run before, if that was of the same source, is kept as blind. */
  readonly interfaces?: readonly string[];
}

/** Columns of `runs` that a checkpoint and the end both set. */
const figures = (summary: AnalysisSummary) => ({
  looped: summary.looped,
  format: summary.format,
  bytes_read: summary.bytesRead,
  packets: summary.packets,
  time_reversed: summary.timeReversed,
  first_ns: summary.firstTimeNs,
  last_ns: summary.lastTimeNs,
  flows: summary.flows,
  gaps: summary.gaps,
  cap_evictions: summary.capEvictions,
  tombstones_dropped: summary.tombstonesDropped,
  links_dropped: summary.linksDropped,
  settled_early: summary.settledEarly,
  threads: summary.threads,
  engine_ns: Math.round(summary.engineNs),
  waited_ns: Math.round(summary.waitedNs),
  peak_flows: summary.peakFlows,
  file_error: summary.fileError?.code ?? null,
  file_error_offset: summary.fileError?.offset ?? null,
  pacing_p50_ns: summary.pacing ? Math.round(summary.pacing.p50Ns) : null,
  pacing_p99_ns: summary.pacing ? Math.round(summary.pacing.p99Ns) : null,
  pacing_max_ns: summary.pacing ? Math.round(summary.pacing.maxNs) : null,
});

const ledgerColumns = ["interface", "link_type", "seen", "ring_drops", "in_flight", "delivered", "decoded", "tracked", "residue"]; // biome-ignore format: one list

export class RunRecord {
  readonly #db: Database;
  readonly #now: () => bigint;
  readonly #ledger: Statement;
  readonly #reason: Statement;
  readonly #blind: Statement;
  readonly #updates = new Map<string, Statement>();

  constructor(db: Database, now: () => bigint) {
    this.#db = db;
    this.#now = now;
    const set = ledgerColumns.map((name) => `${name} = excluded.${name}`);
    this.#ledger = db.prepare(
      `INSERT INTO ledger (run, position, ${ledgerColumns.join(", ")}) VALUES (?, ?, ${ledgerColumns.map(() => "?").join(", ")})
       ON CONFLICT DO UPDATE SET ${set.join(", ")}`,
    );
    // A count that stands writes no page.
    this.#reason = db.prepare(
      `INSERT INTO ledger_reasons VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET packets = excluded.packets WHERE packets <> excluded.packets`,
    );
    // A blind time that goes on is told again with a later end.
    this.#blind = db.prepare(
      `INSERT INTO blind (run, since_ns, interface, reason, until_ns) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET until_ns = max(until_ns, excluded.until_ns)`,
    );
  }

  begin({ source, options, startedNs = this.#now(), interfaces = [] }: RunStart): number {
    const before = this.#db
      .prepare(
        `SELECT source, coalesce(finished_ns, checkpoint_ns, started_ns) AS ended FROM runs ORDER BY run DESC LIMIT 1`,
      )
      .safeIntegers()
      .get() as { readonly source: string; readonly ended: bigint } | undefined;
    const insert = this.#db.prepare("INSERT INTO runs (source, options, started_ns) VALUES (?, ?, ?)");
    const run = Number(insert.run(source, JSON.stringify(options), startedNs).lastInsertRowid);
    // A clock that was set back leaves no time to speak of.
    if (before?.source === source && before.ended < startedNs)
      this.blind(
        run,
        interfaces.map((name) => ({ interface: name, sinceNs: before.ended, untilNs: startedNs, reason: "restart" })),
      );
    return run;
  }

  blind(run: number, rows: readonly Blind[]): void {
    for (const row of rows) this.#blind.run(run, row.sinceNs, row.interface, row.reason, row.untilNs);
  }

  checkpoint(run: number, summary: AnalysisSummary): void {
    this.#set(run, { checkpoint_ns: this.#now(), ...figures(summary) });
    this.#setLedger(run, summary);
  }

  finish(run: number, summary: AnalysisSummary): void {
    const ended = { finished_ns: this.#now(), complete: summary.complete ? 1 : 0 };
    this.#set(run, { ...ended, ...figures(summary) });
    this.#setLedger(run, summary);
  }

  #set(run: number, row: Readonly<Record<string, unknown>>): void {
    const sql = `UPDATE runs SET ${Object.keys(row).map((name) => `${name} = @${name}`).join(", ")} WHERE run = @run`; // biome-ignore format: one statement
    let update = this.#updates.get(sql);
    if (!update) {
      update = this.#db.prepare(sql);
      this.#updates.set(sql, update);
    }
    update.run({ ...row, run });
  }

  #setLedger(run: number, { ledger }: AnalysisSummary): void {
    for (const [position, l] of ledger.entries()) {
      this.#ledger.run(
        run, position, l.interface, l.linkType, l.seen, l.ringDrops, l.inFlight, l.delivered, l.decoded, l.tracked, l.residue,
      ); // biome-ignore format: one list
      for (const kind of ["undecodable", "untracked"] as const)
        for (const [name, packets] of Object.entries(l[kind])) this.#reason.run(run, position, kind, name, packets);
    }
  }
}
