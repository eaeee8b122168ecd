// Blind records as rows of the store.
import type { Blind, PortCounts } from "#domain/analysis.ts";
import { blindRecord, cellCount, cellOffsets } from "#domain/records.ts";
import { blindReasons, type BlindReason } from "#domain/vocabulary.ts";

const at = cellOffsets(blindRecord);
const cells = cellCount(blindRecord);
const reasons = Object.keys(blindReasons) as BlindReason[];

/** `ports`: by position, as the records name them. */
export function blindRows(records: ArrayBuffer, ports: readonly PortCounts[]): Blind[] {
  const numbers = new Float64Array(records);
  const times = new BigInt64Array(records);
  const raw = new Uint8Array(records);
  const rows: Blind[] = [];
  for (let start = 0; start < numbers.length; start += cells) {
    const name = ports[numbers[start + at.port] ?? -1]?.interface;
    const reason = reasons[raw[(start + at.meta) * 8] ?? 255];
    if (name === undefined || reason === undefined) throw new Error("a blind record names what does not exist");
    rows.push({
      interface: name,
      sinceNs: times[start + at.since] ?? 0n,
      untilNs: times[start + at.until] ?? 0n,
      reason,
    });
  }
  return rows;
}
