// Puts flow records into the table flows. What enters: a batch of records. What leaves: rows, and the batch's sums per protocol.
//
// Most flows need few of the columns: an IPsec flow has no ports, and few flows ever have a late or held packet. Binding is
// most of an insert's cost, so each shape of flow has its own statement that leaves the rest to the column's default, and
// a statement takes many rows at once.
import type { Database, Statement } from "better-sqlite3";
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { ipv4Text, ipv6Text, macText, sciText } from "./address.ts";

const at = cellOffsets(flowRecord);
const stride = cellCount(flowRecord);

const always = [
  "run", "packet", "protocol", "ended", "source", "destination", "first_ns", "last_ns", "packets", "bytes", "min_inter_arrival_ns", "max_inter_arrival_ns",
]; // biome-ignore format: one list
const tagged = ["outer_vlan", "inner_vlan", "ipv6", "natt", "wrapped"];
const sequence = ["first_sequence", "last_sequence", "expected", "unique_packets", "reordered"];
const losses = ["duplicate", "lost", "gaps", "min_gap", "max_gap", "late", "pending", "jumps", "outliers", "restarts"];
const alwaysCells = [at.packets, at.bytes, at.min_inter_arrival, at.max_inter_arrival];
const sequenceCells = [at.first_number, at.last_number, at.expected, at.unique, at.reordered];
const lossCells = [
  at.duplicate,
  at.lost,
  at.gaps,
  at.min_gap,
  at.max_gap,
  at.late,
  at.pending,
  at.jumps,
  at.outliers,
  at.restarts,
];

export interface ProtocolSums {
  readonly protocol: number;
  flows: number;
  packets: number;
  bytes: number;
  first: bigint;
  last: bigint;
  /** expected, unique, reordered, duplicate, late, lost, pending, jumps, outliers, restarts, gaps */
  readonly counters: Float64Array;
  maxGap: number;
}

const counterCells = [
  at.expected, at.unique, at.reordered, at.duplicate, at.late, at.lost, at.pending, at.jumps, at.outliers, at.restarts, at.gaps,
]; // biome-ignore format: one list

const rowsAtOnce = 16;

/** Flows that need the same columns, gathered until a statement's worth is there. */
class Shape {
  readonly #one: Statement;
  readonly #many: Statement;
  readonly #width: number;
  readonly #values: unknown[];
  #used = 0;

  constructor(db: Database, table: string, columns: readonly string[]) {
    const row = `(${columns.map(() => "?").join(", ")})`;
    const insert = `INSERT INTO ${table} (${columns.join(", ")}) VALUES `;
    this.#one = db.prepare(insert + row);
    this.#many = db.prepare(insert + Array.from({ length: rowsAtOnce }, () => row).join(", "));
    this.#width = columns.length;
    this.#values = Array.from({ length: rowsAtOnce * columns.length }, () => 0);
  }

  add(value: unknown): void {
    this.#values[this.#used++] = value;
  }

  endRow(): void {
    if (this.#used < this.#values.length) return;
    this.#used = 0;
    this.#many.run(this.#values);
  }

  flush(): void {
    const used = this.#used;
    this.#used = 0;
    for (let from = 0; from < used; from += this.#width) this.#one.run(this.#values.slice(from, from + this.#width));
  }

  /** Forgets rows of a batch that failed. */
  clear(): void {
    this.#used = 0;
  }
}

export class FlowInsert {
  readonly #shapes: Shape[];

  constructor(db: Database, table = "flows") {
    const own = [["sci", "an"], ["spi"], ["source_port", "destination_port"]];
    // Bit 0: with tags and flags; bit 1: with losses; the rest: which keys.
    this.#shapes = Array.from({ length: 12 }, (_, shape) => {
      const kind = shape >> 2;
      return new Shape(db, table, [
        ...always,
        ...(own[kind] as string[]),
        ...(kind < 2 ? sequence : []),
        ...(shape & 1 ? tagged : []),
        ...(shape & 2 ? losses : []),
      ]);
    });
  }

  insert(run: number, records: ArrayBuffer): ProtocolSums[] {
    const numbers = new Float64Array(records);
    const times = new BigInt64Array(records);
    const bytes = new Uint8Array(records);
    const view = new DataView(records);
    const sums: (ProtocolSums | undefined)[] = [];
    for (const shape of this.#shapes) shape.clear();

    for (let r = 0; r < numbers.length; r += stride) {
      const n = (cell: number): number => numbers[r + cell] as number;
      const meta = (r + at.meta) * 8;
      const tags = (r + at.tags) * 8;
      const protocol = bytes[meta] as number;
      const transport = protocol > 2;
      const ipv6 = bytes[meta + 2] as number;
      const vlans = bytes[meta + 6] as number;
      const addressText = protocol === 0 ? macText : ipv6 ? ipv6Text : ipv4Text;
      const first = times[r + at.first_time] as bigint;
      const last = times[r + at.last_time] as bigint;
      const hasTags = vlans !== 0 || ipv6 !== 0 || bytes[meta + 4] !== 0 || bytes[meta + 5] !== 0;
      const hasLosses = lossCells.some((cell) => n(cell) !== 0);
      const row = this.#shapes[
        (protocol === 0 ? 0 : transport ? 8 : 4) | (hasTags ? 1 : 0) | (hasLosses ? 2 : 0)
      ] as Shape;

      row.add(run);
      row.add(n(at.packet));
      row.add(protocol);
      row.add(bytes[meta + 1]);
      row.add(addressText(bytes, (r + at.source) * 8));
      row.add(addressText(bytes, (r + at.destination) * 8));
      row.add(first);
      row.add(last);
      for (const cell of alwaysCells) row.add(n(cell));
      if (protocol === 0) {
        row.add(sciText(bytes, (r + at.sci) * 8));
        row.add(bytes[meta + 3]);
      } else if (transport) {
        row.add(view.getUint16(tags + 4));
        row.add(view.getUint16(tags + 6));
      } else row.add(view.getUint32(tags + 4));
      if (!transport) for (const cell of sequenceCells) row.add(n(cell));
      if (hasTags) {
        row.add(vlans > 0 ? view.getUint16(tags) & 0xfff : null);
        row.add(vlans > 1 ? view.getUint16(tags + 2) & 0xfff : null);
        row.add(ipv6);
        row.add(bytes[meta + 4]);
        row.add(bytes[meta + 5]);
      }
      if (hasLosses) for (const cell of lossCells) row.add(n(cell));
      row.endRow();

      sums[protocol] ??= {
        protocol,
        flows: 0,
        packets: 0,
        bytes: 0,
        first,
        last,
        counters: new Float64Array(counterCells.length),
        maxGap: 0,
      };
      const sum = sums[protocol];
      sum.flows++;
      sum.packets += n(at.packets);
      sum.bytes += n(at.bytes);
      if (first < sum.first) sum.first = first;
      if (last > sum.last) sum.last = last;
      for (let i = 0; i < counterCells.length; i++)
        sum.counters[i] = (sum.counters[i] as number) + n(counterCells[i] as number);
      if (n(at.max_gap) > sum.maxGap) sum.maxGap = n(at.max_gap);
    }
    for (const shape of this.#shapes) shape.flush();
    return sums.filter((sum) => sum !== undefined);
  }
}
