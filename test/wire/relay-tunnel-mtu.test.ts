// A tunnel whose way is too small for what may come in: named beforehand, with the interface and the sizes; what fits passes, what does not is dropped as `mtu`.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { RelayReport, RuleDetail } from "#domain/relay-report.ts";
import { group, sendStream, Sink } from "../../cli/relay-ends.ts";
import { RelayRig } from "../../cli/relay-rig.ts";
import { RelayAgent, rules } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";

const { signal } = new AbortController();

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const late = performance.now() + 15_000; !(await holds()); await sleep(50))
    if (performance.now() > late) throw new Error(`not within 15 s: ${what}`);
}

test.each(["XDP", "TC", "AFPacket"] as const)("by %s", { timeout: 120_000 }, async (engine) => {
  using scratch = new Scratch();
  using rig = new RelayRig({ hops: 2 });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 10_000 });
  const agents: RelayAgent[] = [];
  for (const [i, node] of [...rig.relays.entries()].toReversed()) {
    const agent = await RelayAgent.start(rig, node, scratch.path, signal);
    await agent.load(rules.tunnelled(engine)(node, i), signal);
    agents.unshift(agent);
  }
  const [first, second] = agents as [RelayAgent, RelayAgent];
  const output = async () => ((await first.ask({ do: "stats" })) as { rules: RuleDetail[] }).rules[0]?.outputs[0];
  const named = (agent: RelayAgent) => (agent.report() as unknown as RelayReport).conditions.filter(({ code }) => code === "RELAY_TUNNEL_MTU"); // biome-ignore format: one line

  await until("it is told", () => named(first).length === 1);
  expect(named(first)[0]?.message).toMatch(/path 7 to 10\.0\.2\.2 leaves by b1, whose MTU 1500 is too small for packets of 1500 bytes with 60 bytes/); // biome-ignore format: one row
  expect(named(second)).toEqual([]);
  expect(await output()).toMatchObject({ path: 7, problem: null, too_small: { interface: "b1", mtu: 1500, needed: 1560, fits: 1440 } }); // biome-ignore format: one row
  expect(first.rules("stats")).toContain("path 7 needs an MTU of 1560, b1 has 1500");

  // UDP and IP around it: 1440 bytes fit to the byte, one more does not.
  const fits = await sendStream(rig, { packets: 100, pps: 1000, size: 1412 }, signal);
  for (const size of [1413, 1472]) await sendStream(rig, { packets: 50, pps: 1000, size }, signal);
  await until("all are accounted for", async () => (await output())?.wanted === 200);
  expect(await output()).toMatchObject({ packets_relayed: fits.sent, dropped: { mtu: 100 }, residue: 0 });
  expect((await sink.settled(100)).lanes).toMatchObject([{ received: 100, wrong_length: 0 }]);

  for (const [node, name] of [["b", "b1"], ["c", "c0"]] as const) rig.said(node, "ip", "link", "set", name, "mtu", "1560"); // biome-ignore format: one list
  await until("it is over", () => named(first).length === 0);
  expect((await output())?.too_small).toBeNull();
  await sendStream(rig, { packets: 50, pps: 1000, size: 1472 }, signal);
  await until("they pass", async () => (await output())?.packets_relayed === 150);
  expect((await output())?.dropped).toEqual({ mtu: 100 });
  for (const agent of agents) await agent.end("SIGTERM");
});
