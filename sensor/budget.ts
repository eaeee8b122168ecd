// The memory budget, as a ladder: what to give up, in which order, when flows do not fit. Pure; asked once a second.
//
//   1  fewer flows       the cap is what the budget holds, not what the configuration asks for
//   2  shorter windows   flows were still thrown out by the cap: those that are silent end sooner, holes settle sooner
//   3  sampling          still: only one flow in 2, 4, 8 … is followed; packets of the others are counted as not sampled
//
// A rung is taken when flows had to be evicted by the cap in each of the last seconds, and left again when for a minute
// there was room for twice as many. What was allocated is not given back to the kernel, so prevention is the point: the
// cap comes from the budget before the memory is used; measured memory above the budget lowers it further.

import type { Rung } from "#domain/vocabulary.ts";

export interface Configured {
  readonly maxFlows: number;
  readonly idleNs: number;
  readonly settleNs: number;
  /** bytes; 0 for none */
  readonly budget: number;
}

/** What is measured each second. */
export interface Pressure {
  /** resident memory of the process, bytes */
  readonly resident: number;
  readonly liveFlows: number;
  /** evictions by the cap since the start */
  readonly capEvictions: number;
}

export interface Settings {
  readonly maxFlows: number;
  readonly idleNs: number;
  readonly settleNs: number;
  /** one flow in this many is followed */
  readonly sample: number;
}

/** What a live flow takes: its two rows of the table, its place in the index, its tombstone's share, and a window for some. */
const bytesPerFlow = 176;
const fewestFlows = 1000;
const secondsToClimb = 3;
const secondsToDescend = 60;
const windowDivisor = 4;
const mostSampled = 1024;

export class Budget {
  #configured: Configured;
  /** steps beyond "fewer flows": 1 is shorter windows, n > 1 is sampling one flow in 2^(n-1) */
  #step = 0;
  #cap: number;
  #evictions = 0;
  #pressed = 0;
  #calm = 0;
  #base: number;

  /** `base`: resident bytes before there were flows, rings included. */
  constructor(configured: Configured, base: number) {
    this.#configured = configured;
    this.#base = base;
    this.#cap = this.#affordable(base);
  }

  get settings(): Settings {
    const { idleNs, settleNs } = this.#configured;
    const divisor = this.#step > 0 ? windowDivisor : 1;
    return {
      maxFlows: this.#cap,
      idleNs: idleNs / divisor,
      settleNs: settleNs / divisor,
      sample: this.#step > 1 ? 2 ** (this.#step - 1) : 1,
    };
  }

  get rung(): Rung {
    if (this.#step > 1) return "sampling";
    if (this.#step > 0) return "shorter_windows";
    return this.#cap < this.#configured.maxFlows ? "fewer_flows" : "none";
  }

  /** The configuration changed; the step stays until pressure says otherwise. */
  configure(configured: Configured): void {
    this.#configured = configured;
    this.#cap = this.#affordable(this.#base);
  }

  /** Whether the settings are others than before. */
  consider({ resident, liveFlows, capEvictions }: Pressure): boolean {
    const before = JSON.stringify(this.settings);
    if (this.#configured.budget > 0 && resident > this.#configured.budget) {
      // The estimate was too good: what is over the budget is taken off the flows.
      const over = Math.ceil((resident - this.#configured.budget) / bytesPerFlow);
      this.#cap = Math.max(fewestFlows, Math.min(this.#cap, liveFlows) - over);
    }
    const evicted = capEvictions - this.#evictions;
    this.#evictions = capEvictions;
    // Without a budget the cap is the user's own word, and evicting at it what they asked for.
    this.#pressed = evicted > 0 && this.#configured.budget > 0 ? this.#pressed + 1 : 0;
    this.#calm = evicted === 0 && liveFlows * 2 < this.#cap ? this.#calm + 1 : 0;
    if (this.#pressed >= secondsToClimb && this.settings.sample < mostSampled) {
      this.#step++;
      this.#pressed = 0;
    } else if (this.#calm >= secondsToDescend && this.#step > 0) {
      this.#step--;
      this.#calm = 0;
    }
    return JSON.stringify(this.settings) !== before;
  }

  #affordable(base: number): number {
    const { maxFlows, budget } = this.#configured;
    if (budget === 0) return maxFlows;
    return Math.min(maxFlows, Math.max(fewestFlows, Math.floor((budget - base) / bytesPerFlow)));
  }
}
