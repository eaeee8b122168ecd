// The flow list of one run by column, in memory: what enters are the blobs of flow_columns, in order, as the writer adds them.
// A million flows take 116 MB and any filter over them a few milliseconds; a B-tree for each pair of filter and sort would
// cost the writer many times more.
import { column, columnCount } from "./columns.ts";

const grown = <T extends Float64Array | Uint32Array | Uint8Array>(old: T, length: number): T => {
  const next = new (old.constructor as new (length: number) => T)(length);
  next.set(old);
  return next;
};

export class FlowIndex {
  readonly run: number;
  /** flow_columns.part of the next blob */
  nextPart = 0;
  length = 0;
  /** Subtracted from the times below, so that they fit a float64 to the nanosecond. */
  baseNs = 0n;
  /** False when a time lies more than 104 days from the base: then SQL must answer. */
  exact = true;

  packet: Float64Array;
  first: Float64Array;
  last: Float64Array;
  packets: Float64Array;
  bytes: Float64Array;
  lost: Float64Array;
  gaps: Float64Array;
  /** 8 bytes a flow, as in domain/records.ts */
  meta: Uint8Array;
  tags: Uint8Array;
  /** words in the byte order of the record: compared, never calculated with */
  sci: Uint32Array;
  source: Uint32Array;
  destination: Uint32Array;

  /** in order; the first ones go when retention deletes them */
  readonly #parts: { readonly part: number; readonly rows: number }[] = [];
  #scratch = new Uint32Array(0);

  constructor(run: number, capacity: number) {
    this.run = run;
    this.packet = new Float64Array(capacity);
    this.first = new Float64Array(capacity);
    this.last = new Float64Array(capacity);
    this.packets = new Float64Array(capacity);
    this.bytes = new Float64Array(capacity);
    this.lost = new Float64Array(capacity);
    this.gaps = new Float64Array(capacity);
    this.meta = new Uint8Array(capacity * 8);
    this.tags = new Uint8Array(capacity * 8);
    this.sci = new Uint32Array(capacity * 2);
    this.source = new Uint32Array(capacity * 4);
    this.destination = new Uint32Array(capacity * 4);
  }

  /** Room for a number per row, kept: megabytes taken and dropped for each question would keep the garbage collector busy. */
  get scratch(): Uint32Array {
    if (this.#scratch.length < this.length) this.#scratch = new Uint32Array(this.packet.length);
    return this.#scratch;
  }

  /** Forgets parts that retention deleted, always the first ones; true when there were any. Costs nothing: the rows behind them are looked at from further on. */
  dropBefore(part: number): boolean {
    let rows = 0;
    while (this.#parts[0] && this.#parts[0].part < part) rows += this.#parts.shift()?.rows ?? 0;
    if (rows === 0) return false;
    for (const name of ["packet", "first", "last", "packets", "bytes", "lost", "gaps"] as const)
      this[name] = this[name].subarray(rows);
    this.meta = this.meta.subarray(rows * 8);
    this.tags = this.tags.subarray(rows * 8);
    this.sci = this.sci.subarray(rows * 2);
    this.source = this.source.subarray(rows * 4);
    this.destination = this.destination.subarray(rows * 4);
    this.length -= rows;
    return true;
  }

  append(blob: Uint8Array, part: number): void {
    const count = blob.byteLength / (columnCount * 8);
    if (this.length + count > this.packet.length) this.#grow(Math.ceil((this.length + count) * 1.5));
    const buffer = new ArrayBuffer(blob.byteLength); // its own, aligned
    new Uint8Array(buffer).set(blob);
    const start = (cell: number): number => cell * count * 8;
    const at = this.length;

    this.packet.set(new Float64Array(buffer, start(column.packet), count), at);
    this.packets.set(new Float64Array(buffer, start(column.packets), count), at);
    this.bytes.set(new Float64Array(buffer, start(column.bytes), count), at);
    this.lost.set(new Float64Array(buffer, start(column.lost), count), at);
    this.gaps.set(new Float64Array(buffer, start(column.gaps), count), at);
    this.meta.set(new Uint8Array(buffer, start(column.meta), count * 8), at * 8);
    this.tags.set(new Uint8Array(buffer, start(column.tags), count * 8), at * 8);
    this.sci.set(new Uint32Array(buffer, start(column.sci), count * 2), at * 2);
    if (this.nextPart === 0) this.baseNs = new DataView(buffer).getBigInt64(start(column.first), true);
    this.#times(new Int32Array(buffer, start(column.first), count * 2), this.first);
    this.#times(new Int32Array(buffer, start(column.last), count * 2), this.last);
    this.#addresses(new Uint32Array(buffer, start(column.source), count * 4), this.source);
    this.#addresses(new Uint32Array(buffer, start(column.destination), count * 4), this.destination);
    this.length += count;
    this.#parts.push({ part, rows: count });
    this.nextPart = part + 1;
  }

  /** For other flows in the same room. */
  clear(): void {
    this.length = 0;
    this.nextPart = 0;
    this.exact = true;
    this.nextPart = 0;
    this.#parts.length = 0;
  }

  /** The last row takes the place of this one. */
  remove(row: number): void {
    const last = --this.length;
    for (const name of ["packet", "first", "last", "packets", "bytes", "lost", "gaps"] as const)
      this[name][row] = this[name][last] as number;
    this.meta.copyWithin(row * 8, last * 8, last * 8 + 8);
    this.tags.copyWithin(row * 8, last * 8, last * 8 + 8);
    this.sci.copyWithin(row * 2, last * 2, last * 2 + 2);
    this.source.copyWithin(row * 4, last * 4, last * 4 + 4);
    this.destination.copyWithin(row * 4, last * 4, last * 4 + 4);
  }

  /** int64 less the base, by halves: a BigInt for each would cost more than all the rest. */
  #times(words: Int32Array, into: Float64Array): void {
    const low = Number(this.baseNs & 0xffff_ffffn);
    const high = Number(this.baseNs >> 32n);
    for (let i = 0, row = this.length; i < words.length; i += 2, row++) {
      const offset = ((words[i + 1] as number) - high) * 2 ** 32 + (((words[i] as number) >>> 0) - low);
      if (!Number.isSafeInteger(offset)) this.exact = false;
      into[row] = offset;
    }
  }

  /** Two columns of 8 bytes each become 16 bytes in a row. */
  #addresses(words: Uint32Array, into: Uint32Array): void {
    const half = words.length / 2;
    for (let i = 0, to = this.length * 4; i < half; i += 2, to += 4) {
      into[to] = words[i] as number;
      into[to + 1] = words[i + 1] as number;
      into[to + 2] = words[half + i] as number;
      into[to + 3] = words[half + i + 1] as number;
    }
  }

  #grow(capacity: number): void {
    for (const name of ["packet", "first", "last", "packets", "bytes", "lost", "gaps"] as const)
      this[name] = grown(this[name], capacity);
    this.meta = grown(this.meta, capacity * 8);
    this.tags = grown(this.tags, capacity * 8);
    this.sci = grown(this.sci, capacity * 2);
    this.source = grown(this.source, capacity * 4);
    this.destination = grown(this.destination, capacity * 4);
  }
}
