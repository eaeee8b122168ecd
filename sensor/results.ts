// What the engine found, on its way: everything to the store, gaps to the fleet and to listeners as well.
// The order matters: a buffer that was handed to the store's thread is gone here.
import type { Stream } from "#api/stream.ts";
import type { Blind, PortCounts, ResultBatch } from "#domain/analysis.ts";
import type { Finding } from "#domain/finding.ts";
import { cellCount, cellOffsets, blindRecord } from "#domain/records.ts";
import { blindReasons, type BlindReason } from "#domain/vocabulary.ts";
import type { StoreWriter } from "#store/writer.ts";
import { gapCount, gapFindings, Gaps } from "./gaps.ts";

export interface ResultsOptions {
  readonly store: StoreWriter;
  readonly stream: Stream;
  /** takes findings; undefined when there is no fleet */
  readonly fleet: ((finding: Finding) => void) | undefined;
  readonly run: number;
  /** by position, as blind records name them */
  readonly ports: () => readonly PortCounts[];
}

/** Gaps told one by one in a second. A link that has more is told by its sums, and the rest is counted. */
const toldPerSecond = 5000;

const at = cellOffsets(blindRecord);
const cells = cellCount(blindRecord);
const reasons = Object.keys(blindReasons) as BlindReason[];

export class Results {
  readonly #options: ResultsOptions;
  readonly gaps = new Gaps();
  /** seconds not watched, by interface and reason */
  readonly blindSeconds = new Map<string, Map<BlindReason, number>>();
  #left = toldPerSecond;
  #untold = 0;

  constructor(options: ResultsOptions) {
    this.#options = options;
  }

  /** Gaps that were only summed. */
  get untold(): number {
    return this.#untold;
  }

  /** A new second. */
  turn(): void {
    this.#left = toldPerSecond;
  }

  async take(batch: ResultBatch): Promise<void> {
    if (batch.kind === "blinds") {
      await this.#options.store.blind(this.#blinds(batch.records)); // even none: what is stored is counted by batches
      return;
    }
    if (batch.kind === "gaps") this.#tell(batch.records);
    await this.#options.store.write(batch);
  }

  #tell(records: ArrayBuffer): void {
    const { fleet, stream, run } = this.#options;
    this.gaps.add(records);
    const told = fleet || stream.listeners > 0 ? gapFindings(records, run, this.#left) : [];
    this.#left -= told.length;
    if (fleet) this.#untold += gapCount(records) - told.length;
    for (const finding of told) fleet?.(finding);
    if (stream.listeners > 0) stream.findings(told);
  }

  #blinds(records: ArrayBuffer): Blind[] {
    const numbers = new Float64Array(records);
    const times = new BigInt64Array(records);
    const raw = new Uint8Array(records);
    const ports = this.#options.ports();
    const rows: Blind[] = [];
    for (let start = 0; start < numbers.length; start += cells) {
      const name = ports[numbers[start + at.port] ?? -1]?.interface;
      const reason = reasons[raw[(start + at.meta) * 8] ?? 255];
      if (name === undefined || reason === undefined) throw new Error("a blind record names what does not exist");
      const [sinceNs, untilNs] = [times[start + at.since] ?? 0n, times[start + at.until] ?? 0n];
      rows.push({ interface: name, sinceNs, untilNs, reason });
      const sums = this.blindSeconds.get(name) ?? new Map<BlindReason, number>();
      this.blindSeconds.set(name, sums.set(reason, (sums.get(reason) ?? 0) + Number(untilNs - sinceNs) / 1e9));
    }
    return rows;
  }
}
