import fc from "fast-check";
import { expect, test } from "vitest";
import { growthOf, grows } from "./growth.ts";

const MiB = 2 ** 20;
/** 150 samples: 25 minutes, one every 10 s. */
const samples = (at: (i: number) => number): number[] => Array.from({ length: 150 }, (_, i) => at(i));
// A small generator of our own: a test must do the same every time.
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31 - 0.5;
  };
}

test("a leak of 100 kB a sample is growth, in noise of 10 MiB", () => {
  const random = noise(1);
  const growth = growthOf(samples((i) => 200 * MiB + i * 100_000 + random() * 10 * MiB));
  expect(grows(growth, 8 * MiB)).toBe(true);
  expect(growth.by / (149 * 100_000)).toBeCloseTo(1, 0);
});

test("noise, a collector's saw-tooth, a single spike and a fall are none", () => {
  const random = noise(2);
  for (const at of [
    (): number => 200 * MiB + random() * 30 * MiB,
    (i: number): number => 200 * MiB + (i % 12) * 5 * MiB,
    (i: number): number => (i === 149 ? 900 : 200) * MiB,
    (i: number): number => (400 - i) * MiB,
    (): number => 200 * MiB,
  ])
    expect(grows(growthOf(samples(at)), 8 * MiB)).toBe(false);
});

test("a trend that is certain but small is allowed; one descriptor more is not", () => {
  const creeping = samples((i) => 200 * MiB + i * 1000);
  expect(growthOf(creeping).z).toBeGreaterThan(10);
  expect(grows(growthOf(creeping), 8 * MiB)).toBe(false);
  expect(grows(growthOf(samples((i) => 30 + Math.floor(i / 15))), 0.5)).toBe(true);
});

test("for a straight line the slope is the line's, whatever its unit", () => {
  fc.assert(
    fc.property(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: 8, max: 60 }), (slope, n) => {
      const { by, z } = growthOf(Array.from({ length: n }, (_, i) => 5 + slope * i));
      expect(by).toBeCloseTo(slope * (n - 1), 6);
      expect(Math.sign(z)).toBe(Math.sign(slope));
    }),
  );
});

test("too few samples are refused: they could not show anything", () => {
  expect(() => growthOf([1, 2, 3, 4, 5, 6, 7])).toThrow("at least 8 samples");
});
