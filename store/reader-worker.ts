// The thread that answers questions: one at a time, in order.
import { parentPort, workerData } from "node:worker_threads";
import { posted, storeError, type PostedError } from "./failure.ts";
import { openForReading } from "./open.ts";
import { Reads } from "./reads.ts";

export interface ReaderOptions {
  readonly path: string;
  readonly flowsInMemory: number;
}
export interface ReaderRequest {
  readonly name: keyof Reads | "close";
  readonly args: readonly unknown[];
}
export type ReaderAnswer = { readonly value: unknown } | { readonly error: PostedError };

const { path, flowsInMemory } = workerData as ReaderOptions;
const port = parentPort;
if (!port) throw new Error("reader-worker.ts runs as a worker thread");

const answer = (work: () => unknown): boolean => {
  try {
    port.postMessage({ value: work() } satisfies ReaderAnswer);
    return true;
  } catch (cause) {
    port.postMessage({ error: posted(storeError(cause, path)) } satisfies ReaderAnswer);
    return false;
  }
};

const opened = answer(() => {
  const db = openForReading(path);
  const reads = new Reads(db, flowsInMemory);
  port.on("message", ({ name, args }: ReaderRequest) => {
    answer(() => {
      if (name === "close") return void db.close();
      return (reads[name] as (...given: unknown[]) => unknown).apply(reads, [...args]);
    });
    if (name === "close") port.close();
  });
});
if (!opened) port.close();
