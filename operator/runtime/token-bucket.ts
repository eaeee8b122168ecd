// So many at once, so many a second: for writes to the API and for events. Whoever waits is served in order.
import { setTimeout as sleep } from "node:timers/promises";

export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export class TokenBucket {
  readonly #rate: Rate;
  readonly #now: () => number;
  /** falls below 0 by those that wait */
  #tokens: number;
  #at: number;

  /** `now`: milliseconds that only grow. */
  constructor(rate: Rate, now: () => number) {
    this.#rate = rate;
    this.#now = now;
    this.#tokens = rate.burst;
    this.#at = now();
  }

  /** Now or not at all. */
  take(): boolean {
    this.#fill();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Throws what aborted the signal. */
  async wait(signal?: AbortSignal): Promise<void> {
    this.#fill();
    this.#tokens--;
    if (this.#tokens >= 0) return;
    try {
      await sleep((-this.#tokens / this.#rate.perSecond) * 1000, undefined, signal ? { signal } : {});
    } catch (error) {
      this.#tokens++;
      throw error;
    }
  }

  #fill(): void {
    const now = this.#now();
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + ((now - this.#at) / 1000) * this.#rate.perSecond);
    this.#at = now;
  }
}
