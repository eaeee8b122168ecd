import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { TokenBucket } from "./token-bucket.ts";

it("lets a burst pass, then so many a second, and saves up no more than a burst", () => {
  let time = 0;
  const bucket = new TokenBucket({ perSecond: 10, burst: 3 }, () => time);
  const taken = (): number => Array.from({ length: 20 }, () => bucket.take()).filter(Boolean).length;
  expect(taken()).toBe(3);
  time = 250;
  expect(taken()).toBe(2);
  time = 100_000;
  expect(taken()).toBe(3);
});

it("lets those who wait pass at the rate", async () => {
  const bucket = new TokenBucket({ perSecond: 100, burst: 1 }, () => performance.now());
  const begun = performance.now();
  const passed = Promise.all(Array.from({ length: 11 }, () => bucket.wait())).then(() => performance.now() - begun);
  // Timers that are due are called in their order, however late the machine is.
  const late = sleep(150).then(() => "late");
  expect(await Promise.race([passed, late])).toBeGreaterThan(95);
});

it("gives back what an aborted one would have taken", async () => {
  let time = 0;
  const bucket = new TokenBucket({ perSecond: 1, burst: 1 }, () => time);
  const given = new AbortController();
  await bucket.wait();
  const aborted = bucket.wait(given.signal);
  given.abort(new Error("no more"));
  await expect(aborted).rejects.toThrow("aborted");
  time = 999;
  expect(bucket.take()).toBe(false);
  time = 1000;
  expect(bucket.take()).toBe(true);
});
