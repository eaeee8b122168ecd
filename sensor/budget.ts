// The memory budget, as a ladder: what to give up, in which order, when flows do not fit. Pure; asked once a second.
//
//   1  fewer flows       the cap is what the budget holds, not what the configuration asks for
//   2  shorter windows   flows were still thrown out by the cap: those that are silent end sooner, holes settle sooner
//   3  sampling          still: only one flow in 2, 4, 8 … is followed; packets of the others are counted as not sampled
//
// A rung is taken when flows had to be evicted by the cap in each of the last seconds, and left again when for a minute
// there was room for twice as many. What was allocated is not given back to the kernel, so prevention is the point: the
// cap comes from the budget before the memory is used; measured memory above the budget lowers it further, by what it was
// above at most, and gives that back slowly once there is room. A cap that the user configured is not pressure.

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
  /** resident memory of the process, bytes, without the rings */
  readonly resident: number;
  /** of all rings, bytes */
  readonly rings: number;
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
/** of the budget: so much must be free before what was above it is forgotten, a tenth of it each second */
const roomShare = 0.1;
const forgetting = 0.9;
const mostSampled = 1024;

export class Budget {
  #configured: Configured;
  /** steps beyond "fewer flows": 1 is shorter windows, n > 1 is sampling one flow in 2^(n-1) */
  #step = 0;
  /** bytes above the budget that were measured, at most */
  #over = 0;
  #rings: number;
  #evictions = 0;
  #pressed = 0;
  #calm = 0;
  #base: number;

  /** `base`: resident bytes before there were flows, without the rings. */
  constructor(configured: Configured, base: number, rings: number) {
    this.#configured = configured;
    this.#base = base;
    this.#rings = rings;
  }

  get settings(): Settings {
    const { idleNs, settleNs } = this.#configured;
    const divisor = this.#step > 0 ? windowDivisor : 1;
    return {
      maxFlows: this.#cap(),
      idleNs: idleNs / divisor,
      settleNs: settleNs / divisor,
      sample: this.#step > 1 ? 2 ** (this.#step - 1) : 1,
    };
  }

  get rung(): Rung {
    if (this.#step > 1) return "sampling";
    if (this.#step > 0) return "shorter_windows";
    return this.#cap() < this.#configured.maxFlows ? "fewer_flows" : "none";
  }

  /** The configuration changed; the step stays until pressure says otherwise. */
  configure(configured: Configured): void {
    this.#configured = configured;
  }

  /** Whether the settings are others than before. */
  consider({ resident, rings, liveFlows, capEvictions }: Pressure): boolean {
    const before = JSON.stringify(this.settings);
    const { budget, maxFlows } = this.#configured;
    this.#rings = rings;
    const over = resident + rings - budget;
    if (budget > 0 && over > this.#over) this.#over = over;
    else if (over < -budget * roomShare) this.#over = Math.floor(this.#over * forgetting);
    const evicted = capEvictions - this.#evictions;
    this.#evictions = capEvictions;
    this.#pressed = evicted > 0 && this.#cap() < maxFlows ? this.#pressed + 1 : 0;
    this.#calm = evicted === 0 && liveFlows * 2 < this.#cap() ? this.#calm + 1 : 0;
    if (this.#pressed >= secondsToClimb && this.settings.sample < mostSampled) {
      this.#step++;
      this.#pressed = 0;
    } else if (this.#calm >= secondsToDescend && this.#step > 0) {
      this.#step--;
      this.#calm = 0;
    }
    return JSON.stringify(this.settings) !== before;
  }

  #cap(): number {
    const { maxFlows, budget } = this.#configured;
    if (budget === 0) return maxFlows;
    const flows = Math.floor((budget - this.#rings - this.#base - this.#over) / bytesPerFlow);
    return Math.min(maxFlows, Math.max(fewestFlows, flows));
  }
}
