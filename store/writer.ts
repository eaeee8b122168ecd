// Writes runs into a database. What enters: batches of native records, handed over without a copy. SQL runs in the worker.
//
// An analysis is told at once when its database fails, and ends. A sensor is patient: it never waits for the database
// (patience.ts), deletes what is old (retention.ts), and is the only one that writes (agent-lock.ts).
import { Worker } from "node:worker_threads";
import { TaplineError } from "#domain/errors.ts";
import type { AnalysisSummary, Blind, ResultBatch } from "#domain/analysis.ts";
import { received } from "./failure.ts";
import { Patience, type DroppedRecords, type Outcome, type WriterCondition } from "./patience.ts";
import type { RetentionLimits } from "./retention.ts";
import type { RunStart } from "./run-record.ts";
import type { StoreFigures } from "./upkeep.ts";
import type { WriterAnswer, WriterOptions, WriterReport, WriterRequest } from "./writer-worker.ts";

/** Batches on their way to the worker before write() makes its caller wait. */
const outstandingLimit = 4;

export interface OpenWriter {
  /** how long to wait for another writer's lock */
  readonly busyMs?: number;
  readonly retention?: RetentionLimits;
  /** Of a sensor: batches wait in at most this much memory while the disk is full. */
  readonly patient?: { readonly bufferMiB: number };
}

/** How the database stands; figures of the file are at most a second old. */
export interface StoreState extends Partial<StoreFigures> {
  readonly state: WriterCondition;
  readonly sinceNs: bigint;
  /** what went wrong last, with writing or else with the upkeep; none when all is well */
  readonly error: TaplineError | undefined;
  readonly waitingBatches: number;
  readonly waitingBytes: number;
  readonly droppedRecords: DroppedRecords;
}

interface Waiting {
  readonly resolve: (value: number) => void;
  readonly reject: (error: TaplineError, rest: Omit<Outcome, "error">) => void;
}

const noneDropped: DroppedRecords = { flows: 0, gaps: 0, links: 0, blinds: 0 };
const wallNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

export class StoreWriter {
  readonly #worker: Worker;
  readonly #path: string;
  readonly #patience: Patience | undefined;
  /** Requests not answered yet, in order. */
  readonly #waiting: Waiting[] = [];
  #outstanding = 0;
  #settled = 0;
  #ended = false;
  #room: (() => void)[] = [];
  /** The first thing that went wrong; nothing is written after it, except by the patient. */
  #failure: TaplineError | undefined;
  #sinceNs = wallNs();
  #report: WriterReport | undefined;

  private constructor(options: WriterOptions, bufferBytes: number) {
    this.#path = options.path;
    if (options.patient)
      this.#patience = new Patience((delivery) => {
        const transfer = delivery.do === "write" ? [delivery.batch.records] : [];
        return new Promise((resolve) => {
          this.#send(delivery, transfer, {
            resolve: () => resolve({}),
            reject: (error, rest) => resolve({ error, ...rest }),
          });
        });
      }, bufferBytes);
    this.#worker = new Worker(new URL("./writer-worker.ts", import.meta.url), { workerData: options });
    this.#worker.on("message", (message: WriterAnswer | WriterReport) => {
      if ("figures" in message) this.#report = message;
      else this.#settle(message);
    });
    this.#worker.on("error", (cause) => this.#abandon(String(cause)));
    this.#worker.on("exit", () => {
      this.#ended = true;
      this.#abandon("its writer ended");
    });
  }

  /** Starts the worker and opens the database, or makes it. */
  static async open(path: string, { busyMs = 5000, retention, patient }: OpenWriter = {}): Promise<StoreWriter> {
    const options = { path, busyMs, retention, patient: patient !== undefined };
    const writer = new StoreWriter(options, (patient?.bufferMiB ?? 0) * 2 ** 20);
    await writer.#answered(); // the worker's first answer is that it has opened the file
    return writer;
  }

  /** Resolves with the run's number. One run at a time. */
  beginRun(start: RunStart): Promise<number> {
    return this.#ask({ do: "begin", start });
  }

  /**
   * Hands a batch over; its buffer is unusable here afterwards. Resolves when there is room for the next one. Rejects with what
   * went wrong with this or any earlier batch. The patient resolve at once and never reject.
   */
  async write(batch: ResultBatch): Promise<void> {
    if (this.#patience) {
      this.#patience.write(batch);
      return;
    }
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

  /** Times in which an interface was not watched. One that goes on is told again with a later end. */
  async blind(rows: readonly Blind[]): Promise<void> {
    if (this.#patience) this.#patience.blind(rows);
    else await this.#ask({ do: "blind", rows }).finally(() => this.#settled++);
  }

  /** Stores the figures of a run that goes on, about once a second: what a killed process leaves behind. */
  async checkpoint(summary: AnalysisSummary): Promise<void> {
    if (this.#patience) this.#patience.checkpoint(summary);
    else await this.#ask({ do: "checkpoint", summary });
  }

  /** Holds from the next batch on. Of a writer that was opened with a retention, or patient. */
  async setRetention(limits: RetentionLimits): Promise<void> {
    await this.#ask({ do: "retention", limits });
  }

  /** Batches and blind times handed over, from the first on, that are in the database or lost for good. */
  get settled(): number {
    return this.#patience?.settled ?? this.#settled;
  }

  /** Waits for every batch, then stores the summary. On a full disk it rejects: what waited is dropped and counted. */
  async finishRun(summary: AnalysisSummary): Promise<void> {
    if (this.#patience) await this.#patience.finish(summary);
    else await this.#ask({ do: "finish", summary });
  }

  state(): StoreState {
    const { figures, upkeepFailure } = this.#report ?? {};
    const upkeep = upkeepFailure && received(upkeepFailure);
    const own = this.#patience?.state ?? {
      state: this.#failure ? "failed" : "writing",
      sinceNs: this.#sinceNs,
      error: this.#failure,
      waitingBatches: this.#outstanding,
      waitingBytes: 0,
      droppedRecords: noneDropped,
    };
    return { ...figures, ...own, error: own.error ?? upkeep };
  }

  /** Moves everything into the one file and ends the worker. A failed writer closes, too. */
  async close(): Promise<void> {
    this.#patience?.close();
    if (this.#ended) return;
    const exit = new Promise((resolve) => this.#worker.once("exit", resolve));
    const failed = this.#failure !== undefined || (this.#patience && this.#patience.state.state !== "writing");
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
    return new Promise((resolve, reject) => this.#send(request, transfer, { resolve, reject }));
  }

  #send(request: WriterRequest, transfer: ArrayBuffer[], waiting: Waiting): void {
    const refusal =
      this.#failure ??
      (this.#ended
        ? new TaplineError("STORE_FAILED", { path: this.#path, detail: "its writer is closed" })
        : undefined);
    if (refusal) {
      waiting.reject(refusal, {});
      return;
    }
    this.#waiting.push(waiting);
    this.#worker.postMessage(request, transfer);
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
    if (!this.#patience) this.#fail(error);
    const { refused, records } = answer;
    waiting?.reject(error, records ? { refused, records } : { refused });
  }

  /** The worker is gone: nothing waits for it, and nothing is sent to it any more. */
  #abandon(detail: string): void {
    const waiting = this.#waiting.splice(0);
    if (waiting.length === 0) return;
    this.#fail(new TaplineError("STORE_FAILED", { path: this.#path, detail }));
    for (const { reject } of waiting) reject(this.#failure as TaplineError, {});
  }

  #fail(error: TaplineError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#sinceNs = wallNs();
  }
}
