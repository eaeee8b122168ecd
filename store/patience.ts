// Batches of a sensor on their way to the database. Capture must not wait for a disk: batches wait here, within a limit of
// bytes; when the disk is full, or fails, writing is tried again every second; when the limit is reached the oldest batch
// is dropped and its records are counted. Nothing here blocks, and write() cannot fail.
import type { AnalysisSummary, Blind, ResultBatch } from "#domain/analysis.ts";
import { cellCount, flowRecord, gapRecord, linkRecord } from "#domain/records.ts";
import type { TaplineError } from "#domain/errors.ts";

export type Delivery =
  | { readonly do: "write"; readonly batch: ResultBatch }
  | { readonly do: "blind"; readonly rows: readonly Blind[] }
  | { readonly do: "checkpoint"; readonly summary: AnalysisSummary }
  | { readonly do: "finish"; readonly summary: AnalysisSummary };

/** How a delivery went. A batch that was not stored comes back; one that was refused contradicts what is stored. */
export interface Outcome {
  readonly error?: TaplineError;
  readonly refused?: boolean;
  readonly records?: ArrayBuffer;
}

export interface DroppedRecords {
  readonly flows: number;
  readonly gaps: number;
  readonly links: number;
  readonly blinds: number;
}

/** `full`: no room on the disk. `failed`: anything else; the code says what. Both are tried again every second. */
export type WriterCondition = "writing" | "full" | "failed";

interface Finishing {
  readonly summary: AnalysisSummary;
  readonly resolve: () => void;
  readonly reject: (error: TaplineError) => void;
}
/** Of which only the newest counts. */
type Brief = Exclude<Delivery, { do: "write" | "blind" }>;
type Waiting = Extract<Delivery, { do: "write" | "blind" }> & { /** from 1 */ readonly number: number };

const recordBytes = {
  flows: cellCount(flowRecord) * 8,
  gaps: cellCount(gapRecord) * 8,
  links: cellCount(linkRecord) * 8,
};
const blindBytes = 128; // about what an object of five fields takes
const retryMs = 1000;

const sizeOf = (entry: Waiting): number =>
  entry.do === "write" ? entry.batch.records.byteLength : entry.rows.length * blindBytes;

export class Patience {
  readonly #deliver: (delivery: Delivery) => Promise<Outcome>;
  readonly #limit: number;
  readonly #queue: Waiting[] = [];
  #bytes = 0;
  /** write() and blind() so far */
  #taken = 0;
  /** On its way: its bytes still count, for it may come back. */
  #sent: Waiting | undefined;
  #sentBytes = 0;
  readonly #dropped = { flows: 0, gaps: 0, links: 0, blinds: 0 };
  /** Only the newest is worth storing. */
  #checkpoint: AnalysisSummary | undefined;
  #finish: Finishing | undefined;
  #busy = false;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #condition: WriterCondition = "writing";
  #since = BigInt(Date.now()) * 1_000_000n;
  #error: TaplineError | undefined;

  constructor(deliver: (delivery: Delivery) => Promise<Outcome>, limitBytes: number) {
    this.#deliver = deliver;
    this.#limit = limitBytes;
  }

  write(batch: ResultBatch): void {
    this.#push({ do: "write", batch, number: ++this.#taken });
  }

  blind(rows: readonly Blind[]): void {
    this.#push({ do: "blind", rows, number: ++this.#taken });
  }

  checkpoint(summary: AnalysisSummary): void {
    this.#checkpoint = summary;
    this.#pump();
  }

  /** After everything that waits. Gives up at the first failure: a process that ends cannot wait for a disk. */
  finish(summary: AnalysisSummary): Promise<void> {
    this.#checkpoint = undefined;
    return new Promise((resolve, reject) => {
      this.#finish = { summary, resolve, reject };
      clearTimeout(this.#retry);
      this.#retry = undefined;
      this.#pump();
    });
  }

  /** What still waits is dropped and counted; nothing is taken afterwards. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#checkpoint = undefined;
    for (const entry of this.#queue.splice(0)) this.#drop(entry);
  }

  /** Of what was taken, from the first on: what is stored or dropped. */
  get settled(): number {
    const oldest = this.#sent ?? this.#queue[0];
    return oldest ? oldest.number - 1 : this.#taken;
  }

  get state() {
    return {
      state: this.#condition,
      sinceNs: this.#since,
      error: this.#error,
      waitingBatches: this.#queue.length + (this.#sent ? 1 : 0),
      waitingBytes: this.#bytes + this.#sentBytes,
      droppedRecords: { ...this.#dropped } satisfies DroppedRecords,
    };
  }

  #push(entry: Waiting): void {
    this.#queue.push(entry);
    this.#bytes += sizeOf(entry);
    if (this.#closed) this.#drop(this.#queue.pop() as Waiting);
    this.#makeRoom();
    this.#pump();
  }

  #makeRoom(): void {
    while (this.#bytes + this.#sentBytes > this.#limit && this.#queue.length > 0)
      this.#drop(this.#queue.shift() as Waiting);
  }

  #drop(entry: Waiting): void {
    const bytes = sizeOf(entry);
    this.#bytes -= bytes;
    this.#count(entry, bytes);
  }

  #count(entry: Waiting, bytes: number): void {
    if (entry.do === "blind") this.#dropped.blinds += entry.rows.length;
    else if (entry.batch.kind !== "blinds") this.#dropped[entry.batch.kind] += bytes / recordBytes[entry.batch.kind];
  }

  /** One delivery at a time, so that one that fails keeps its place. */
  #pump(): void {
    if (this.#busy || this.#retry || this.#closed) return;
    const next = this.#next();
    if (!next) return;
    this.#busy = true;
    void this.#send(next);
  }

  async #send(next: Waiting | Brief): Promise<void> {
    if (next.do === "write" || next.do === "blind") {
      this.#sent = next;
      this.#sentBytes = sizeOf(next); // known only before it is handed over
      this.#bytes -= this.#sentBytes;
    }
    const outcome = await this.#deliver(next);
    const bytes = this.#sentBytes;
    this.#busy = false;
    this.#sent = undefined;
    this.#sentBytes = 0;
    this.#settle(next, bytes, outcome);
    this.#pump();
  }

  #next(): Waiting | Brief | undefined {
    const summary = this.#checkpoint;
    if (summary) {
      this.#checkpoint = undefined;
      return { do: "checkpoint", summary };
    }
    const entry = this.#queue.shift();
    if (entry) return entry;
    return this.#finish && { do: "finish", summary: this.#finish.summary };
  }

  #settle(delivery: Waiting | Brief, bytes: number, { error, refused = false, records }: Outcome): void {
    if (!error) this.#turn("writing", undefined);
    else if (refused) this.#turn("writing", error);
    else this.#turn(error.code === "STORE_DISK_FULL" ? "full" : "failed", error);
    if (error) this.#comesBack(delivery, bytes, records, refused);
    const again = error !== undefined && !refused;
    if (this.#finish && (delivery.do === "finish" || again)) this.#finished(error);
    else if (again && !this.#closed)
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#pump();
      }, retryMs);
  }

  /** To the head of the queue; or it is counted as dropped: refused for good, or lost with the thread that had it. */
  #comesBack(delivery: Waiting | Brief, bytes: number, records: ArrayBuffer | undefined, refused: boolean): void {
    if (delivery.do === "checkpoint" || delivery.do === "finish") return;
    const kept = delivery.do === "write" ? (records ?? delivery.batch.records) : undefined;
    const entry: Waiting =
      delivery.do === "blind" || !kept
        ? delivery
        : { ...delivery, batch: { kind: delivery.batch.kind, records: kept } };
    if (refused || this.#closed || sizeOf(entry) < bytes) this.#count(entry, bytes);
    else {
      this.#queue.unshift(entry);
      this.#bytes += bytes;
      this.#makeRoom();
    }
  }

  #finished(error: TaplineError | undefined): void {
    const finishing = this.#finish;
    this.#finish = undefined;
    if (error) for (const entry of this.#queue.splice(0)) this.#drop(entry);
    if (error) finishing?.reject(error);
    else finishing?.resolve();
  }

  #turn(condition: WriterCondition, error: TaplineError | undefined): void {
    this.#error = error;
    if (condition === this.#condition) return;
    this.#condition = condition;
    this.#since = BigInt(Date.now()) * 1_000_000n;
  }
}
