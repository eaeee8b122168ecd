import fc from "fast-check";
import { expect, test } from "vitest";
import { Budget, type Configured } from "./budget.ts";

const MiB = 2 ** 20;
const configured: Configured = { maxFlows: 1e6, idleNs: 60e9, settleNs: 2e9, budget: 300 * MiB };
const rings = 20 * MiB;
const calm = { resident: 130 * MiB, rings, liveFlows: 10, capEvictions: 0 };
/** of which 80 MiB are the process's own */
const made = (change: Partial<Configured> = {}): Budget => new Budget({ ...configured, ...change }, 80 * MiB, rings);

/** Evictions go on for `seconds`. */
function press(budget: Budget, seconds: number, from = 0): number {
  let capEvictions = from;
  for (let i = 0; i < seconds; i++) {
    capEvictions += 5;
    budget.consider({ resident: 100 * MiB, rings, liveFlows: budget.settings.maxFlows, capEvictions });
  }
  return capEvictions;
}

test("without a budget the configuration stands, whatever is evicted", () => {
  const budget = made({ budget: 0 });
  press(budget, 100);
  expect(budget.rung).toBe("none");
  expect(budget.settings).toEqual({ maxFlows: 1e6, idleNs: 60e9, settleNs: 2e9, sample: 1 });
});

test("a budget that holds all flows changes nothing; one that does not lowers the cap before memory is used", () => {
  expect(made().rung).toBe("none");
  const small = made({ budget: 200 * MiB });
  expect(small.rung).toBe("fewer_flows");
  expect(small.settings).toMatchObject({ maxFlows: Math.floor((100 * MiB) / 176), idleNs: 60e9, sample: 1 });
});

test("the rungs come in order while flows are evicted, and go in order when there is room again", () => {
  const budget = made({ budget: 150 * MiB });
  const seen = [budget.rung];
  let evictions = 0;
  for (let i = 0; i < 4; i++) {
    evictions = press(budget, 3, evictions);
    seen.push(budget.rung);
  }
  expect(seen).toEqual(["fewer_flows", "shorter_windows", "sampling", "sampling", "sampling"]);
  expect(budget.settings).toMatchObject({ sample: 8, idleNs: 15e9, settleNs: 0.5e9 });
  const down = [];
  for (let i = 0; i < 4; i++) {
    for (let second = 0; second < 60; second++) budget.consider({ ...calm, capEvictions: evictions });
    down.push(`${budget.rung} ${budget.settings.sample}`);
  }
  expect(down).toEqual(["sampling 4", "sampling 2", "shorter_windows 1", "fewer_flows 1"]);
});

test("two seconds of evictions are a burst, not pressure", () => {
  const budget = made({ budget: 150 * MiB });
  let evictions = 0;
  for (let i = 0; i < 20; i++) {
    evictions = press(budget, 2, evictions);
    budget.consider({ ...calm, liveFlows: budget.settings.maxFlows, capEvictions: evictions });
  }
  expect(budget.rung).toBe("fewer_flows");
});

test("a cap that the user configured is not pressure, however much is evicted at it", () => {
  const budget = made({ maxFlows: 1000 });
  press(budget, 600);
  expect(budget.rung).toBe("none");
});

test("measured memory above the budget lowers the cap once, by what is over, and gives it back when there is room", () => {
  const budget = made({ budget: 200 * MiB });
  const before = Math.floor((100 * MiB) / 176);
  expect(budget.settings.maxFlows).toBe(before);
  const over = { resident: 190 * MiB, rings, liveFlows: 500_000, capEvictions: 0 };
  expect(budget.consider(over)).toBe(true);
  const lowered = Math.floor((90 * MiB) / 176);
  expect(budget.settings.maxFlows).toBe(lowered);
  // What was allocated is not given back: the same again is nothing new.
  for (let i = 0; i < 100; i++) budget.consider(over);
  expect(budget.settings.maxFlows).toBe(lowered);
  for (let i = 0; i < 200; i++) budget.consider({ ...over, resident: 100 * MiB });
  expect(budget.settings.maxFlows).toBe(before);
});

test("rings that come later take their part of the budget, and give it back", () => {
  const budget = made({ budget: 150 * MiB });
  budget.consider({ ...calm, resident: 80 * MiB, rings: rings + 10 * MiB });
  expect(budget.settings.maxFlows).toBe(Math.floor((40 * MiB) / 176));
  budget.consider({ ...calm, resident: 80 * MiB });
  expect(budget.settings.maxFlows).toBe(Math.floor((50 * MiB) / 176));
});

test("whatever comes, the settings stay within what was configured and above the least that makes sense", () => {
  const second = fc.record({
    resident: fc.integer({ min: 0, max: 2000 * MiB }),
    liveFlows: fc.integer({ min: 0, max: 1e6 }),
    evicted: fc.integer({ min: 0, max: 1e6 }),
  });
  fc.assert(
    fc.property(fc.array(second, { maxLength: 300 }), fc.integer({ min: 1, max: 1000 }), (seconds, budgetMiB) => {
      const budget = made({ budget: budgetMiB * MiB });
      let capEvictions = 0;
      for (const { resident, liveFlows, evicted } of seconds) {
        capEvictions += evicted;
        budget.consider({ resident, rings, liveFlows, capEvictions });
        const { maxFlows, idleNs, settleNs, sample } = budget.settings;
        expect(maxFlows).toBeGreaterThanOrEqual(1000);
        expect(maxFlows).toBeLessThanOrEqual(1e6);
        expect([60e9, 15e9]).toContain(idleNs);
        expect([2e9, 0.5e9]).toContain(settleNs);
        expect(sample).toBeLessThanOrEqual(1024);
      }
    }),
  );
});
