// What a relay's users may never notice: its agent killed, started again, given a thousand new rules. At the sender's full rate,
// behind a switch that forgets at once who has left: of an untouched rule nothing is lost and nothing comes twice.
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { group, port, Sink, startSending, type StreamSent } from "../../cli/relay-ends.ts";
import { relayCores, RelayRig } from "../../cli/relay-rig.ts";
import { RelayAgent, type EngineName, rules, type RuleText } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";
import { quiet } from "./relay-quiet.ts";

const { signal } = new AbortController();
/** Of a test's longest stream, more than any rate here. */
const numbers = 120_000_000;
let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

const kept = (engine: EngineName): RuleText => ({
  id: "kept",
  engine,
  from: { interface: "b0", group, port },
  to: [{ id: "kept/out", interface: "b1" }],
});
const changing = (i: number, engine: EngineName): RuleText => ({
  id: `other-${i % 7}`,
  engine,
  from: { interface: "b0", group: `239.1.3.${i % 7}`, port },
  to: Array.from({ length: 1 + (i % (engine === "XDP" ? 1 : 3)) }, (_, o) => ({ interface: "b1", group: `239.1.4.${o + i % 50}` })),
}); // biome-ignore format: one list

/** Nothing twice, nothing gone between what the relay took and the sink, nothing that the switch did not drop before the relay. */
const untouched = { twice: 0, gone: 0, unexplained: 0 };

/** A sender at full rate behind the snooping bridge, a relay with the rule `kept`, and what became of its packets. */
class Stage implements Disposable {
  readonly rig = new RelayRig({ hops: 1, snooping: true });
  readonly engine: EngineName;
  #sink: Sink | undefined;
  #agent: RelayAgent | undefined;

  constructor(engine: EngineName) {
    this.engine = engine;
  }
  get agent(): RelayAgent {
    if (this.#agent === undefined) throw new Error("no agent was started");
    return this.#agent;
  }
  ask(request: Parameters<RelayAgent["ask"]>[0]): Promise<unknown> {
    return this.agent.ask(request);
  }

  /** Not `moved`, each packet and its copies are taken by the sink before the next one comes: its ring is never full. */
  async begin(moved = this.engine !== "AFPacket"): Promise<void> {
    this.#sink = await Sink.start(this.rig, { lanes: [{ address: group }], numbers });
    this.#agent = await RelayAgent.start(this.rig, "b", scratch.path, signal, { core: relayCores.other });
    await this.#agent.load([kept(this.engine)], signal);
    const how = this.engine === "XDP" ? "threaded" : "rps";
    if (moved) this.rig.steer({ node: "b", interface: "b0", how, core: relayCores.other });
    await sleep(2000); // the switch knows by now who asks and who has joined
  }

  /**
   * A stream during which `work` is done. All that the relay got it must have carried, once; and it must have got all but what the switch
   * dropped before it: nothing holds a sender back behind a switch, so on a busy machine b0's ring may be full.
   */
  async during(work: () => Promise<void>): Promise<{ readonly twice: number; readonly gone: number; readonly unexplained: number }> {
    if (this.#sink === undefined) throw new Error("no sink was started");
    const sender = startSending(this.rig, { seconds: 120, ...(this.engine === "AFPacket" ? { pps: 50_000 } : {}) });
    await sleep(500);
    await work();
    await sleep(500);
    sender.kill("SIGINT");
    if ((await sender.ended) !== 0) throw sender.failure("it failed");
    const sent = JSON.parse(sender.stdout) as StreamSent;
    const { report, facts } = await quiet([this.agent], signal, this.#sink, sent.numbers);
    const [lane, totals] = [report?.lanes[0], facts[0]?.totals];
    const ringDrops = facts[0]?.interfaces.reduce((sum, one) => sum + one.ring_drops, 0) ?? 0;
    expect(sent.numbers).toBeLessThan(numbers);
    expect(sent.sent).toBeGreaterThan(10_000);
    const arrived = lane?.unique ?? 0;
    const before = this.rig.statistic("switch", "port1", "tx_dropped");
    return {
      twice: lane?.duplicate ?? 0,
      gone: (totals?.matched ?? 0) - arrived,
      unexplained: Math.max(sent.sent - arrived - before - ringDrops, 0),
    };
  } // biome-ignore format: the signature

  [Symbol.dispose](): void {
    this.rig[Symbol.dispose]();
  }
}

test.each(["XDP", "TC", "AFPacket"] as const)("%s goes on while its agent is killed and started again, and knows what it carried meanwhile", async (engine) => {
  using stage = new Stage(engine);
  await stage.begin();
  const found = await stage.during(async () => {
    await stage.agent.end("SIGKILL");
    await sleep(3000); // the switch has asked who is still there
    await stage.agent.startAgain(signal);
    await sleep(1000);
    await stage.agent.end("SIGTERM");
    await sleep(1000);
    await stage.agent.startAgain(signal);
  });
  expect(found).toEqual(untouched);
}, 120_000); // biome-ignore format: one line

test.each(["XDP", "TC", "AFPacket"] as const)("%s goes on into a tunnel while its agent is killed and started again: it writes no output before it knows the next hop", async (engine) => {
  using rig = new RelayRig({ hops: 2 });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: 2_000_000 });
  const agents: RelayAgent[] = [];
  for (const [i, node] of rig.relays.entries()) {
    const agent = await RelayAgent.start(rig, node, scratch.path, signal);
    agents.push(agent);
    await agent.load(rules.tunnelled(engine)(node, i), signal);
  }
  const sender = startSending(rig, { seconds: 60, pps: 10_000 });
  await sleep(500);
  for (const how of ["SIGKILL", "SIGTERM"] as const) {
    await agents[0]?.end(how);
    // What the kernel knows of neighbours is not what the next agent knows.
    rig.said("b", "ip", "neigh", "flush", "dev", "b1");
    await agents[0]?.startAgain(signal);
    await sleep(1000);
  }
  sender.kill("SIGINT");
  expect(await sender.ended).toBe(0);
  const sent = JSON.parse(sender.stdout) as StreamSent;
  expect(sent.sent).toBeGreaterThan(10_000);
  expect((await sink.settled(sent.numbers)).lanes[0]).toMatchObject({ unique: sent.sent, lost: 0, duplicate: 0 });
}, 60_000); // biome-ignore format: one line

test.each(["XDP", "TC", "AFPacket"] as const)("%s carries an untouched rule through a thousand changes of the others", async (engine) => {
  using stage = new Stage(engine);
  await stage.begin();
  const found = await stage.during(async () => {
    for (let i = 0; i < 1000; i++) {
      if (i % 3 === 2) await stage.ask({ do: "remove", rules: [`other-${(i - 1) % 7}`] });
      else await stage.ask({ do: "load", rules: [changing(i, engine)] });
    }
  });
  expect(found).toEqual(untouched);
}, 180_000); // biome-ignore format: one line

test("a rule whose own outputs change a hundred times sends each packet by the old ones or the new ones", async () => {
  using stage = new Stage("TC");
  await stage.begin(false);
  const found = await stage.during(async () => {
    for (let i = 0; i < 100; i++) {
      const [out] = kept("TC")["to"] as [RuleText];
      const more = i % 2 === 0 ? [{ id: "second", interface: "b1", group: "239.1.4.1" }] : [];
      await stage.ask({ do: "load", rules: [{ ...kept("TC"), to: [out, ...more] }] });
    }
  });
  expect(found).toEqual(untouched);
}, 120_000); // biome-ignore format: one line

test("a killed worker is started again, loses only its own packets, and the kernel's engines do not notice", async () => {
  using stage = new Stage("XDP");
  await stage.begin();
  // Another interface, carried in user space: b1 is read, b0 is written. No traffic needs to be on it for its death to matter.
  await stage.ask({
    do: "load",
    rules: [{ id: "back", engine: "AFPacket", from: { interface: "b1", group: "239.9.9.9", port }, to: [{ interface: "b0" }] }],
  }); // biome-ignore format: one rule
  const workers = async () =>
    ((await stage.ask({ do: "workers" })) as { workers: { interface: string; pid: number | null; restarts: number }[] }).workers; // biome-ignore format: one line
  const found = await stage.during(async () => {
    await sleep(500);
    const [before] = await workers();
    expect(before).toMatchObject({ interface: "b1", restarts: 0 });
    process.kill(before?.pid ?? 0, "SIGKILL");
    for (let i = 0; i < 100; i++) {
      await sleep(100);
      const [after] = await workers();
      if (after?.pid && after.pid !== before?.pid) return expect(after.restarts).toBe(1);
    }
    throw new Error("it was not started again");
  });
  expect(found).toEqual(untouched);
}, 120_000); // biome-ignore format: one line

test("the control socket answers within 50 ms while everything goes by at full rate", async () => {
  using stage = new Stage("XDP");
  await stage.begin();
  const took: number[] = [];
  await stage.during(async () => {
    for (let i = 0; i < 200; i++) {
      const from = performance.now();
      await stage.ask({ do: i % 2 === 0 ? "ping" : "stats" });
      took.push(performance.now() - from);
    }
  });
  // The slowest ones wait for a core, and not for the relay.
  expect(took.toSorted((a, b) => a - b)[took.length / 2]).toBeLessThan(50);
}, 60_000); // biome-ignore format: one line
