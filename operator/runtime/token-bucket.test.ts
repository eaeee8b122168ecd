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

it("lets those who wait pass at the rate, and gives back what an aborted one would have taken", async () => {
  const bucket = new TokenBucket({ perSecond: 100, burst: 1 }, () => performance.now());
  const begun = performance.now();
  const given = new AbortController();
  const aborted = bucket.wait().then(() => bucket.wait(given.signal));
  await Promise.resolve();
  setTimeout(() => given.abort(new Error("no more")), 2);
  await expect(aborted).rejects.toThrow("aborted");
  await Promise.all(Array.from({ length: 10 }, () => bucket.wait()));
  const took = performance.now() - begun;
  expect(took).toBeGreaterThan(95);
  expect(took).toBeLessThan(200);
});
