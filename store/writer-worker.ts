// The thread that owns the database while a run is written. Messages are handled in order; each is answered once.
import { parentPort, workerData } from "node:worker_threads";
import type { AnalysisSummary, ResultBatch } from "#domain/analysis.ts";
import { BatchInsert, type RunStart } from "./batch-insert.ts";
import { posted, storeError, type PostedError } from "./failure.ts";
import { recoverLive, removeLive } from "./live-recovery.ts";
import { finish, openForWriting } from "./open.ts";

export interface WriterOptions {
  readonly path: string;
  readonly busyMs: number;
}
export type WriterRequest =
  | { readonly do: "begin"; readonly start: RunStart }
  | { readonly do: "write"; readonly batch: ResultBatch }
  | { readonly do: "finish"; readonly summary: AnalysisSummary }
  | { readonly do: "close" };
export type WriterAnswer = { readonly value: number } | { readonly error: PostedError };

const { path, busyMs } = workerData as WriterOptions;
const port = parentPort;
if (!port) throw new Error("writer-worker.ts runs as a worker thread");

const answer = (work: () => number): boolean => {
  try {
    port.postMessage({ value: work() } satisfies WriterAnswer);
    return true;
  } catch (cause) {
    port.postMessage({ error: posted(storeError(cause, path)) } satisfies WriterAnswer);
    return false;
  }
};

const opened = answer(() => {
  const db = openForWriting(path, { busyMs });
  const insert = new BatchInsert(db);
  recoverLive(db, insert);
  const handle = (request: Exclude<WriterRequest, { do: "close" }>): number => {
    if (request.do === "begin") return insert.begin(request.start);
    if (request.do === "write") insert.write(request.batch);
    else {
      insert.finish(request.summary);
      removeLive(db, insert.run); // each of its flows has a row now
    }
    return 0;
  };
  // After a failure nothing more is written: batches behind the failed one are already on their way.
  let failure: unknown;
  port.on("message", (request: WriterRequest) => {
    answer(() => {
      if (request.do === "close") {
        finish(db);
        return 0;
      }
      if (failure) throw failure;
      try {
        return handle(request);
      } catch (cause) {
        failure = cause;
        throw cause;
      }
    });
    if (request.do === "close") port.close();
  });
  return 0;
});
if (!opened) port.close();
