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
    this.index.append(packColumns(new Float64Array(records)), 0);
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
    const { packets, bytes, lost, gaps, first, last, meta, length, baseNs } = this.index;
    const sums: (Sums | undefined)[] = [];
    for (let row = 0, other = 0; row < length; row++, other += rest.length) {
      const protocol = meta[row * 8] as number;
      sums[protocol] ??= newSums();
      const sum = sums[protocol];
      sum.flows++;
      sum.packets += packets[row] as number;
      sum.bytes += bytes[row] as number;
      sum.lost += lost[row] as number;
      sum.gaps += gaps[row] as number;
      for (let i = 0; i < rest.length; i++) sum.rest[i] = (sum.rest[i] as number) + (this.#rest[other + i] as number);
      sum.maxGap = Math.max(sum.maxGap, this.#rest[other + restAt.max_gap] as number);
      sum.first = Math.min(sum.first, first[row] as number);
      sum.last = Math.max(sum.last, last[row] as number);
    }
    const text = (offset: number): string => String(baseNs + BigInt(offset));
    return sums.flatMap((sum, protocol) => {
      if (!sum) return [];
      const of = (name: Rest): number => sum.rest[restAt[name]] as number;
      return [
        {
          run: this.run, protocol, flows: sum.flows, packets: sum.packets, bytes: sum.bytes, first_ns: text(sum.first), last_ns: text(sum.last),
          expected: of("expected"), unique_packets: of("unique"), reordered: of("reordered"), duplicate: of("duplicate"), late: of("late"),
          lost: sum.lost, pending: of("pending"), jumps: of("jumps"), outliers: of("outliers"), restarts: of("restarts"), gaps: sum.gaps, max_gap: sum.maxGap,
        }, // biome-ignore format: one row
      ];
    });
  }
}

const newSums = () => ({
  flows: 0, packets: 0, bytes: 0, lost: 0, gaps: 0, maxGap: 0, first: Number.POSITIVE_INFINITY, last: Number.NEGATIVE_INFINITY,
  /** of every other cell, the ones among them of which a sum says nothing */
  rest: new Float64Array(rest.length),
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
