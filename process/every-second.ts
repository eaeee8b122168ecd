// Work that is done once a second, for as long as a process lives. A turn that came late does not make the next ones come in a heap.
import { setTimeout as sleep } from "node:timers/promises";

export const secondMs = 1000;

export interface EverySecond {
  /** Settles when the turn under way is over; there is no other. */
  stop(): Promise<void>;
}

/** Begins at once. `work` must not throw. */
export function everySecond(work: () => void): EverySecond {
  const ending = new AbortController();
  const over = turns(work, ending.signal);
  return {
    stop: () => {
      ending.abort();
      return over;
    },
  };
}

async function turns(work: () => void, signal: AbortSignal): Promise<void> {
  let due = performance.now();
  while (!signal.aborted) {
    work();
    due = Math.max(due + secondMs, performance.now() + secondMs / 2);
    await sleep(due - performance.now(), undefined, { signal }).catch(() => undefined);
  }
}
