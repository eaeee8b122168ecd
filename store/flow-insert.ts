// Puts flow records into the table flows. What enters: a batch of records. What leaves: rows, and the batch's sums per protocol.
//
// Most flows need few of the columns: an IPsec flow has no ports, and few flows ever have a late or held packet. Binding is
// most of an insert's cost, so each kind of flow has its own statement that leaves the rest to the column's default.
import type { Database, Statement } from "better-sqlite3";
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { protocols } from "#domain/vocabulary.ts";
import { ipv4Text, ipv6Text, macText, sciText } from "./address.ts";

const at = cellOffsets(flowRecord);
const stride = cellCount(flowRecord);

const always = [
  "run", "packet", "protocol", "ended", "source", "destination", "first_ns", "last_ns", "packets", "bytes", "min_inter_arrival_ns", "max_inter_arrival_ns",
]; // biome-ignore format: one list
const tagged = ["outer_vlan", "inner_vlan", "ipv6", "natt", "wrapped"];
const sequence = ["first_sequence", "last_sequence", "expected", "unique_packets", "reordered"];
const losses = ["duplicate", "lost", "gaps", "min_gap", "max_gap", "late", "pending", "jumps", "outliers", "restarts"];

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

export class FlowInsert {
  readonly #statements: Statement[];

  constructor(db: Database) {
    const own = [["sci", "an"], ["spi"], ["source_port", "destination_port"]];
    // Bit 0: with tags and flags; bit 1: with losses; the rest: which keys.
    this.#statements = Array.from({ length: 12 }, (_, shape) => {
      const kind = shape >> 2;
      const columns = [...always, ...(own[kind] as string[]), ...(kind < 2 ? sequence : []), ...(shape & 1 ? tagged : []), ...(shape & 2 ? losses : [])];
      return db.prepare(`INSERT INTO flows (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`);
    });
  }

  insert(run: number, records: ArrayBuffer): ProtocolSums[] {
    const numbers = new Float64Array(records);
    const times = new BigInt64Array(records);
    const bytes = new Uint8Array(records);
    const view = new DataView(records);
    const sums: (ProtocolSums | undefined)[] = [];

    for (let r = 0; r < numbers.length; r += stride) {
      const n = (cell: number): number => numbers[r + cell] as number;
      const meta = (r + at.meta) * 8;
      const tags = (r + at.tags) * 8;
      const protocol = bytes[meta] as number;
      const macsec = protocol === 0;
      const transport = protocol > 2;
      const ipv6 = bytes[meta + 2] as number;
      const vlans = bytes[meta + 6] as number;
      const address = (cell: number): string => {
        const offset = (r + cell) * 8;
        return macsec ? macText(bytes, offset) : ipv6 ? ipv6Text(bytes, offset) : ipv4Text(bytes, offset);
      };
      const first = times[r + at.first_time] as bigint;
      const last = times[r + at.last_time] as bigint;

      const row: unknown[] = [
        run, n(at.packet), protocol, bytes[meta + 1], address(at.source), address(at.destination), first, last,
        n(at.packets), n(at.bytes), n(at.min_inter_arrival), n(at.max_inter_arrival),
      ]; // biome-ignore format: one list
      let shape = 0;
      if (macsec) row.push(sciText(bytes, (r + at.sci) * 8), bytes[meta + 3]);
      else if (transport) row.push(view.getUint16(tags + 4), view.getUint16(tags + 6));
      else row.push(view.getUint32(tags + 4));
      shape = macsec ? 0 : transport ? 8 : 4;
      if (!transport) row.push(n(at.first_number), n(at.last_number), n(at.expected), n(at.unique), n(at.reordered));
      if (vlans || ipv6 || bytes[meta + 4] || bytes[meta + 5]) {
        shape |= 1;
        row.push(vlans > 0 ? view.getUint16(tags) & 0xfff : null, vlans > 1 ? view.getUint16(tags + 2) & 0xfff : null, ipv6, bytes[meta + 4], bytes[meta + 5]);
      }
      if (n(at.lost) || n(at.duplicate) || n(at.late) || n(at.pending) || n(at.jumps) || n(at.outliers) || n(at.restarts)) {
        shape |= 2;
        row.push(n(at.duplicate), n(at.lost), n(at.gaps), n(at.min_gap), n(at.max_gap));
        row.push(n(at.late), n(at.pending), n(at.jumps), n(at.outliers), n(at.restarts));
      }
      (this.#statements[shape] as Statement).run(row);

      const sum = (sums[protocol] ??= { protocol, flows: 0, packets: 0, bytes: 0, first, last, counters: new Float64Array(counterCells.length), maxGap: 0 });
      sum.flows++;
      sum.packets += n(at.packets);
      sum.bytes += n(at.bytes);
      if (first < sum.first) sum.first = first;
      if (last > sum.last) sum.last = last;
      for (let i = 0; i < counterCells.length; i++) sum.counters[i] = (sum.counters[i] as number) + n(counterCells[i] as number);
      if (n(at.max_gap) > sum.maxGap) sum.maxGap = n(at.max_gap);
    }
    return sums.filter((sum) => sum !== undefined && sum.protocol < protocols.length) as ProtocolSums[];
  }
}
