// The cells of a flow record that the flow list can be filtered and sorted by, turned from rows to columns.
// What enters: a batch of flow records. What leaves: one blob, each cell's column behind the other.
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";

const at = cellOffsets(flowRecord);
const stride = cellCount(flowRecord);

/** Order within the blob. Never changes without a migration that rebuilds flow_columns. */
const cells = [
  at.packet, at.first_time, at.last_time, at.packets, at.bytes, at.lost, at.gaps,
  at.meta, at.tags, at.sci, at.source, at.source + 1, at.destination, at.destination + 1,
] as const; // biome-ignore format: one list

export const column = {
  packet: 0,
  first: 1,
  last: 2,
  packets: 3,
  bytes: 4,
  lost: 5,
  gaps: 6,
  meta: 7,
  tags: 8,
  sci: 9,
  source: 10,
  destination: 12,
} as const;
export const columnCount = cells.length;

/** Which flows a blob holds, and how many gaps each has. */
export function cellsOfColumns(blob: Uint8Array): { readonly packet: Float64Array; readonly gaps: Float64Array } {
  const count = blob.byteLength / (columnCount * 8);
  const own = new Uint8Array(blob).buffer; // a copy, aligned
  const cells = (at: number): Float64Array => new Float64Array(own, at * count * 8, count);
  return { packet: cells(column.packet), gaps: cells(column.gaps) };
}

export function packColumns(records: Float64Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const count = records.length / stride;
  const from = new Uint32Array(records.buffer, records.byteOffset, records.length * 2); // a cell is copied as two words: a float64 copy could alter bytes that are no number
  const to = new Uint32Array(count * columnCount * 2);
  let out = 0;
  for (const cell of cells) {
    for (let i = 0, word = cell * 2; i < count; i++, word += stride * 2) {
      to[out++] = from[word] as number;
      to[out++] = from[word + 1] as number;
    }
  }
  return new Uint8Array(to.buffer);
}
