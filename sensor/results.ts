// What the engine found, on its way: everything to the store, gaps to the fleet and to listeners as well.
// The order matters: a buffer that was handed to the store's thread is gone here.
import { setTimeout as sleep } from "node:timers/promises";
import type { Stream } from "#api/stream.ts";
import type { PortCounts, ResultBatch } from "#domain/analysis.ts";
import type { Finding } from "#domain/finding.ts";
import type { BlindReason } from "#domain/vocabulary.ts";
import type { StoreWriter } from "#store/writer.ts";
import { blindRows } from "./blinds.ts";
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

/** Bytes on their way to the store's thread. */
const mostWaiting = 4 * 2 ** 20;
/** Gaps told one by one in a second. A link that has more is told by its sums, and the rest is counted. */
const toldPerSecond = 5000;

export class Results {
  readonly #options: ResultsOptions;
  readonly gaps = new Gaps();
  /** seconds not watched, by interface and reason */
  readonly blindSeconds = new Map<string, Map<BlindReason, number>>();
  readonly #told = new Map<string, { readonly sinceNs: bigint; readonly untilNs: bigint }>();
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
    if (batch.kind === "blinds") return this.#blind(batch.records);
    if (batch.kind === "gaps") this.#tell(batch.records);
    await this.#options.store.write(batch);
    await this.#room();
  }

  /** While the store writes, it is waited for: what waits is then the engine's outbox, and nothing is dropped. On a full disk it is not. */
  async #room(): Promise<void> {
    const { store } = this.#options;
    for (
      let state = store.state();
      state.state === "writing" && state.waitingBytes > mostWaiting;
      state = store.state()
    )
      await sleep(5);
  }

  #tell(records: ArrayBuffer): void {
    const { fleet, stream, run } = this.#options;
    this.gaps.add(records);
    const heard = stream.listeners > 0;
    const told = fleet || heard ? Math.min(gapCount(records), this.#left) : 0;
    this.#left -= told;
    if (fleet) this.#untold += gapCount(records) - told;
    const live: Finding[] = [];
    for (const finding of gapFindings(records, run, told)) {
      fleet?.(finding);
      if (heard) live.push(finding);
    }
    if (heard) stream.findings(live);
  }

  async #blind(records: ArrayBuffer): Promise<void> {
    const rows = blindRows(records, this.#options.ports());
    for (const { interface: name, reason, sinceNs, untilNs } of rows) {
      const sums = this.blindSeconds.get(name) ?? new Map<BlindReason, number>();
      // One that goes on is told again, with a later end.
      const told = this.#told.get(`${name} ${reason}`);
      const from = told?.sinceNs === sinceNs ? told.untilNs : sinceNs;
      this.#told.set(`${name} ${reason}`, { sinceNs, untilNs });
      this.blindSeconds.set(name, sums.set(reason, (sums.get(reason) ?? 0) + Number(untilNs - from) / 1e9));
    }
    await this.#options.store.blind(rows); // even none: what is stored is counted by batches
  }
}
