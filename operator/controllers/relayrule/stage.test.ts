// The order of changes over several nodes: receivers, their acknowledgement, then senders; removal the other way round; nobody waits for the dead.
import { expect, test } from "vitest";
import type { PlacedPath } from "./lay-out.ts";
import { nextStep, type PlannedRule, type Standing } from "./stage.ts";

const key = "0".repeat(32);
const tunnel = (path: number) => ({ tunnel: { path, key, to: "10.0.0.2" } });
const sender = (...paths: number[]): PlannedRule => ({ id: "a/core", from: { interface: "eth1", group: "239.1.1.1", port: 1, protocol: "UDP", sources: [] }, to: paths.map(tunnel), engine: "Auto", deliverLocal: false }); // biome-ignore format: one row
const receiver = (path: number, onward: PlannedRule["to"] = [{ interface: "eth2", group: "239.1.1.1" }]): PlannedRule => ({ id: `a/edge/${path}`, from: { tunnel: { path, key, peers: ["10.0.0.1"] }, protocol: "UDP", sources: [] }, to: onward, engine: "Auto", deliverLocal: false }); // biome-ignore format: one row
const pathTo = (path: number, node: string): PlacedPath => ({ path, rule: "a", from: { hop: "core", node: "core", id: "a/core" }, to: { hop: "edge", node, id: `a/edge/${path}` } }); // biome-ignore format: one row
const runs = (...rules: PlannedRule[]): Standing => ({ written: rules, acknowledged: true, alive: true });
const fresh: Standing = { written: undefined, acknowledged: false, alive: true };
const desired = (of: Record<string, PlannedRule[]>) => new Map(Object.entries(of));
const shown = (plans: ReadonlyMap<string, readonly PlannedRule[]>) =>
  Object.fromEntries([...plans].map(([node, rules]) => [node, rules.map(({ id, to }) => `${id} → ${to.map((one) => one.tunnel?.path ?? one.interface).join(" ")}`)])); // biome-ignore format: one row

/** Until nothing changes: each step's plans are written, and acknowledged by who lives. */
function walk(wanted: ReadonlyMap<string, PlannedRule[]>, paths: PlacedPath[], start: Record<string, Standing>) {
  const standing = new Map(Object.entries(start));
  const steps: ReturnType<typeof shown>[] = [];
  for (let i = 0; i < 10; i++) {
    const { plans } = nextStep(wanted, paths, standing);
    const step = shown(plans);
    if (JSON.stringify(step) === JSON.stringify(steps.at(-1))) break;
    steps.push(step);
    for (const [node, rules] of plans) {
      const alive = standing.get(node)?.alive ?? false;
      standing.set(node, { written: rules, acknowledged: alive, before: undefined, alive });
    }
  }
  return steps;
}

test("a new rule is written at its tunnel's end first, and where it begins when that end has acknowledged", () => {
  const wanted = desired({ core: [sender(7)], edge: [receiver(7)] });
  expect(walk(wanted, [pathTo(7, "edge")], { core: fresh, edge: fresh })).toEqual([
    { core: [], edge: ["a/edge/7 → eth2"] },
    { core: ["a/core → 7"], edge: ["a/edge/7 → eth2"] },
  ]);
});

test("three hops are built from the end", () => {
  const wanted = desired({ core: [sender(7)], mid: [receiver(7, [tunnel(8)])], far: [receiver(8)] });
  const paths = [pathTo(7, "mid"), { ...pathTo(8, "far"), from: { hop: "mid", node: "mid", id: "a/edge/7" } }];
  expect(walk(wanted, paths, { core: fresh, mid: fresh, far: fresh })).toEqual([
    { core: [], mid: [], far: ["a/edge/8 → eth2"] },
    { core: [], mid: ["a/edge/7 → 8"], far: ["a/edge/8 → eth2"] },
    { core: ["a/core → 7"], mid: ["a/edge/7 → 8"], far: ["a/edge/8 → eth2"] },
  ]);
});

test("a rule that goes is taken from the sender first, then hop by hop", () => {
  const wanted = desired({});
  const start = { core: runs(sender(7)), mid: runs(receiver(7, [tunnel(8)])), far: runs(receiver(8)) };
  expect(walk(wanted, [], start)).toEqual([
    { core: [], mid: ["a/edge/7 → 8"], far: ["a/edge/8 → eth2"] },
    { core: [], mid: [], far: ["a/edge/8 → eth2"] },
    { core: [], mid: [], far: [] },
  ]);
});

test("a plan that was written and not yet taken counts for nothing: its sender may still run what it ran before", () => {
  const unread: Standing = { written: [], acknowledged: false, before: [sender(7)], alive: true };
  const edge = runs(receiver(7));
  const of = (core: Standing) => nextStep(desired({}), [], new Map(Object.entries({ core, edge })));
  expect(of(unread).plans.get("edge")).toHaveLength(1);
  expect(of(unread).waiting.get("edge")).toEqual(["core"]);
  expect(of({ ...unread, before: undefined }).plans.get("edge")).toHaveLength(1); // after a restart of the operator
  expect(of({ ...unread, before: [] }).plans.get("edge")).toEqual([]);
  expect(of({ ...unread, alive: false }).plans.get("edge")).toEqual([]);
});

test("a feed that moves goes on to the old node until the new one is ready, and never to both", () => {
  const wanted = desired({ core: [sender(8)], new: [receiver(8)] });
  expect(walk(wanted, [pathTo(8, "new")], { core: runs(sender(7)), old: runs(receiver(7)), new: fresh })).toEqual([
    { core: ["a/core → 7"], old: ["a/edge/7 → eth2"], new: ["a/edge/8 → eth2"] },
    { core: ["a/core → 8"], old: ["a/edge/7 → eth2"], new: ["a/edge/8 → eth2"] },
    { core: ["a/core → 8"], old: [], new: ["a/edge/8 → eth2"] },
  ]);
});

test("a dead node holds nobody up: the others get theirs, and what goes to nodes no longer selected ends", () => {
  const dead: Standing = { ...fresh, alive: false };
  const wanted = desired({ core: [sender(7, 8)], edge: [receiver(7)], dead: [receiver(8)] });
  const start = { core: runs(sender(7, 9)), edge: runs(receiver(7)), old: runs(receiver(9)), dead };
  const steps = walk(wanted, [pathTo(7, "edge"), pathTo(8, "dead")], start);
  expect(steps.at(-1)).toEqual({ core: ["a/core → 7"], edge: ["a/edge/7 → eth2"], dead: ["a/edge/8 → eth2"], old: [] }); // biome-ignore format: one row
  const { waiting } = nextStep(wanted, [pathTo(7, "edge"), pathTo(8, "dead")], new Map(Object.entries(start)));
  expect(waiting.get("core")).toEqual(["dead"]);
});

test("a node that never had a plan and needs none gets none; one that had one gets an empty one", () => {
  const { plans } = nextStep(desired({}), [], new Map(Object.entries({ idle: fresh, was: runs(sender()) })));
  expect(shown(plans)).toEqual({ was: [] });
});

test("what does not touch tunnels changes at once", () => {
  const changed = { ...sender(7), from: { ...sender(7).from, group: "239.9.9.9" } };
  const wanted = desired({ core: [changed], edge: [receiver(7)] });
  const { plans, waiting } = nextStep(wanted, [pathTo(7, "edge")], new Map(Object.entries({ core: runs(sender(7)), edge: runs(receiver(7)) }))); // biome-ignore format: one row
  expect(plans.get("core")).toEqual([changed]);
  expect(waiting.size).toBe(0);
});

test("a node of which it is not known what it runs is given nothing less than all: what it sends goes on until its receivers are ready", () => {
  const lost: Standing = { ...fresh, unknown: true };
  const wanted = desired({ core: [sender(7)], mid: [receiver(7, [tunnel(8)])], far: [receiver(8)] });
  const paths = [pathTo(7, "mid"), { ...pathTo(8, "far"), from: { hop: "mid", node: "mid", id: "a/edge/7" } }];
  expect(walk(wanted, paths, { core: lost, mid: lost, far: lost })).toEqual([
    { far: ["a/edge/8 → eth2"] },
    { mid: ["a/edge/7 → 8"], far: ["a/edge/8 → eth2"] },
    { core: ["a/core → 7"], mid: ["a/edge/7 → 8"], far: ["a/edge/8 → eth2"] },
  ]);
  const dead: Standing = { ...lost, alive: false };
  expect(shown(nextStep(wanted, paths, new Map(Object.entries({ core: lost, mid: dead, far: lost }))).plans)).toMatchObject({ core: [] }); // biome-ignore format: one row
});

test("what is sent goes on while its receiver has another plan to take, or was not heard by an operator that has just begun", () => {
  const other: PlannedRule = { ...sender(), id: "b/other" };
  const wanted = desired({ core: [sender(7)], edge: [receiver(7), other] });
  const paths = [pathTo(7, "edge")];
  const unheard: Standing = { written: [receiver(7)], acknowledged: false, alive: false };
  for (const edge of [runs(receiver(7)), { ...runs(receiver(7), other), acknowledged: false }, unheard]) {
    const { plans } = nextStep(wanted, paths, new Map(Object.entries({ core: runs(sender(7)), edge })));
    expect(plans.get("core")).toEqual([sender(7)]);
  }
});
