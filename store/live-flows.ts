// Active flows laid over a database's own: what enters are the files beside it, read at most once a second and only when somebody
// asks. What leaves: per run the flows that have no row yet, by column and as a table.
//
// No flow is missed and none is twice, because the files are read first and the database after them: a flow leaves its file only
// once it is stored, and one that is in both is taken out here.
import type { Database } from "better-sqlite3";
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { flowEnds } from "#domain/vocabulary.ts";
import { liveFiles, liveRecords, type LiveFile } from "./live-file.ts";
import { isOfRun } from "./live-recovery.ts";
import { LiveRun } from "./live-run.ts";
import { LiveTable, type RunRecords, unstored } from "./live-table.ts";
import type { FlowRow } from "./queries.ts";
import type { TotalRow } from "./reads.ts";

const freshMs = 1000;
const slowestMs = 60_000;
/** A writer visits its file five times a second: one that did not for so long has died, or is stopped. */
const silentNs = 5_000_000_000n;
const rowsAtOnce = 2048;
const meta = cellOffsets(flowRecord).meta;
const stride = cellCount(flowRecord);
const active = flowEnds.indexOf("active");
const interrupted = flowEnds.indexOf("interrupted");

/** One run's live flows over several readings of its files. */
class Overlay {
  readonly flows: LiveRun;
  /** flow_columns.part of the first batch of ended flows that was not looked at yet */
  nextPart = 0;
  /** flows still in a file although they have a row */
  stored = new Set<number>();
  /** of the batches looked at since the files were last read */
  looked: Float64Array[] = [];

  constructor(run: number) {
    this.flows = new LiveRun(run);
  }
}

export class LiveFlows {
  readonly #db: Database;
  readonly #limit: number;
  readonly #now: () => number;
  readonly #overlays = new Map<number, Overlay>();
  readonly #table: LiveTable;
  #freshUntil = Number.NEGATIVE_INFINITY;
  /** Counts the states of the flows: tells whether the table holds all of the present one. */
  #state = 0;
  #spilled = false;

  /** `limit`: flows held in memory. `now`: wall clock, ms. */
  constructor(db: Database, limit: number, now: () => number = Date.now) {
    this.#db = db;
    this.#limit = limit;
    this.#now = now;
    this.#table = new LiveTable(db);
  }

  /**
   * Answers a question about the database with its active flows: the files are read before the transaction's view of the database is
   * taken. The other way round a flow that is stored and leaves its file in between would be in neither.
   */
  ask<T>(work: () => T): T {
    this.#refresh();
    return this.#db.transaction(work)();
  }

  /** Within `ask`. */
  of(runs: readonly number[]): readonly LiveRun[] {
    const found: LiveRun[] = [];
    for (const run of runs) {
      const overlay = this.#overlays.get(run);
      if (!overlay) continue;
      this.#takeOut(overlay);
      if (overlay.flows.index.length > 0) found.push(overlay.flows);
    }
    return found;
  }

  /** More are active than may be held in memory: they are in a table on disk, and each question reads it. After `of`. */
  get spilled(): boolean {
    return this.#spilled;
  }

  /** Its memory is wanted elsewhere; the next question reads the files again. Returns the runs it had. */
  letGo(): number[] {
    const runs = [...this.#overlays.keys()];
    this.#overlays.clear();
    this.#freshUntil = Number.NEGATIVE_INFINITY;
    this.#table.clear();
    return runs;
  }

  row(run: number, packet: number): FlowRow | undefined {
    if (this.#spilled) return this.#table.rows(run, [packet])[0];
    const flows = this.#overlays.get(run)?.flows;
    return flows && this.rows(flows, [packet])[0];
  }

  /** Those of the packets that name an active flow, as rows. */
  rows(flows: LiveRun, packets: readonly number[]): FlowRow[] {
    const rows = packets.map((packet) => flows.rowOf(packet)).filter((row) => row !== undefined);
    if (this.#table.state !== this.#state) this.#table.fill([[flows.run, flows.records(rows)]]);
    return this.#table.rows(flows.run, packets);
  }

  /** The name of a table of these runs' flows, ended and active, for questions that the columns do not answer. */
  table(lives: readonly LiveRun[]): string {
    if (this.#spilled) return `(SELECT * FROM main.flows UNION ALL SELECT * FROM ${unstored})`;
    if (lives.length === 0) return "flows";
    if (this.#table.state !== this.#state) this.#table.fill(recordsOf(this.#overlays.values()), this.#state);
    return "(SELECT * FROM main.flows UNION ALL SELECT * FROM temp.live_flows)";
  }

  /** Sums of the active flows of these runs. */
  totals(runs: readonly number[]): TotalRow[] {
    const lives = this.of(runs);
    return this.#spilled ? this.#table.totals(runs, unstored) : lives.flatMap((flows) => flows.totals());
  }

  #refresh(): void {
    const now = this.#now();
    if (now < this.#freshUntil && now > this.#freshUntil - slowestMs) return;
    const started = performance.now();
    this.#state++;
    const files = liveFiles(this.#db.name).filter((file) => isOfRun(this.#db, file));
    this.#spilled = files.reduce((sum, { slots }) => sum + slots, 0) > this.#limit;
    if (this.#spilled) {
      this.#overlays.clear();
      this.#table.fill(recordsIn(files, BigInt(now)), this.#state);
    } else this.#read(files, BigInt(now));
    // Many flows take a while to read, and seconds to put into a table: most of the time is for the questions.
    const took = performance.now() - started;
    this.#freshUntil = now + Math.min(slowestMs, Math.max(freshMs, (this.#spilled ? 10 : 3) * took));
  }

  #read(files: readonly LiveFile[], nowMs: bigint): void {
    const runs = new Set(files.map(({ run }) => run));
    for (const run of this.#overlays.keys()) if (!runs.has(run)) this.#overlays.delete(run);
    for (const run of runs) {
      const overlay = this.#overlays.get(run) ?? new Overlay(run);
      this.#overlays.set(run, overlay);
      overlay.flows.clear();
    }
    for (const [run, records] of recordsIn(files, nowMs)) this.#overlays.get(run)?.flows.add(records);
    for (const overlay of this.#overlays.values()) {
      overlay.flows.settle();
      this.#takeOutAgain(overlay);
    }
  }

  /** Flows of this reading that were known to be stored before it, or came to be while it was made. */
  #takeOutAgain(overlay: Overlay): void {
    const before = overlay.stored;
    overlay.stored = new Set();
    for (const packets of [before, ...overlay.looked])
      for (const packet of packets) if (overlay.flows.remove(packet)) overlay.stored.add(packet);
    overlay.looked = [];
  }

  /** What has been stored since the last look. */
  #takeOut(overlay: Overlay): void {
    const parts = this.#db.prepare<[number, number], { part: number; packets: Uint8Array }>(
      "SELECT part, substr(cells, 1, flows * 8) AS packets FROM flow_columns WHERE run = ? AND part >= ? ORDER BY part",
    );
    for (const { part, packets } of parts.iterate(overlay.flows.run, overlay.nextPart)) {
      overlay.nextPart = part + 1;
      const numbers = new Float64Array(packets.slice().buffer);
      overlay.looked.push(numbers);
      for (const packet of numbers)
        if (overlay.flows.remove(packet)) {
          overlay.stored.add(packet);
          this.#state++;
        }
    }
  }
}

/** Of every run, whichever were asked for: the next question may be about another. */
function* recordsOf(overlays: Iterable<Overlay>): Generator<RunRecords> {
  for (const { flows } of overlays)
    for (let from = 0; from < flows.index.length; from += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, flows.index.length - from);
      yield [flows.run, flows.records(Array.from({ length: count }, (_, i) => from + i))];
    }
}

/** Of all the files, their end put right: as the engine writes them they are active. */
function* recordsIn(files: readonly LiveFile[], nowMs: bigint): Generator<RunRecords> {
  for (const file of files) {
    const ended = nowMs * 1_000_000n - file.visitedNs > silentNs ? interrupted : active;
    for (const { records } of liveRecords(file)) {
      const bytes = new Uint8Array(records);
      for (let at = meta * 8 + 1; at < bytes.length; at += stride * 8) bytes[at] = ended;
      if (bytes.length > 0) yield [file.run, records];
    }
  }
}
