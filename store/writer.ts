// Writes runs into a database. What enters: batches of native records, handed over without a copy. SQL runs in the worker.
import { Worker } from "node:worker_threads";
import { TaplineError } from "#domain/errors.ts";
import type { AnalysisSummary, ResultBatch } from "#domain/analysis.ts";
import type { RunStart } from "./batch-insert.ts";
import { received } from "./failure.ts";
import type { WriterAnswer, WriterOptions, WriterRequest } from "./writer-worker.ts";

/** Batches on their way to the worker before write() makes its caller wait. */
const outstandingLimit = 4;

interface Waiting {
  readonly resolve: (value: number) => void;
  readonly reject: (error: TaplineError) => void;
}

export class StoreWriter {
  readonly #worker: Worker;
  readonly #path: string;
  /** Requests not answered yet, in order. */
  readonly #waiting: Waiting[] = [];
  #outstanding = 0;
  #settled = 0;
  #ended = false;
  #room: (() => void)[] = [];
  /** The first thing that went wrong; nothing is written after it. */
  #failure: TaplineError | undefined;

  private constructor(options: WriterOptions) {
    this.#path = options.path;
    this.#worker = new Worker(new URL("./writer-worker.ts", import.meta.url), { workerData: options });
    this.#worker.on("message", (answer: WriterAnswer) => this.#settle(answer));
    this.#worker.on("error", (cause) => this.#abandon(String(cause)));
    this.#worker.on("exit", () => {
      this.#ended = true;
      this.#abandon("its writer ended");
    });
  }

  /** Starts the worker and opens the database, or makes it. `busyMs`: how long to wait for another writer's lock. */
  static async open(path: string, { busyMs = 5000 }: { readonly busyMs?: number } = {}): Promise<StoreWriter> {
    const writer = new StoreWriter({ path, busyMs });
    await writer.#answered(); // the worker's first answer is that it has opened the file
    return writer;
  }

  /** Resolves with the run's number. One run at a time. */
  beginRun(start: RunStart): Promise<number> {
    return this.#ask({ do: "begin", start });
  }

  /**
   * Hands a batch over; its buffer is unusable here afterwards. Resolves when there is room for the next one. Rejects with what
   * went wrong with this or any earlier batch.
   */
  async write(batch: ResultBatch): Promise<void> {
    this.#outstanding++;
    const written = this.#ask({ do: "write", batch }, [batch.records]);
    written
      .catch(() => {}) // kept in #failure, which this and every later call throws
      .finally(() => {
        this.#outstanding--;
        this.#settled++;
        for (const go of this.#room.splice(0)) go();
      });
    while (this.#outstanding >= outstandingLimit) await new Promise<void>((resolve) => this.#room.push(resolve));
    if (this.#failure) throw this.#failure;
  }

  /** Batches, from the first on, that are in the database, or lost with a failure. */
  get settled(): number {
    return this.#settled;
  }

  /** Waits for every batch, then stores the summary. */
  async finishRun(summary: AnalysisSummary): Promise<void> {
    await this.#ask({ do: "finish", summary });
  }

  /** Moves everything into the one file and ends the worker. A failed writer closes, too. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const exit = new Promise((resolve) => this.#worker.once("exit", resolve));
    const failed = this.#failure !== undefined;
    const closed = this.#answered();
    this.#worker.postMessage({ do: "close" } satisfies WriterRequest);
    try {
      await closed;
    } catch (error) {
      if (!failed) throw error; // what failed before has been thrown before
    }
    await exit;
  }

  #ask(request: WriterRequest, transfer: ArrayBuffer[] = []): Promise<number> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ended)
      return Promise.reject(new TaplineError("STORE_FAILED", { path: this.#path, detail: "its writer is closed" }));
    const answered = this.#answered();
    this.#worker.postMessage(request, transfer);
    return answered;
  }

  #answered(): Promise<number> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #settle(answer: WriterAnswer): void {
    const waiting = this.#waiting.shift();
    if ("value" in answer) {
      waiting?.resolve(answer.value);
      return;
    }
    const error = received(answer.error);
    this.#failure ??= error;
    waiting?.reject(error);
  }

  #abandon(detail: string): void {
    const waiting = this.#waiting.splice(0);
    if (waiting.length === 0) return;
    this.#failure ??= new TaplineError("STORE_FAILED", { path: this.#path, detail });
    for (const { reject } of waiting) reject(this.#failure);
  }
}
