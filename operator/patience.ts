// How long something is tried, and waited for. For what may be done twice.
import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "#process/log.ts";

export interface Patience {
  readonly log: Log;
  /** from then on nothing is waited for, or tried again */
  readonly late: AbortSignal;
}

const againMs = 500;

/** Once at least; until it succeeds or nothing is waited for any more. */
export async function again<T>({ log, late }: Patience, what: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (late.aborted || signal.aborted) throw error;
      log.warning("failed at a step, which is tried again", { step: what, error });
      await pause(signal);
    }
  }
} // biome-ignore format: the signature

/** Shorter when the signal is aborted. */
export const pause = (signal: AbortSignal): Promise<void> =>
  sleep(againMs, undefined, { signal }).catch(() => undefined);
