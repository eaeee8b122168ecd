// A small fleet through the whole of what `make bench-fleet` measures, for what does not depend on how fast this machine is: statuses are right to the packet, every change and loss
// arrives, writes and memory stay within what was promised.
import { afterAll, beforeAll, expect, test } from "vitest";
import { memoryOf } from "#cli/process-cost.ts";
import { firstStartMs } from "../apiserver-alone.ts";
import { ratesOf } from "./api-writes.ts";
import { FleetRun } from "./fleet-run.ts";
import { fleetShape } from "./made-fleet.ts";
import { differences, losses, specChanges, steady } from "./measures.ts";

const shape = fleetShape(50);
const startSeconds = 20;
let run: FleetRun;

beforeAll(async () => {
  run = await FleetRun.start(shape);
}, firstStartMs);
afterAll(async () => {
  await run?.[Symbol.asyncDispose]();
});

test("statuses of a fleet equal what its agents counted, and the API is asked little", async () => {
  await run.startOperator();
  expect({ ready: await run.allReady(180_000), why: run.unready() }).toEqual({ ready: true, why: [] });
  await run.agents.begin();
  expect(await run.begun(120_000)).toBe(true);
  const usual = await steady(run, 30);
  expect(await specChanges(run, 5)).not.toContain(Infinity);
  expect(await losses(run, 5)).not.toContain(Infinity);
  const { compared, found } = await differences(run, 120_000);
  expect(found).toEqual([]);
  expect(compared).toBeGreaterThan(40);

  const writes = run.writes().filter(({ ofNode }) => !ofNode);
  expect(ratesOf(writes, run.operatorStarted, run.operatorStarted + startSeconds * 1000).perSecond).toBeLessThan(20);
  expect(ratesOf(writes, usual.from, usual.to).perSecond).toBeLessThan(5);
  expect(memoryOf(run.operatorPid).peak).toBeLessThan(256 * 2 ** 20);
  expect((await run.agents.say()).refused).toEqual([]);
}, 600_000);
