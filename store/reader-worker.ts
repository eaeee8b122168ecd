// The thread that answers questions: one at a time, in order.
import { parentPort, workerData } from "node:worker_threads";
import type { FlowQuery, FlowText } from "./flow-pages.ts";
import { posted, storeError, type PostedError } from "./failure.ts";
import { openForReading } from "./open.ts";
import type { FlowRow } from "./queries.ts";
import { Reads } from "./reads.ts";

export interface ReaderOptions {
  readonly path: string;
  readonly flowsInMemory: number;
  /** a module whose `flowsText` writes flows as their reader's reader wants them: a page then crosses as bytes, not as a thousand rows */
  readonly presenter?: string | undefined;
}
export interface Presenter {
  readonly flowsText: (rows: readonly FlowRow[]) => string;
}
export interface ReaderRequest {
  readonly name: keyof Reads | "flowText" | "close";
  readonly args: readonly unknown[];
}
export type ReaderAnswer = { readonly value: unknown } | { readonly error: PostedError };

const { path, flowsInMemory, presenter } = workerData as ReaderOptions;
const port = parentPort;
if (!port) throw new Error("reader-worker.ts runs as a worker thread");

const { flowsText } =
  presenter === undefined ? { flowsText: JSON.stringify } : ((await import(presenter)) as Presenter);
const encoder = new TextEncoder();

const answer = (work: () => unknown): boolean => {
  try {
    const value = work();
    const bytes = (value as Partial<FlowText> | null | undefined)?.text;
    port.postMessage({ value } satisfies ReaderAnswer, bytes instanceof Uint8Array ? [bytes.buffer] : []);
    return true;
  } catch (cause) {
    port.postMessage({ error: posted(storeError(cause, path)) } satisfies ReaderAnswer);
    return false;
  }
};

/** How long after the last question memory is kept for the next. */
const idleMs = 30_000;

const opened = answer(() => {
  const db = openForReading(path);
  const reads = new Reads(db, flowsInMemory);
  const letGo = setTimeout(() => reads.letGo(), idleMs).unref();
  port.on("message", ({ name, args }: ReaderRequest) => {
    letGo.refresh();
    answer(() => {
      if (name === "close") return void db.close();
      if (name === "flowText") {
        const { flows, ...page } = reads.flowPage(args[0] as FlowQuery);
        return { ...page, count: flows.length, text: encoder.encode(flowsText(flows)) } satisfies FlowText;
      }
      return (reads[name] as (...given: unknown[]) => unknown).apply(reads, [...args]);
    });
    if (name === "close") port.close();
  });
});
if (!opened) port.close();
