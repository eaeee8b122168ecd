// Parts: what retention deletes at a time. A part is one batch of ended flows, or of gaps, by the number it was stored under.
// Gaps are found again by their keys: the gaps of a flow that never ends have no other part to go with.
import { cellCount, cellOffsets, gapRecord } from "#domain/records.ts";

/** Positions in the table part_kinds. */
export const partKinds = { flows: 0, gaps: 1 } as const;

const at = cellOffsets(gapRecord);
const stride = cellCount(gapRecord);
/** packet (8 bytes), first (8), segment (4) */
const keyBytes = 20;

export function packGapKeys(records: Float64Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const from = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const count = records.length / stride;
  const keys = new Uint8Array(count * keyBytes);
  const to = new DataView(keys.buffer);
  for (let i = 0; i < count; i++) {
    const record = i * stride * 8;
    to.setFloat64(i * keyBytes, from.getFloat64(record + at.packet * 8, true));
    to.setFloat64(i * keyBytes + 8, from.getFloat64(record + at.first * 8, true));
    to.setUint32(i * keyBytes + 16, from.getUint32(record + at.flags * 8 + 4, true));
  }
  return keys;
}

export interface GapKey {
  readonly packet: number;
  readonly segment: number;
  readonly first: number;
}

export function unpackGapKeys(keys: Uint8Array): GapKey[] {
  const view = new DataView(keys.buffer, keys.byteOffset, keys.byteLength);
  return Array.from({ length: keys.byteLength / keyBytes }, (_, i) => ({
    packet: view.getFloat64(i * keyBytes),
    first: view.getFloat64(i * keyBytes + 8),
    segment: view.getUint32(i * keyBytes + 16),
  }));
}
