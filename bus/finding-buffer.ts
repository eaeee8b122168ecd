// Findings on their way: a bounded queue of encoded findings, and the batches made of it that no server has acknowledged yet. Pure: no
// clock, no I/O. A finding is accepted once and is then in exactly one place:
//   accepted = acknowledged + waiting + overflowed        at every moment
// When the buffer is full the oldest finding that is in no batch goes. One in a batch stays: the server may have stored it already.
import type { Finding } from "#domain/finding.ts";

export interface BufferLimits {
  readonly count: number;
  readonly bytes: number;
}

/** One message; the same bytes under the same number each time it is sent. */
export interface Batch {
  readonly number: number;
  readonly payload: Uint8Array;
  readonly findings: readonly string[];
  readonly bytes: number;
}

interface Queued {
  readonly text: string;
  readonly bytes: number;
}

/** What a batch has around its findings: a run's name and two counts among it. */
const envelopeLimit = 256;

const encoder = new TextEncoder();

export class FindingBuffer {
  readonly #run: string;
  readonly #limits: BufferLimits;
  /** a ring would do; an array whose head moves, cut now and then, is as fast and shorter */
  #queue: (Queued | undefined)[] = [];
  #head = 0;
  #queuedBytes = 0;
  #batches: Batch[] = [];
  #batchedCount = 0;
  #batchedBytes = 0;
  #number = 0;
  #accepted = 0;
  #acknowledged = 0;
  #overflowed = 0;

  constructor(run: string, limits: BufferLimits) {
    this.#run = run;
    this.#limits = limits;
  }

  get accepted(): number {
    return this.#accepted;
  }
  get acknowledged(): number {
    return this.#acknowledged;
  }
  get overflowed(): number {
    return this.#overflowed;
  }
  get waiting(): number {
    return this.queued + this.#batchedCount;
  }
  /** in no batch yet */
  get queued(): number {
    return this.#queue.length - this.#head;
  }
  get queuedBytes(): number {
    return this.#queuedBytes;
  }
  /** of all that waits, as it will be sent */
  get bytes(): number {
    return this.#queuedBytes + this.#batchedBytes;
  }
  /** Not acknowledged, in order. */
  get batches(): readonly Batch[] {
    return this.#batches;
  }

  add(finding: Finding): void {
    const text = JSON.stringify(finding);
    const bytes = Buffer.byteLength(text);
    this.#accepted++;
    this.#queue.push({ text, bytes });
    this.#queuedBytes += bytes;
    this.#drop();
  }

  /** The next batch, of at most `limit` bytes as it is sent. Undefined when nothing is queued. */
  form(limit: number): Batch | undefined {
    const room = limit - envelopeLimit;
    const texts: string[] = [];
    let bytes = 0;
    while (this.queued > 0) {
      const next = this.#queue[this.#head] as Queued;
      const alone = next.bytes > room; // more than the server takes: it will never leave
      if (!alone && bytes + texts.length + next.bytes > room) break;
      this.#take();
      if (alone) {
        this.#overflowed++;
        continue;
      }
      texts.push(next.text);
      bytes += next.bytes;
    }
    if (texts.length === 0) return undefined;
    const number = ++this.#number;
    const head = `{"v":1,"run":${JSON.stringify(this.#run)},"batch":${number},"overflowed":${this.#overflowed},"findings":[`;
    const batch: Batch = { number, payload: encoder.encode(`${head}${texts.join(",")}]}`), findings: texts, bytes };
    this.#batches.push(batch);
    this.#batchedCount += texts.length;
    this.#batchedBytes += bytes;
    return batch;
  }

  /** The server has stored it. */
  acknowledge(batch: Batch): void {
    if (!this.#remove(batch)) return;
    this.#acknowledged += batch.findings.length;
  }

  /** Puts all batches back into the queue, to be formed anew under other numbers: the server takes none of that size. */
  dissolve(): void {
    const texts = this.#batches.flatMap(({ findings }) => findings);
    const back = texts.map((text) => ({ text, bytes: Buffer.byteLength(text) }));
    this.#queue = [...back, ...this.#queue.slice(this.#head)];
    this.#head = 0;
    this.#queuedBytes += this.#batchedBytes;
    this.#batches = [];
    this.#batchedCount = 0;
    this.#batchedBytes = 0;
    this.#drop();
  }

  #drop(): void {
    while (this.queued > 0 && (this.waiting > this.#limits.count || this.bytes > this.#limits.bytes)) {
      this.#take();
      this.#overflowed++;
    }
  }

  #take(): void {
    this.#queuedBytes -= (this.#queue[this.#head] as Queued).bytes;
    this.#queue[this.#head++] = undefined; // its text is free at once
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  #remove(batch: Batch): boolean {
    const at = this.#batches.indexOf(batch);
    if (at < 0) return false;
    this.#batches.splice(at, 1);
    this.#batchedCount -= batch.findings.length;
    this.#batchedBytes -= batch.bytes;
    return true;
  }
}
