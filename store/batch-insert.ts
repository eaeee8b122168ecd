// One open run: each batch is one transaction, so a crash leaves whole batches and a run that is not complete.
import type { Database, Statement } from "better-sqlite3";
import { cellCount, cellOffsets, flowRecord, gapRecord, linkRecord } from "#domain/records.ts";
import type { AnalysisSummary, ResultBatch } from "#domain/analysis.ts";
import { packColumns } from "./columns.ts";
import { FlowInsert, type ProtocolSums } from "./flow-insert.ts";

export interface RunStart {
  /** the capture's path or interface */
  readonly source: string;
  /** what the analysis was asked to do; kept as JSON */
  readonly options: Readonly<Record<string, unknown>>;
  readonly startedNs?: bigint;
}

const flowStride = cellCount(flowRecord);
const gapAt = cellOffsets(gapRecord);
const gapStride = cellCount(gapRecord);
const linkAt = cellOffsets(linkRecord);
const linkStride = cellCount(linkRecord);

const sumColumns = [
  "expected", "unique_packets", "reordered", "duplicate", "late", "lost", "pending", "jumps", "outliers", "restarts", "gaps",
]; // biome-ignore format: one list

export class BatchInsert {
  readonly #db: Database;
  readonly #flows: FlowInsert;
  readonly #gap: Statement;
  readonly #link: Statement;
  readonly #columns: Statement;
  readonly #totals: Statement;
  #run = 0;
  #part = 0;

  constructor(db: Database) {
    this.#db = db;
    this.#flows = new FlowInsert(db);
    this.#gap = db.prepare("INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.#link = db.prepare("INSERT INTO links VALUES (?, ?, ?, ?)");
    this.#columns = db.prepare("INSERT INTO flow_columns VALUES (?, ?, ?, ?)");
    const added = ["flows", "packets", "bytes", ...sumColumns].map((name) => `${name} = ${name} + excluded.${name}`);
    this.#totals = db.prepare(
      `INSERT INTO totals (run, protocol, flows, packets, bytes, first_ns, last_ns, max_gap, ${sumColumns.join(", ")})
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ${sumColumns.map(() => "?").join(", ")})
       ON CONFLICT DO UPDATE SET ${added.join(", ")}, max_gap = max(max_gap, excluded.max_gap),
         first_ns = min(first_ns, excluded.first_ns), last_ns = max(last_ns, excluded.last_ns)`,
    );
  }

  get run(): number {
    return this.#run;
  }

  begin({ source, options, startedNs }: RunStart): number {
    const insert = this.#db.prepare("INSERT INTO runs (source, options, started_ns) VALUES (?, ?, ?)");
    this.#run = Number(
      insert.run(source, JSON.stringify(options), startedNs ?? BigInt(Date.now()) * 1_000_000n).lastInsertRowid,
    );
    this.#part = 0;
    return this.#run;
  }

  /** Goes on with a run that another process began. */
  resume(run: number): void {
    this.#run = run;
    this.#part = this.#db
      .prepare("SELECT coalesce(max(part) + 1, 0) FROM flow_columns WHERE run = ?")
      .pluck()
      .get(run) as number;
  }

  write({ kind, records }: ResultBatch): void {
    if (records.byteLength === 0) return;
    this.#transaction(() => {
      if (kind === "flows") this.#writeFlows(records);
      else if (kind === "gaps") this.#writeGaps(records);
      else this.#writeLinks(records);
    });
  }

  #writeFlows(records: ArrayBuffer): void {
    for (const sum of this.#flows.insert(this.#run, records)) this.#addTotals(sum);
    this.#columns.run(this.#run, this.#part++, records.byteLength / (flowStride * 8), packColumns(records));
  }

  #addTotals(sum: ProtocolSums): void {
    this.#totals.run(
      this.#run,
      sum.protocol,
      sum.flows,
      sum.packets,
      sum.bytes,
      sum.first,
      sum.last,
      sum.maxGap,
      ...sum.counters,
    );
  }

  #writeGaps(records: ArrayBuffer): void {
    const numbers = new Float64Array(records);
    const times = new BigInt64Array(records);
    const bytes = new Uint8Array(records);
    const words = new Uint32Array(records);
    for (let r = 0; r < numbers.length; r += gapStride) {
      const flags = (r + gapAt.flags) * 8;
      this.#gap.run(
        this.#run, numbers[r + gapAt.packet], words[(r + gapAt.flags) * 2 + 1], numbers[r + gapAt.first], numbers[r + gapAt.last],
        times[r + gapAt.noticed], times[r + gapAt.confirmed], bytes[flags], bytes[flags + 1],
      ); // biome-ignore format: one list
    }
  }

  #writeLinks(records: ArrayBuffer): void {
    const numbers = new Float64Array(records);
    const bytes = new Uint8Array(records);
    for (let r = 0; r < numbers.length; r += linkStride)
      this.#link.run(this.#run, numbers[r + linkAt.packet], numbers[r + linkAt.previous], bytes[(r + linkAt.meta) * 8]);
  }

  finish(summary: AnalysisSummary): void {
    const row = {
      run: this.#run,
      finished_ns: BigInt(Date.now()) * 1_000_000n,
      complete: summary.complete ? 1 : 0,
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
    };
    const set = Object.keys(row)
      .filter((name) => name !== "run")
      .map((name) => `${name} = @${name}`);
    const ledger = this.#db.prepare("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    const reason = this.#db.prepare("INSERT INTO ledger_reasons VALUES (?, ?, ?, ?, ?)");
    this.#transaction(() => {
      this.#db.prepare(`UPDATE runs SET ${set.join(", ")} WHERE run = @run`).run(row);
      for (const [position, l] of summary.ledger.entries()) {
        ledger.run(
          this.#run,
          position,
          l.interface,
          l.linkType,
          l.seen,
          l.ringDrops,
          l.inFlight,
          l.delivered,
          l.decoded,
          l.tracked,
          l.residue,
        );
        for (const kind of ["undecodable", "untracked"] as const)
          for (const [name, packets] of Object.entries(l[kind])) reason.run(this.#run, position, kind, name, packets);
      }
    });
  }

  /** Takes the write lock at once: waiting for another writer happens before anything is done, not in the middle. */
  #transaction(work: () => void): void {
    this.#db.transaction(work).immediate();
  }
}
