// Takes results out of a running analysis, in order, without spinning and without keeping it waiting.
import { setTimeout as sleep } from "node:timers/promises";
import type { ResultBatch } from "#domain/analysis.ts";
import type { Job } from "#native/engine.ts";

/** How long to rest when the engine has nothing: far less than it takes to fill its queue. */
export const rests = { file: 1, live: 200 } as const;

/** Hands every batch to `carry` until the engine is done and nothing is left. After each look `looked` is called. */
export async function takeAll<Summary>(
  analysis: Job<Summary>,
  restMs: number,
  carry: (batch: ResultBatch) => Promise<void> | void,
  looked: () => void = () => undefined,
): Promise<Summary> {
  const over = new AbortController();
  const done = analysis.done.finally(() => over.abort());
  done.catch(() => undefined); // read below; until then it must not count as unhandled
  for (;;) {
    const nothingMore = over.signal.aborted; // looked at before taking: what was put in last is still taken
    const batch = analysis.take();
    looked();
    if (batch !== null) await carry(batch);
    else if (nothingMore) return done;
    else await sleep(restMs, undefined, { signal: over.signal }).catch(() => undefined);
  }
}
