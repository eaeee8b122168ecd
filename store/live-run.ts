// The active flows of one run as they were at one moment: what the flow list needs by column (FlowIndex), and the rest of each record
// beside it. 250 bytes a flow. A flow that turns out to have ended is taken out.
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { packColumns } from "./columns.ts";
import { FlowIndex } from "./flow-index.ts";
import { PacketRows } from "./packet-rows.ts";
import type { TotalRow } from "./reads.ts";

const at = cellOffsets(flowRecord);
const stride = cellCount(flowRecord);

/** The cells that FlowIndex has no column for: all of them numbers. */
const rest = [
  "first_number", "last_number", "expected", "unique", "reordered", "duplicate", "late", "pending", "jumps", "outliers", "restarts",
  "min_gap", "max_gap", "min_inter_arrival", "max_inter_arrival",
] as const satisfies readonly (keyof typeof at)[]; // biome-ignore format: one list
type Rest = (typeof rest)[number];
const restAt = Object.fromEntries(rest.map((name, i) => [name, i])) as Record<Rest, number>;

export class LiveRun {
  readonly run: number;
  readonly index: FlowIndex;
  readonly #rows = new PacketRows();
  #rest = new Float64Array(0);

  constructor(run: number) {
    this.run = run;
    this.index = new FlowIndex(run, 0);
  }

  clear(): void {
    this.index.clear();
  }

  /** Flow records. `settle()` after the last of them. */
  add(records: ArrayBuffer): void {
    const numbers = new Float64Array(records);
    const from = this.index.length;
    this.index.append(packColumns(records));
    if (this.#rest.length < this.index.length * rest.length) {
      const grown = new Float64Array(this.index.packet.length * rest.length);
      grown.set(this.#rest.subarray(0, from * rest.length));
      this.#rest = grown;
    }
    let to = from * rest.length;
    for (let r = 0; r < numbers.length; r += stride)
      for (const name of rest) this.#rest[to++] = numbers[r + at[name]] as number;
  }

  settle(): void {
    this.#rows.fill(this.index.packet, this.index.length);
  }

  rowOf(packet: number): number | undefined {
    return this.#rows.find(packet);
  }

  /** False when there is no such flow. */
  remove(packet: number): boolean {
    const row = this.#rows.find(packet);
    if (row === undefined) return false;
    this.#rows.remove(packet);
    const last = this.index.length - 1;
    if (row !== last) {
      this.#rows.move(this.index.packet[last] as number, row);
      this.#rest.copyWithin(row * rest.length, last * rest.length, (last + 1) * rest.length);
    }
    this.index.remove(row);
    return true;
  }

  /** The rows' records, as they were read. */
  records(rows: ArrayLike<number>): ArrayBuffer {
    const { index } = this;
    const out = new ArrayBuffer(rows.length * stride * 8);
    const numbers = new Float64Array(out);
    const times = new BigInt64Array(out);
    const bytes = new Uint8Array(out);
    const words = new Uint32Array(out);
    for (let i = 0, r = 0; i < rows.length; i++, r += stride) {
      const row = rows[i] as number;
      for (const name of ["packet", "packets", "bytes", "lost", "gaps"] as const)
        numbers[r + at[name]] = index[name][row] as number;
      for (const name of rest) numbers[r + at[name]] = this.#rest[row * rest.length + restAt[name]] as number;
      times[r + at.first_time] = index.baseNs + BigInt(index.first[row] as number);
      times[r + at.last_time] = index.baseNs + BigInt(index.last[row] as number);
      bytes.set(index.meta.subarray(row * 8, row * 8 + 8), (r + at.meta) * 8);
      bytes.set(index.tags.subarray(row * 8, row * 8 + 8), (r + at.tags) * 8);
      words.set(index.sci.subarray(row * 2, row * 2 + 2), (r + at.sci) * 2);
      words.set(index.source.subarray(row * 4, row * 4 + 4), (r + at.source) * 2);
      words.set(index.destination.subarray(row * 4, row * 4 + 4), (r + at.destination) * 2);
    }
    return out;
  }

  /** As the rows of the table totals, one for each protocol there is. */
  totals(): TotalRow[] {
    const { index } = this;
    const sums: (Sums | undefined)[] = [];
    for (let row = 0; row < index.length; row++) {
      const protocol = index.meta[row * 8] as number;
      sums[protocol] ??= newSums();
      const sum = sums[protocol];
      const other = (name: Rest): number => this.#rest[row * rest.length + restAt[name]] as number;
      sum.flows++;
      for (const name of ["packets", "bytes", "lost", "gaps"] as const) sum[name] += index[name][row] as number;
      for (const name of summed) sum[name] += other(name);
      sum.unique_packets += other("unique");
      sum.max_gap = Math.max(sum.max_gap, other("max_gap"));
      sum.first = Math.min(sum.first, index.first[row] as number);
      sum.last = Math.max(sum.last, index.last[row] as number);
    }
    return sums.flatMap((sum, protocol) => {
      if (!sum) return [];
      const { first, last, ...counts } = sum;
      const text = (offset: number): string => String(index.baseNs + BigInt(offset));
      return [{ run: this.run, protocol, first_ns: text(first), last_ns: text(last), ...counts }];
    });
  }
}

const summed = ["expected", "reordered", "duplicate", "late", "pending", "jumps", "outliers", "restarts"] as const;

const newSums = () => ({
  flows: 0, packets: 0, bytes: 0, lost: 0, gaps: 0, max_gap: 0, expected: 0, unique_packets: 0, reordered: 0, duplicate: 0, late: 0,
  pending: 0, jumps: 0, outliers: 0, restarts: 0, first: Number.POSITIVE_INFINITY, last: Number.NEGATIVE_INFINITY,
}); // biome-ignore format: one list
type Sums = ReturnType<typeof newSums>;

/** What is counted of the ended flows and of the active ones, together. */
export function addTotals(ended: readonly TotalRow[], active: readonly TotalRow[]): TotalRow[] {
  const all = new Map<string, TotalRow>();
  for (const row of [...ended, ...active]) {
    const name = `${row.run} ${row.protocol}`;
    const other = all.get(name);
    all.set(name, other ? together(other, row) : row);
  }
  return [...all.values()].sort((a, b) => a.run - b.run || a.protocol - b.protocol);
}

function together(a: TotalRow, b: TotalRow): TotalRow {
  const plus = (name: Exclude<keyof TotalRow, "first_ns" | "last_ns">): number => a[name] + b[name];
  return {
    run: a.run,
    protocol: a.protocol,
    flows: plus("flows"),
    packets: plus("packets"),
    bytes: plus("bytes"),
    first_ns: BigInt(a.first_ns) < BigInt(b.first_ns) ? a.first_ns : b.first_ns,
    last_ns: BigInt(a.last_ns) > BigInt(b.last_ns) ? a.last_ns : b.last_ns,
    expected: plus("expected"),
    unique_packets: plus("unique_packets"),
    reordered: plus("reordered"),
    duplicate: plus("duplicate"),
    late: plus("late"),
    lost: plus("lost"),
    pending: plus("pending"),
    jumps: plus("jumps"),
    outliers: plus("outliers"),
    restarts: plus("restarts"),
    gaps: plus("gaps"),
    max_gap: Math.max(a.max_gap, b.max_gap),
  };
}
