// The thread that owns the database while a run is written. Messages are handled in order; each is answered once.
import { parentPort, workerData } from "node:worker_threads";
import type { Database } from "better-sqlite3";
import type { AnalysisSummary, Blind, ResultBatch } from "#domain/analysis.ts";
import { holdLock } from "./agent-lock.ts";
import { BatchInsert, wallClock } from "./batch-insert.ts";
import { isRefusal, posted, storeError, type PostedError } from "./failure.ts";
import { recoverLive, removeLive } from "./live-recovery.ts";
import { finish, openForWriting } from "./open.ts";
import { Retention, type RetentionLimits } from "./retention.ts";
import type { RunStart } from "./run-record.ts";
import { Upkeep, type StoreFigures } from "./upkeep.ts";

export interface WriterOptions {
  readonly path: string;
  readonly busyMs: number;
  /** The sensor's: it holds the database's lock, gets back what could not be written, and may try again. */
  readonly patient: boolean;
  readonly retention: RetentionLimits | undefined;
}
export type WriterRequest =
  | { readonly do: "begin"; readonly start: RunStart }
  | { readonly do: "write"; readonly batch: ResultBatch }
  | { readonly do: "blind"; readonly rows: readonly Blind[] }
  | { readonly do: "checkpoint"; readonly summary: AnalysisSummary }
  | { readonly do: "retention"; readonly limits: RetentionLimits }
  | { readonly do: "finish"; readonly summary: AnalysisSummary }
  | { readonly do: "close" };
export type WriterAnswer =
  | { readonly value: number }
  | { readonly error: PostedError; readonly refused: boolean; readonly records?: ArrayBuffer };
/** Once a second, unasked. */
export interface WriterReport {
  readonly figures: StoreFigures;
  readonly upkeepFailure: PostedError | undefined;
}

const { path, busyMs, patient, retention: limits } = workerData as WriterOptions;
const port = parentPort;
if (!port) throw new Error("writer-worker.ts runs as a worker thread");

const answer = (work: () => number, records?: () => ArrayBuffer): boolean => {
  try {
    port.postMessage({ value: work() } satisfies WriterAnswer);
    return true;
  } catch (cause) {
    const error = { error: posted(storeError(cause, path)), refused: isRefusal(cause) };
    const back = records?.();
    if (back) port.postMessage({ ...error, records: back } satisfies WriterAnswer, [back]);
    else port.postMessage(error satisfies WriterAnswer);
    return false;
  }
};

/** With what a process that died left beside it. */
const open = (failed: () => void, unending: boolean): { db: Database; insert: BatchInsert } => {
  let db: Database | undefined;
  try {
    db = openForWriting(path, { busyMs, unending, owner: patient });
    const insert = new BatchInsert(db, { retained: limits !== undefined });
    recoverLive(db, insert);
    return { db, insert };
  } catch (cause) {
    db?.close();
    failed();
    throw cause;
  }
};

const opened = answer(() => {
  const unending = patient || limits !== undefined;
  const lock = patient ? holdLock(path) : undefined;
  const { db, insert } = open(() => lock?.close(), unending);
  const retention = new Retention(db, wallClock, limits);
  const upkeep = new Upkeep(db, path, retention);

  const report = (): void => {
    const figures = upkeep.tick();
    port.postMessage({ figures, upkeepFailure: upkeep.failure } satisfies WriterReport);
  };
  /** Goes on between messages until nothing is left to do. */
  let stepping: NodeJS.Immediate | undefined;
  const step = (): void => {
    stepping = upkeep.step() ? setImmediate(step) : undefined;
  };
  const ticking = setInterval(() => {
    report();
    if (!stepping) step();
  }, 1000);
  if (unending) report();
  else clearInterval(ticking);

  const handle = (request: Exclude<WriterRequest, { do: "close" }>): number => {
    switch (request.do) {
      case "begin":
        return insert.begin(request.start);
      case "write":
        insert.write(request.batch);
        request.batch.records.transfer(0); // its memory is free now, not when it is collected
        break;
      case "blind":
        insert.blind(request.rows);
        break;
      case "checkpoint":
        insert.checkpoint(request.summary);
        break;
      case "retention":
        retention.set(request.limits);
        insert.retained = true;
        break;
      case "finish":
        insert.finish(request.summary);
        removeLive(db, insert.run); // each of its flows has a row now
    }
    return 0;
  };
  // After a failure nothing more is written: batches behind the failed one are already on their way. The patient send one at a time.
  let failure: unknown;
  port.on("message", (request: WriterRequest) => {
    const back = patient && request.do === "write" ? () => request.batch.records : undefined;
    answer(() => {
      if (request.do === "close") {
        clearInterval(ticking);
        clearImmediate(stepping);
        try {
          finish(db);
        } finally {
          lock?.close();
        }
        return 0;
      }
      if (failure) throw failure;
      try {
        return handle(request);
      } catch (cause) {
        if (!patient) failure = cause;
        throw cause;
      }
    }, back);
    if (request.do === "close") port.close();
    // Messages that lie there come without a turn of the event loop in between: deleting must keep up with writing.
    else if (request.do === "write" && unending && !stepping) step();
  });
  return 0;
});
if (!opened) port.close();
