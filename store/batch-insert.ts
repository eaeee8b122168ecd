// One open run: each batch is one transaction, so a crash leaves whole batches and a run that is not complete.
import type { Database, Statement } from "better-sqlite3";
import { cellCount, cellOffsets, flowRecord, gapRecord, linkRecord } from "#domain/records.ts";
import type { AnalysisSummary, Blind, ResultBatch } from "#domain/analysis.ts";
import { packColumns } from "./columns.ts";
import { packGapKeys, partKinds } from "./parts.ts";
import { RunRecord, type RunStart } from "./run-record.ts";
import { FlowInsert, type ProtocolSums } from "./flow-insert.ts";

export const wallClock = (): bigint => BigInt(Date.now()) * 1_000_000n;

export interface InsertOptions {
  readonly now?: () => bigint;
  /** Whether retention will delete: parts are small then, and gaps can go before their flow does, for 20 bytes a gap. */
  readonly retained?: boolean;
}

/** A transaction that deletes as many flows from as many pages takes about 10 ms. */
const partRecords = 512;

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
  readonly #parts: Statement;
  readonly #gapKeys: Statement;
  readonly #record: RunRecord;
  readonly #now: () => bigint;
  retained: boolean;
  #run = 0;
  #flowPart = 0;
  #gapPart = 0;
  #nextFlowPart = 0;
  #nextGapPart = 0;

  constructor(db: Database, { now = wallClock, retained = false }: InsertOptions = {}) {
    this.#db = db;
    this.#now = now;
    this.retained = retained;
    this.#record = new RunRecord(db, now);
    this.#parts = db.prepare("INSERT INTO parts VALUES (?, ?, ?, ?)");
    this.#gapKeys = db.prepare("INSERT INTO gap_keys VALUES (?, ?, ?)");
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

  begin(start: RunStart): number {
    this.#transaction(() => {
      this.#run = this.#record.begin(start);
    });
    this.#flowPart = 0;
    this.#gapPart = 0;
    return this.#run;
  }

  /** Goes on with a run that another process began. */
  resume(run: number): void {
    const nextPart = (table: string): number =>
      this.#db.prepare(`SELECT coalesce(max(part) + 1, 0) FROM ${table} WHERE run = ?`).pluck().get(run) as number;
    this.#run = run;
    this.#flowPart = nextPart("flow_columns");
    this.#gapPart = nextPart("gap_keys");
  }

  write({ kind, records }: ResultBatch): void {
    if (records.byteLength === 0) return;
    if (kind === "blinds") return; // their own table: StoreWriter.blind
    this.#nextFlowPart = this.#flowPart;
    this.#nextGapPart = this.#gapPart;
    this.#transaction(() => {
      if (kind === "flows") this.#writeFlows(records);
      else if (kind === "gaps") this.#writeGaps(records);
      else this.#writeLinks(records);
    });
    // Only now: a batch that was rolled back comes again, under the same numbers.
    this.#flowPart = this.#nextFlowPart;
    this.#gapPart = this.#nextGapPart;
  }

  #writeFlows(records: ArrayBuffer): void {
    for (const sum of this.#flows.insert(this.#run, records)) this.#addTotals(sum);
    for (const part of this.#split(records, flowStride)) {
      const columns = packColumns(part);
      this.#columns.run(this.#run, this.#nextFlowPart, part.length / flowStride, columns);
      columns.buffer.transfer(0); // free now, not when it is collected
      this.#parts.run(this.#run, partKinds.flows, this.#nextFlowPart++, this.#now());
    }
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
    if (!this.retained) return;
    for (const part of this.#split(records, gapStride)) {
      const keys = packGapKeys(part);
      this.#gapKeys.run(this.#run, this.#nextGapPart, keys);
      keys.buffer.transfer(0);
      this.#parts.run(this.#run, partKinds.gaps, this.#nextGapPart++, this.#now());
    }
  }

  /** Parts small enough to be deleted in one short transaction, where retention will. */
  #split(records: ArrayBuffer, stride: number): Float64Array<ArrayBuffer>[] {
    const cells = new Float64Array(records);
    if (!this.retained) return [cells];
    const size = partRecords * stride;
    return Array.from({ length: Math.ceil(cells.length / size) }, (_, i) => cells.subarray(i * size, (i + 1) * size));
  }

  #writeLinks(records: ArrayBuffer): void {
    const numbers = new Float64Array(records);
    const bytes = new Uint8Array(records);
    for (let r = 0; r < numbers.length; r += linkStride)
      this.#link.run(this.#run, numbers[r + linkAt.packet], numbers[r + linkAt.previous], bytes[(r + linkAt.meta) * 8]);
  }

  blind(rows: readonly Blind[]): void {
    this.#transaction(() => this.#record.blind(this.#run, rows));
  }

  /** Brings the open run's row and ledger up to date. */
  checkpoint(summary: AnalysisSummary): void {
    this.#transaction(() => this.#record.checkpoint(this.#run, summary));
  }

  finish(summary: AnalysisSummary): void {
    this.#transaction(() => this.#record.finish(this.#run, summary));
  }

  /** Takes the write lock at once: waiting for another writer happens before anything is done, not in the middle. */
  #transaction(work: () => void): void {
    this.#db.transaction(work).immediate();
  }
}
