// When an agent was last heard, by the operator's own clock. Silent for three of its intervals: it is not reporting.
import type { RelayReport } from "#domain/relay-report.ts";
import type { SensorReport } from "#domain/report.ts";

const intervals = 3;

type Head = Pick<SensorReport | RelayReport, "run" | "sequence" | "interval_ms">;

export class Heard {
  /** monotonic, ms */
  #at = -Infinity;
  #intervalMs = 1000;
  #run = "";
  #sequence = 0;
  /** reports of this run that did not come */
  missed = 0;

  /** False when a later one was here before: a report that went another way, or is played again. */
  hear({ run, sequence, interval_ms: intervalMs }: Head, now: number): boolean {
    if (run === this.#run) {
      if (sequence <= this.#sequence) return false;
      this.missed += sequence - this.#sequence - 1;
    } else {
      this.missed = 0;
      this.#run = run;
    }
    this.#sequence = sequence;
    this.#intervalMs = intervalMs;
    this.#at = now;
    return true;
  }

  reporting(now: number): boolean {
    return now - this.#at <= intervals * this.#intervalMs;
  }
}
