import { expect, it } from "vitest";
import { type Holding, withConditions } from "./conditions.ts";

const ready = (status: Holding["status"], message = ""): Holding => ({
  type: "Ready",
  status,
  reason: "Because",
  message,
});
const at = (now: string, generation = 1): { generation: number; now: number } => ({ now: Date.parse(now), generation });

it("changes a condition's time only with its status; message, reason and generation at any time", () => {
  const first = withConditions(undefined, [ready("False", "one")], at("2026-01-01T00:00:00.250Z"));
  expect(first).toEqual([
    {
      type: "Ready",
      status: "False",
      reason: "Because",
      message: "one",
      observedGeneration: 1,
      lastTransitionTime: "2026-01-01T00:00:00Z",
    },
  ]);
  const second = withConditions(first, [ready("False", "two")], at("2026-01-01T00:01:00Z", 2));
  expect(second[0]).toMatchObject({
    message: "two",
    observedGeneration: 2,
    lastTransitionTime: "2026-01-01T00:00:00Z",
  });
  const third = withConditions(second, [ready("True")], at("2026-01-01T00:02:00Z", 2));
  expect(third[0]).toMatchObject({ status: "True", lastTransitionTime: "2026-01-01T00:02:00Z" });
});

it("keeps the others, and their order", () => {
  const both = withConditions([], [ready("True"), { ...ready("True"), type: "Accepted" }], at("2026-01-01T00:00:00Z"));
  const next = withConditions(both, [ready("False")], at("2026-01-01T00:01:00Z"));
  expect(next.map(({ type, status }) => `${type}=${status}`)).toEqual(["Ready=False", "Accepted=True"]);
});

it("cuts a message that the API would refuse", () => {
  const [condition] = withConditions([], [ready("True", "x".repeat(40_000))], at("2026-01-01T00:00:00Z"));
  expect(condition?.message).toHaveLength(32_768);
});
