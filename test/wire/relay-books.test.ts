// The relay's books close, packet by packet, however little gets through: sender = receiver + Σ named losses.
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { group, sendStream, Sink } from "../../cli/relay-ends.ts";
import { relayCores, RelayRig } from "../../cli/relay-rig.ts";
import { fanGroup, RelayAgent, rules, total, type EngineName, type RelayFacts } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";
import { quiet } from "./relay-quiet.ts";

const { signal } = new AbortController();
let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

const at = ({ interfaces }: RelayFacts, name: string) => {
  const found = interfaces.find((one) => one.interface === name);
  if (found === undefined) throw new Error(`nothing is reported of ${name}`);
  return found;
};

/** At the far end of an output a thread that hardly ever gets its core: its ring of 256 packets is full nearly always. Until it is let go. */
function clog(rig: RelayRig): () => void {
  const threads = rig.steer({ node: "c", interface: "c0", how: "threaded", core: relayCores.other });
  const schedule = (policy: string): void => {
    for (const pid of threads) execFileSync("chrt", [policy, "--pid", "0", String(pid)]);
  };
  schedule("--idle");
  return () => schedule("--other");
}

test.each<[EngineName, number]>([["TC", 1], ["TC", 4], ["XDP", 1], ["AFPacket", 1], ["AFPacket", 4]])(
  "%s under overload, %i outputs: every packet that was wanted was sent or dropped by a reason, and those that were sent arrived",
  async (engine, outputs) => {
    using rig = new RelayRig({ hops: 1 });
    const lanes = Array.from({ length: outputs }, (_, i) => ({ address: fanGroup(i) }));
    const packets = 1_000_000;
    const sink = await Sink.start(rig, { lanes, numbers: packets });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    await agent.load(rules.fan(engine, outputs)("b", 0), signal);
    if (engine !== "AFPacket")
      rig.steer({ node: "b", interface: "b0", how: "threaded", core: relayCores.other });
    const release = clog(rig);
    const sent = await sendStream(rig, { packets, retry: 0 }, signal);
    release(); // what lies in its ring arrives now
    const { report, facts: [facts] } = await quiet([agent], signal, sink, packets);
    if (report === undefined || facts === undefined) throw new Error("nothing is told");
    const input = at(facts, "b0");
    const arrived = report.lanes.reduce((sum, { unique }) => sum + unique, 0);
    const ringDrops = input.ring_drops;
    expect(report.lanes.map(({ duplicate, wrong_length, varied }) => duplicate + wrong_length + varied)).toEqual(lanes.map(() => 0));
    expect(input.residue).toBe(0);
    expect(input.matched + ringDrops).toBe(sent.sent);
    expect(facts.totals.wanted).toBe(input.matched * outputs);
    expect(facts.totals.sent + total(facts.totals.dropped)).toBe(facts.totals.wanted);
    expect(facts.totals.sent).toBe(arrived);
    expect(Object.keys(facts.totals.dropped)).toEqual(["device"]);
    expect(packets).toBe(arrived / outputs + sent.refused + ringDrops + total(facts.totals.dropped) / outputs);
  },
  120_000,
); // biome-ignore format: one table

test("what is not the rules' passes, and is counted as passed", async () => {
  using rig = new RelayRig({ hops: 1 });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 10_000 });
  const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
  await agent.load(rules.onward("XDP")("b", 0), signal);
  const before = at(await agent.settled(signal), "b0");
  // ARP, answered by the stack; UDP to this node; a group that no rule has; and among them the rule's own packets.
  rig.said("a", "ip", "neighbour", "del", "10.0.1.2", "dev", "a1");
  for (let i = 0; i < 5; i++) rig.said("a", "sh", "-c", "echo | socat -u - UDP4-SENDTO:10.0.1.2:9");
  await sendStream(rig, { packets: 1000, group: "239.1.1.99", pps: 50_000 }, signal);
  await sendStream(rig, { packets: 10_000, pps: 50_000 }, signal);
  expect((await sink.settled(10_000)).lanes).toMatchObject([{ unique: 10_000, lost: 0, duplicate: 0 }]);
  const after = at(await agent.settled(signal), "b0");
  expect(after.matched - before.matched).toBe(10_000);
  expect(after.passed - before.passed).toBeGreaterThanOrEqual(1000 + 5 + 1);
  expect(after.received - before.received).toBe(after.passed - before.passed + (after.matched - before.matched) + total(after.refused) - total(before.refused));
  expect(rig.said("a", "ip", "neighbour", "show", "10.0.1.2", "dev", "a1")).toContain("lladdr");
}, 60_000); // biome-ignore format: one line

test("two hops joined by a tunnel: what the first sent is what the second received", async () => {
  using rig = new RelayRig({ hops: 2 });
  const packets = 200_000;
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
  const agents: RelayAgent[] = [];
  for (const [i, node] of rig.relays.entries()) {
    const agent = await RelayAgent.start(rig, node, scratch.path, signal);
    await agent.load(rules.tunnelled("TC")(node, i), signal);
    agents.push(agent);
  }
  const [first, second] = agents as [RelayAgent, RelayAgent];
  await sendStream(rig, { packets: 100, pps: 1000 }, signal);
  await sink.settled(100);
  await sink.reset();
  const [firstBefore, secondBefore] = [await first.settled(signal), await second.settled(signal)];
  const sent = await sendStream(rig, { packets, pps: 100_000 }, signal);
  const { facts: [firstAfter, secondAfter], report } = await quiet([first, second], signal, sink, packets);
  if (firstAfter === undefined || secondAfter === undefined) throw new Error("nothing is told");
  expect(firstAfter.totals.sent - firstBefore.totals.sent).toBe(sent.sent);
  expect(secondAfter.totals.matched - secondBefore.totals.matched).toBe(sent.sent);
  expect(report?.lanes).toMatchObject([{ unique: packets, lost: 0, duplicate: 0, wrong_length: 0 }]);
}, 60_000); // biome-ignore format: one line
