// Asks a database. SQL runs in the worker; what crosses are questions and plain rows.
import { Worker } from "node:worker_threads";
import { TaplineError } from "#domain/errors.ts";
import type { FlowQuery, FlowText } from "./flow-pages.ts";
import { received } from "./failure.ts";
import type { ReaderAnswer, ReaderOptions, ReaderRequest } from "./reader-worker.ts";
import type { Reads } from "./reads.ts";

export interface ReaderLimits {
  /** flows whose columns are held in memory, 112 bytes each; larger runs are answered by SQL, more slowly */
  readonly flowsInMemory?: number;
  /** questions waiting for their answer; one more is refused */
  readonly waiting?: number;
  /** see ReaderOptions */
  readonly presenter?: URL;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: TaplineError) => void;
}

export class StoreReader {
  readonly #worker: Worker;
  readonly #path: string;
  readonly #limit: number;
  readonly #waiting: Waiting[] = [];
  #ended = false;

  private constructor(options: ReaderOptions, limit: number) {
    this.#path = options.path;
    this.#limit = limit;
    this.#worker = new Worker(new URL("./reader-worker.ts", import.meta.url), {
      workerData: options,
      // A page of a thousand flows is a megabyte of short-lived rows: with the usual young generation each would be collected twice.
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    });
    this.#worker.on("message", (answer: ReaderAnswer) => {
      const waiting = this.#waiting.shift();
      if ("value" in answer) waiting?.resolve(answer.value);
      else waiting?.reject(received(answer.error));
    });
    this.#worker.on("error", (cause) => this.#abandon(String(cause)));
    this.#worker.on("exit", () => {
      this.#ended = true;
      this.#abandon("its reader ended");
    });
  }

  static async open(
    path: string,
    { flowsInMemory = 2_000_000, waiting = 256, presenter }: ReaderLimits = {},
  ): Promise<StoreReader> {
    const reader = new StoreReader({ path, flowsInMemory, presenter: presenter?.href }, waiting);
    await reader.#answered(); // the worker's first answer is that it has opened the file
    return reader;
  }

  ask<K extends keyof Reads>(name: K, ...args: Parameters<Reads[K]>): Promise<ReturnType<Reads[K]>> {
    return this.#ask({ name, args }) as Promise<ReturnType<Reads[K]>>;
  }

  /** A page of flows as the presenter writes it. */
  flowText(query: FlowQuery): Promise<FlowText> {
    return this.#ask({ name: "flowText", args: [query] }) as Promise<FlowText>;
  }

  #ask(request: ReaderRequest): Promise<unknown> {
    if (this.#waiting.length >= this.#limit)
      return Promise.reject(new TaplineError("API_OVERLOADED", { limit: this.#limit }));
    return this.#send(request);
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    const exit = new Promise((resolve) => this.#worker.once("exit", resolve));
    await this.#send({ name: "close", args: [] });
    await exit;
  }

  #send(request: ReaderRequest): Promise<unknown> {
    if (this.#ended)
      return Promise.reject(new TaplineError("STORE_FAILED", { path: this.#path, detail: "its reader is closed" }));
    const answered = this.#answered();
    this.#worker.postMessage(request);
    return answered;
  }

  #answered(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #abandon(detail: string): void {
    for (const { reject } of this.#waiting.splice(0))
      reject(new TaplineError("STORE_FAILED", { path: this.#path, detail }));
  }
}
