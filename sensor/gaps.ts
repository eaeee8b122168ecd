// Gaps on their way to the store: summed by protocol and by whose fault they may be, and told as findings.
// What enters: batches of gap records. The buffer travels on; nothing of it is kept.
import type { Finding } from "#domain/finding.ts";
import { cellCount, cellOffsets, gapRecord } from "#domain/records.ts";
import { timeText } from "#domain/time.ts";
import { protocols, sequencedProtocols, type Protocol } from "#domain/vocabulary.ts";
import { nameOf } from "./flow-name.ts";

const at = cellOffsets(gapRecord);
const cells = cellCount(gapRecord);

export interface GapSums {
  gaps: number;
  lost: number;
}
const suspicions = ["clear", "suspect"] as const;
export type Suspicion = (typeof suspicions)[number];

export class Gaps {
  readonly sums: Readonly<Record<(typeof sequencedProtocols)[number], Readonly<Record<Suspicion, GapSums>>>> = {
    macsec: { clear: { gaps: 0, lost: 0 }, suspect: { gaps: 0, lost: 0 } },
    esp: { clear: { gaps: 0, lost: 0 }, suspect: { gaps: 0, lost: 0 } },
    ah: { clear: { gaps: 0, lost: 0 }, suspect: { gaps: 0, lost: 0 } },
  };

  get suspect(): number {
    return sequencedProtocols.reduce((sum, name) => sum + this.sums[name].suspect.gaps, 0);
  }

  add(records: ArrayBuffer): void {
    const numbers = new Float64Array(records);
    const raw = new Uint8Array(records);
    for (let start = 0; start < numbers.length; start += cells) {
      const protocol = protocols[raw[(start + at.meta) * 8] ?? 0];
      if (protocol !== "macsec" && protocol !== "esp" && protocol !== "ah")
        throw new Error("a gap record names a protocol without numbers");
      const sums = this.sums[protocol][raw[(start + at.flags) * 8 + 1] === 1 ? "suspect" : "clear"];
      sums.gaps += 1;
      sums.lost += (numbers[start + at.last] ?? 0) - (numbers[start + at.first] ?? 0) + 1;
    }
  }
}

export const gapCount = (records: ArrayBuffer): number => records.byteLength / (cells * 8);

/** The first `limit` gaps of a batch, one after the other: none has to live longer than it takes to tell it. */
export function* gapFindings(records: ArrayBuffer, run: number, limit: number): Generator<Finding> {
  const numbers = new Float64Array(records);
  const times = new BigInt64Array(records);
  const end = Math.min(numbers.length, limit * cells);
  for (let start = 0; start < end; start += cells) {
    const raw = new Uint8Array(records, start * 8, cells * 8);
    const first = numbers[start + at.first] ?? 0;
    const last = numbers[start + at.last] ?? 0;
    const { protocol, source, destination, ...rest } = nameOf(raw, at);
    yield {
      v: 1,
      kind: "gap",
      flow: {
        flow_id: `${run}-${numbers[start + at.packet]}`,
        protocol: protocols[protocol] as Protocol,
        source,
        destination,
        ...present(rest),
      },
      first,
      last,
      size: last - first + 1,
      noticed: timeText(times[start + at.noticed] ?? 0n),
      confirmed: timeText(times[start + at.confirmed] ?? 0n),
      jump: raw[at.flags * 8] === 1,
      suspect: raw[at.flags * 8 + 1] === 1,
    };
  }
}

type Present<T> = { [K in keyof T]?: NonNullable<T[K]> };
const present = <T extends object>(values: T): Present<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as Present<T>;
