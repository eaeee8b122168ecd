// What a process that died left in its live files, brought into the database: its flows with the end `interrupted`. Runs in the
// writer's thread, before anything else is written.
import { unlinkSync } from "node:fs";
import type { Database } from "better-sqlite3";
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { flowEnds } from "#domain/vocabulary.ts";
import type { BatchInsert } from "./batch-insert.ts";
import { isHeld, liveFiles, liveRecords, type LiveFile } from "./live-file.ts";

const at = cellOffsets(flowRecord);
const stride = cellCount(flowRecord);
const interrupted = flowEnds.indexOf("interrupted");

/**
 * May itself be interrupted at any point and be done again: a flow that has a row is left as it is, and a file is removed only when
 * all of its run's are in. A run's files are kept while their writer lives.
 */
export function recoverLive(db: Database, insert: BatchInsert): void {
  const byRun = Map.groupBy(liveFiles(db.name), ({ run }) => run);
  for (const [run, files] of byRun) {
    if (files.some(isHeld)) continue;
    const own = files.filter((file) => isOfRun(db, file));
    insert.resume(run);
    for (const file of own)
      for (const { records } of liveRecords(file)) {
        const missing = notStored(db, run, records);
        if (missing.byteLength > 0) insert.write({ kind: "flows", records: missing });
      }
    if (own.length > 0) endRun(db, run, own);
    for (const { path } of files) unlinkSync(path);
  }
}

/** After the run is finished: each of its flows has a row. */
export function removeLive(db: Database, run: number): void {
  for (const file of liveFiles(db.name)) if (file.run === run) unlinkSync(file.path);
}

/** Not of a database that lay under this name before. */
export const isOfRun = (db: Database, { run, startedNs }: LiveFile): boolean =>
  db.prepare("SELECT 1 FROM runs WHERE run = ? AND started_ns = ?").get(run, startedNs) !== undefined;

/** Those of the records whose flow has no row yet, ended. */
function notStored(db: Database, run: number, records: ArrayBuffer): ArrayBuffer {
  const stored = db.prepare("SELECT 1 FROM flows WHERE run = ? AND packet = ?").pluck();
  const cells = new Uint32Array(records);
  const numbers = new Float64Array(records);
  const bytes = new Uint8Array(records);
  const step = stride * 2;
  let used = 0;
  for (let from = 0; from < cells.length; from += step) {
    if (stored.get(run, numbers[from / 2 + at.packet]) !== undefined) continue;
    bytes[from * 4 + at.meta * 8 + 1] = interrupted;
    cells.copyWithin(used, from, from + step);
    used += step;
  }
  return records.slice(0, used * 4);
}

/** As far as the database can tell. What a running agent wrote there of itself is kept. */
function endRun(db: Database, run: number, files: readonly LiveFile[]): void {
  const last = files.map(({ visitedNs }) => visitedNs).sort((a, b) => (a < b ? 1 : -1))[0];
  db.prepare(
    `UPDATE runs SET finished_ns = ?, complete = 0, flows = (SELECT sum(flows) FROM totals t WHERE t.run = runs.run),
       gaps = (SELECT count(*) FROM gaps g WHERE g.run = runs.run),
       packets = coalesce(packets, (SELECT sum(packets) FROM totals t WHERE t.run = runs.run)),
       first_ns = (SELECT min(first_ns) FROM totals t WHERE t.run = runs.run),
       last_ns = (SELECT max(last_ns) FROM totals t WHERE t.run = runs.run)
     WHERE run = ? AND finished_ns IS NULL`,
  ).run(last, run);
}
