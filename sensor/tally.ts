// Totals of an analysis while its records pass by on their way to the store: per protocol, and the flows that lost most.
import { cellCount, cellOffsets, flowRecord } from "#domain/records.ts";
import { protocols, type Protocol } from "#domain/vocabulary.ts";

const summed = [
  "packets",
  "bytes",
  "expected",
  "unique",
  "reordered",
  "duplicate",
  "late",
  "lost",
  "pending",
  "jumps",
  "outliers",
  "restarts",
  "gaps",
] as const;
type Summed = (typeof summed)[number];

export type ProtocolTotals = { flows: number } & Record<Summed, number>;

/** One finished flow, copied out of its batch. */
export interface FlowCells {
  readonly numbers: Float64Array;
  readonly raw: Uint8Array;
}

const at = cellOffsets(flowRecord);
const cells = cellCount(flowRecord);
const worstKept = 5;

const nothing = (): ProtocolTotals => ({
  flows: 0,
  ...(Object.fromEntries(summed.map((name) => [name, 0])) as Record<Summed, number>),
});

export class Tally {
  readonly #totals = protocols.map(nothing);
  readonly #worst: FlowCells[] = [];
  flows = 0;

  /** Reads a batch of flow records; keeps nothing of the buffer, which travels on to the store's thread. */
  add(records: ArrayBuffer): void {
    const numbers = new Float64Array(records);
    const raw = new Uint8Array(records);
    for (let start = 0; start < numbers.length; start += cells) {
      const totals = this.#totals[raw[(start + at.meta) * 8] ?? 0];
      if (totals === undefined) throw new Error("a flow record names a protocol that does not exist");
      totals.flows += 1;
      for (const name of summed) totals[name] += numbers[start + at[name]] ?? 0;
      this.#considerWorst(numbers[start + at.lost] ?? 0, records, start);
    }
    this.flows += numbers.length / cells;
  }

  #considerWorst(lost: number, records: ArrayBuffer, start: number): void {
    if (lost === 0) return;
    if (this.#worst.length === worstKept && lost < lostOf(this.#worst[worstKept - 1])) return;
    const copy = records.slice(start * 8, (start + cells) * 8);
    const flow = { numbers: new Float64Array(copy), raw: new Uint8Array(copy) };
    // Of equals the one that came first in the capture: threads finish flows in any order.
    const place = this.#worst.findIndex(
      (other) => lost > lostOf(other) || (lost === lostOf(other) && packetOf(flow) < packetOf(other)),
    );
    this.#worst.splice(place < 0 ? this.#worst.length : place, 0, flow);
    this.#worst.length = Math.min(this.#worst.length, worstKept);
  }

  /** Protocols that occurred. */
  get byProtocol(): ReadonlyMap<Protocol, ProtocolTotals> {
    return new Map(
      protocols.flatMap((name, i) => ((this.#totals[i]?.flows ?? 0) > 0 ? [[name, this.#totals[i] ?? nothing()]] : [])),
    );
  }
  /** At most five, the greatest loss first. */
  get worst(): readonly FlowCells[] {
    return this.#worst;
  }
}

const packetOf = (flow: FlowCells): number => flow.numbers[at.packet] ?? 0;
const lostOf = (flow: FlowCells | undefined): number => flow?.numbers[at.lost] ?? 0;
