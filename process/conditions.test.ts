import { expect, test } from "vitest";
import { Conditions, type Holding } from "./conditions.ts";

const down = (subject: string): Holding => ({
  code: "INTERFACE_DOWN",
  subject,
  severity: "warning",
  details: { path: subject, detail: "no carrier" },
});
const told = (conditions: Conditions, holding: readonly Holding[], nowNs = 1n): string[] =>
  conditions.update(holding, nowNs).map(({ state, condition }) => `${state} ${condition.message}`);

test("a condition is told when it begins and when it has been over for a while, and not in between", () => {
  const conditions = new Conditions();
  expect(told(conditions, [down("eth1")], 7n)).toEqual(["raised eth1 is down: no carrier"]);
  expect(told(conditions, [down("eth1")])).toEqual([]);
  expect(conditions.standing).toMatchObject([{ code: "INTERFACE_DOWN", subject: "eth1", sinceNs: 7n }]);
  for (let i = 0; i < 4; i++) expect(told(conditions, [])).toEqual([]);
  expect(told(conditions, [])).toEqual(["cleared eth1 is down: no carrier"]);
  expect(conditions.standing).toEqual([]);
});

test("one that flaps is one condition", () => {
  const conditions = new Conditions();
  const all = Array.from({ length: 50 }, (_, i) => told(conditions, i % 4 === 0 ? [down("eth1")] : [])).flat();
  expect(all).toEqual(["raised eth1 is down: no carrier"]);
});

test("the same code about two interfaces is two conditions", () => {
  const conditions = new Conditions();
  expect(told(conditions, [down("eth1"), down("eth2")])).toHaveLength(2);
  for (let i = 0; i < 4; i++) told(conditions, [down("eth2")]);
  expect(told(conditions, [down("eth2")])).toEqual(["cleared eth1 is down: no carrier"]);
});
