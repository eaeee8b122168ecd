import fc from "fast-check";
import { expect, test } from "vitest";
import { Budget, type Configured } from "./budget.ts";

const MiB = 2 ** 20;
const configured: Configured = { maxFlows: 1e6, idleNs: 60e9, settleNs: 2e9, budget: 300 * MiB };
const calm = { resident: 150 * MiB, liveFlows: 10, capEvictions: 0 };

/** Evictions go on for `seconds`. */
function press(budget: Budget, seconds: number, from = 0): number {
  let capEvictions = from;
  for (let i = 0; i < seconds; i++) {
    capEvictions += 5;
    budget.consider({ resident: 290 * MiB, liveFlows: budget.settings.maxFlows, capEvictions });
  }
  return capEvictions;
}

test("without a budget the configuration stands, whatever is evicted", () => {
  const budget = new Budget({ ...configured, budget: 0 }, 100 * MiB);
  press(budget, 100);
  expect(budget.rung).toBe("none");
  expect(budget.settings).toEqual({ maxFlows: 1e6, idleNs: 60e9, settleNs: 2e9, sample: 1 });
});

test("a budget that holds all flows changes nothing; one that does not lowers the cap before memory is used", () => {
  expect(new Budget(configured, 100 * MiB).rung).toBe("none");
  const small = new Budget({ ...configured, budget: 200 * MiB }, 100 * MiB);
  expect(small.rung).toBe("fewer_flows");
  expect(small.settings).toMatchObject({ maxFlows: Math.floor((100 * MiB) / 176), idleNs: 60e9, sample: 1 });
});

test("the rungs come in order while flows are evicted, and go in order when there is room again", () => {
  const budget = new Budget({ ...configured, budget: 150 * MiB }, 100 * MiB);
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
  const budget = new Budget({ ...configured, budget: 150 * MiB }, 100 * MiB);
  let evictions = 0;
  for (let i = 0; i < 20; i++) {
    evictions = press(budget, 2, evictions);
    budget.consider({ ...calm, liveFlows: budget.settings.maxFlows, capEvictions: evictions });
  }
  expect(budget.rung).toBe("fewer_flows");
});

test("measured memory above the budget lowers the cap by what is over", () => {
  const budget = new Budget(configured, 100 * MiB);
  expect(budget.consider({ resident: 310 * MiB, liveFlows: 800_000, capEvictions: 0 })).toBe(true);
  expect(budget.settings.maxFlows).toBe(800_000 - Math.ceil((10 * MiB) / 176));
});

test("whatever comes, the settings stay within what was configured and above the least that makes sense", () => {
  const second = fc.record({
    resident: fc.integer({ min: 0, max: 2000 * MiB }),
    liveFlows: fc.integer({ min: 0, max: 1e6 }),
    evicted: fc.integer({ min: 0, max: 1e6 }),
  });
  fc.assert(
    fc.property(fc.array(second, { maxLength: 300 }), fc.integer({ min: 1, max: 1000 }), (seconds, budgetMiB) => {
      const budget = new Budget({ ...configured, budget: budgetMiB * MiB }, 100 * MiB);
      let capEvictions = 0;
      for (const { resident, liveFlows, evicted } of seconds) {
        capEvictions += evicted;
        budget.consider({ resident, liveFlows, capEvictions });
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
