// client-go's rules, as properties of any order of calls.
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { Registry } from "prom-client";
import { describe, expect, it, vi } from "vitest";
import { OperatorMetrics } from "./metrics.ts";
import { WorkQueue } from "./work-queue.ts";

const queue = (options: Partial<ConstructorParameters<typeof WorkQueue>[0]> = {}): WorkQueue =>
  new WorkQueue({ name: "test", metrics: new OperatorMetrics(new Registry()), random: () => 1, ...options });

/** What is settled by now. */
const now = async <T>(promise: Promise<T>): Promise<T | "waits"> =>
  await Promise.race([promise, new Promise<"waits">((resolve) => setImmediate(() => resolve("waits")))]);

describe("a work queue", () => {
  it("has a key once, however often it is added", async () => {
    const keys = queue();
    for (const key of ["a", "b", "a", "a", "b"]) keys.add(key);
    expect(keys.depth).toBe(2);
    expect([await keys.take(), await keys.take(), await now(keys.take())]).toEqual(["a", "b", "waits"]);
  });

  it("gives a key that is added while it is worked on again, but only when that is done", async () => {
    const keys = queue();
    keys.add("a");
    await keys.take();
    keys.add("a");
    keys.add("a");
    const next = keys.take();
    expect(await now(next)).toBe("waits");
    keys.done("a");
    expect(await now(next)).toBe("a");
    keys.done("a");
    expect(keys.depth).toBe(0);
  });

  it("gives each to one of those who wait, first come first served", async () => {
    const keys = queue();
    const taken = [keys.take(), keys.take(), keys.take()];
    for (const key of ["a", "b", "c"]) keys.add(key);
    expect(await Promise.all(taken)).toEqual(["a", "b", "c"]);
  });

  it("lets a failure wait twice as long each time, to a longest, until it is forgotten", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const keys = queue({ backoff: { firstMs: 20, longestMs: 50 } });
      const waited: number[] = [];
      for (let turn = 0; turn < 5; turn++) {
        if (turn === 4) keys.forget("a");
        const begun = performance.now();
        keys.retry("a");
        const taken = keys.take();
        await vi.advanceTimersToNextTimerAsync();
        await taken;
        waited.push(performance.now() - begun);
        keys.done("a");
      }
      expect(waited).toEqual([20, 40, 50, 50, 20]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("waits at least as long as the API asked for", async () => {
    const keys = queue({ backoff: { firstMs: 1, longestMs: 1 } });
    const begun = performance.now();
    keys.retry("a", 60);
    await keys.take();
    expect(performance.now() - begun).toBeGreaterThan(58);
  });

  it("holds the shortest of several delays, and one that is longer than a timer can be", async () => {
    const keys = queue();
    keys.addAfter("a", 10 ** 12);
    keys.addAfter("a", 30);
    keys.addAfter("a", 5000);
    const begun = performance.now();
    const taken = keys.take();
    expect(await now(taken)).toBe("waits");
    expect(await taken).toBe("a");
    expect(performance.now() - begun).toBeLessThan(1000);
    keys.close();
  });

  it("when closed hands out what waits and then nothing; when dropped nothing at once", async () => {
    const keys = queue();
    keys.add("a");
    keys.addAfter("b", 5);
    keys.close();
    keys.add("c");
    expect([await keys.take(), await keys.take()]).toEqual(["a", undefined]);
    keys.done("a");
    await sleep(15);
    expect(await keys.take()).toBeUndefined();

    const dropped = queue();
    for (const key of ["a", "b"]) dropped.add(key);
    await dropped.take();
    dropped.add("a");
    const waiting = queue().take();
    dropped.drop();
    dropped.done("a");
    expect(await dropped.take()).toBeUndefined();
    expect(await now(waiting)).toBe("waits");
  });

  it("tells the age of the oldest", async () => {
    let time = 0;
    const keys = queue({ now: () => time });
    expect(keys.oldest).toBe(0);
    keys.add("a");
    time = 700;
    keys.add("b");
    time = 1000;
    expect(keys.oldest).toBe(1000);
    await keys.take();
    expect(keys.oldest).toBe(300);
  });

  it("never has two workers at a key, and works on every key after it was last added", async () => {
    const key = fc.constantFrom("a", "b", "c");
    const step = fc.oneof(
      fc.record({ do: fc.constant("add" as const), key }),
      fc.record({ do: fc.constant("later" as const), key }),
      fc.record({ do: fc.constant("retry" as const), key }),
      fc.record({ do: fc.constant("pause" as const), key }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (steps, workers) => {
        const keys = queue({ backoff: { firstMs: 1, longestMs: 2 } });
        const working = new Set<string>();
        const owed = new Set<string>();
        const work = async (): Promise<void> => {
          for (let taken = await keys.take(); taken !== undefined; taken = await keys.take()) {
            expect(working.has(taken)).toBe(false);
            working.add(taken);
            owed.delete(taken);
            await new Promise((resolve) => setImmediate(resolve));
            working.delete(taken);
            keys.done(taken);
          }
        };
        const all = Promise.all(Array.from({ length: workers }, work));
        for (const { do: what, key: name } of steps) {
          if (what === "pause") await new Promise((resolve) => setImmediate(resolve));
          else owed.add(name);
          if (what === "add") keys.add(name);
          if (what === "later") keys.addAfter(name, 1);
          if (what === "retry") keys.retry(name);
        }
        while (owed.size > 0) await sleep(1);
        keys.close();
        await all;
      }),
      { numRuns: 200 },
    );
  });
});
