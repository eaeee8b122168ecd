// Somebody sets the wall clock while the agent runs: it is counted and told, and no flow, rate or loss follows it.
import { execFile } from "node:child_process";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { Agent, Desk } from "./agent.ts";
import { words } from "./driven.ts";
import { Network } from "./network.ts";

const run = promisify(execFile);
const source = new URL("stepped-clock.c", import.meta.url).pathname;
const hour = 3_600_000_000_000n;

interface Report {
  readonly time: string;
  readonly lost: number;
  readonly clock: { readonly steps: number; readonly step_seconds: number };
  readonly blinds_dropped: number;
  readonly interfaces: { readonly seen: number; readonly packets_per_second: number }[];
}

test("a wall clock set forth and back under traffic is in the report and the metrics, and loses and ends nothing", {
  timeout: 60_000,
}, async () => {
  await using network = await Network.create();
  await using desk = await Desk.create();
  const library = join(desk.folder, "stepped-clock.so");
  await run("cc", ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source]);
  const stepPath = join(desk.folder, "step");
  await writeFile(stepPath, Buffer.alloc(8));
  const set = async (ns: bigint): Promise<void> => {
    await using file = await open(stepPath, "r+");
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(ns);
    await file.write(bytes, 0, 8, 0);
  };
  await using agent = await Agent.launchAs(
    ["env", `LD_PRELOAD=${library}`, `CLOCK_STEP=${stepPath}`],
    network,
    desk,
    desk.config(network),
  );
  await agent.until("it is ready", async () => (await agent.ready().catch(() => ({ status: 0 }))).status === 200);
  const report = (): Promise<Report> => agent.json<Report>("/api/v1/report");
  const steps = (count: number) => async (): Promise<boolean> => (await report()).clock.steps === count;
  const sending = network.send(...words("--seconds 9 --flows 200 --pps 20000 --size 200"));
  await agent.until("traffic", async () => ((await report()).interfaces[0]?.seen ?? 0) > 20_000);
  expect((await report()).clock).toEqual({ steps: 0, step_seconds: 0 });

  await set(hour);
  await agent.until("forth is counted", steps(1));
  const forth = await report();
  expect(forth.clock.step_seconds).toBeCloseTo(3600, 1);
  expect(Date.parse(forth.time)).toBeGreaterThan(Date.now() + 3_500_000);
  await set(-hour);
  await agent.until("back is counted", steps(2));
  expect((await report()).clock.step_seconds).toBeCloseTo(-3600, 1);
  expect(await agent.metric("tapline_sensor_clock_steps_total")).toBe(2);
  expect(await agent.metric("tapline_sensor_clock_step_seconds")).toBeCloseTo(-3600, 1);

  const sent = await sending;
  await agent.until("all is seen", async () => (await report()).interfaces[0]?.seen === sent.sent);
  const { lost, blinds_dropped } = await report();
  expect({ lost, blinds_dropped }).toEqual({ lost: 0, blinds_dropped: 0 });
  const flows = await agent.json("/api/v1/stats/summary");
  expect(flows).toMatchObject({ total_flows: 200, total_lost_packets: 0 });
  expect(await agent.end()).toBe(0);
});
