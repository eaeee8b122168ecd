// Active flows laid over a database's own: what enters are the files beside it, read at most once a second and only when somebody
// asks. What leaves: per run the flows that have no row yet, by column and as a table.
//
// No flow is missed and none is twice, because the files are read first and the database after them: a flow leaves its file only
// once it is stored, and one that is in both is taken out here.
import type { Database } from "better-sqlite3";
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { flowEnds } from "#domain/vocabulary.ts";
import { FlowInsert } from "./flow-insert.ts";
import { liveFiles, liveRecords, type LiveFile } from "./live-file.ts";
import { isOfRun } from "./live-recovery.ts";
import { LiveRun } from "./live-run.ts";
import { flowByName, type FlowRow } from "./queries.ts";
import type { TotalRow } from "./reads.ts";

const freshMs = 1000;
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
  #readAt = Number.NEGATIVE_INFINITY;
  /** Counts the states of the flows; what the table was filled from. */
  #state = 0;
  #tableOf: number | undefined;
  #insert: FlowInsert | undefined;
  /** slots of the last reading that never passed their check */
  torn = 0;
  /** flows of the last reading that were more than the limit */
  leftOut = 0;

  /** `limit`: flows held at once. `now`: wall clock, ms. */
  constructor(db: Database, limit: number, now: () => number = Date.now) {
    this.#db = db;
    this.#limit = limit;
    this.#now = now;
  }

  /** To be called in one transaction with what is read of the database. */
  of(runs: readonly number[]): readonly LiveRun[] {
    this.#refresh();
    const found: LiveRun[] = [];
    for (const run of runs) {
      const overlay = this.#overlays.get(run);
      if (!overlay) continue;
      this.#takeOut(overlay);
      if (overlay.flows.index.length > 0) found.push(overlay.flows);
    }
    return found;
  }

  /** Its memory is wanted elsewhere; the next question reads the files again. */
  letGo(): number[] {
    const runs = [...this.#overlays.keys()];
    this.#overlays.clear();
    this.#readAt = Number.NEGATIVE_INFINITY;
    if (this.#insert) this.#db.exec("DELETE FROM temp.live_flows");
    this.#tableOf = undefined;
    return runs;
  }

  /** One active flow as a row. */
  row(flows: LiveRun, packet: number): FlowRow | undefined {
    const row = flows.rowOf(packet);
    return row === undefined ? undefined : this.rows(flows, [packet])[0];
  }

  /** Active flows as rows, in the order of their names. */
  rows(flows: LiveRun, packets: readonly number[]): FlowRow[] {
    if (this.#tableOf !== this.#state)
      this.#fill([{ flows, rows: packets.map((packet) => flows.rowOf(packet)).filter((row) => row !== undefined) }]);
    const read = this.#db.prepare<[number, number], FlowRow>(flowByName("temp.live_flows"));
    return packets.map((packet) => read.get(flows.run, packet)).filter((row) => row !== undefined);
  }

  /** The name of a table of these runs' flows, ended and active, for questions that the columns do not answer. */
  table(lives: readonly LiveRun[]): string {
    if (lives.length === 0) return "flows";
    if (this.#tableOf !== this.#state) {
      this.#fill(
        lives.map((flows) => ({ flows, rows: Uint32Array.from({ length: flows.index.length }, (_, i) => i) })),
      );
      this.#tableOf = this.#state;
    }
    return "(SELECT * FROM main.flows UNION ALL SELECT * FROM temp.live_flows)";
  }

  #fill(parts: readonly { readonly flows: LiveRun; readonly rows: ArrayLike<number> }[]): void {
    this.#tableOf = undefined;
    if (!this.#insert) {
      const made = this.#db.prepare("SELECT sql FROM main.sqlite_schema WHERE name = 'flows'").pluck().get() as string;
      this.#db.exec(made.replace("CREATE TABLE flows", "CREATE TEMP TABLE live_flows"));
      this.#insert = new FlowInsert(this.#db, "temp.live_flows");
    }
    this.#db.exec("DELETE FROM temp.live_flows");
    for (const { flows, rows } of parts)
      for (let from = 0; from < rows.length; from += rowsAtOnce)
        this.#insert.insert(flows.run, flows.records(Array.prototype.slice.call(rows, from, from + rowsAtOnce)));
  }

  #refresh(): void {
    const now = this.#now();
    if (Math.abs(now - this.#readAt) < freshMs) return;
    this.#readAt = now;
    this.#state++;
    this.torn = 0;
    this.leftOut = 0;
    const files = liveFiles(this.#db.name).filter((file) => isOfRun(this.#db, file));
    const runs = new Set(files.map(({ run }) => run));
    for (const run of this.#overlays.keys()) if (!runs.has(run)) this.#overlays.delete(run);
    for (const run of runs) {
      const overlay = this.#overlays.get(run) ?? new Overlay(run);
      this.#overlays.set(run, overlay);
      overlay.flows.clear();
    }
    let room = this.#limit;
    for (const file of files)
      room = this.#read(file, this.#overlays.get(file.run)?.flows as LiveRun, BigInt(now), room);
    for (const { flows } of this.#overlays.values()) flows.settle();
    for (const overlay of this.#overlays.values()) this.#takeOutAgain(overlay);
  }

  #read(file: LiveFile, into: LiveRun, nowMs: bigint, room: number): number {
    const ended = nowMs * 1_000_000n - file.visitedNs > silentNs ? interrupted : active;
    for (const { records, torn } of liveRecords(file)) {
      this.torn += torn;
      const bytes = new Uint8Array(records);
      for (let at = meta * 8 + 1; at < bytes.length; at += stride * 8) bytes[at] = ended;
      const flows = bytes.length / (stride * 8);
      const fits = Math.min(flows, room);
      this.leftOut += flows - fits;
      room -= fits;
      if (fits > 0) into.add(fits === flows ? records : records.slice(0, fits * stride * 8));
    }
    return room;
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

  /** Sums of the active flows of these runs. */
  totals(runs: readonly number[]): TotalRow[] {
    return this.of(runs).flatMap((flows) => flows.totals());
  }
}
