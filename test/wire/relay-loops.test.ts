// Loops that no node can see by itself, strangers at a tunnel's end, watchers beside a relay, more groups than a socket may join.
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { group, port, sendStream, Sink } from "../../cli/relay-ends.ts";
import { RelayRig } from "../../cli/relay-rig.ts";
import { RelayAgent, total, type EngineName, type RelayFacts, type RuleText } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";
import { quiet } from "./relay-quiet.ts";

const { signal } = new AbortController();
let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

const from = { interface: "b0", group, port };
const to = { interface: "b1" };

const summed = (facts: readonly RelayFacts[]) => {
  const sum = (of: (totals: RelayFacts["totals"]) => number): number =>
    facts.reduce((all, { totals }) => all + of(totals), 0);
  return {
    hop_limit: sum(({ refused }) => refused["hop_limit"] ?? 0),
    ttl: sum(({ refused }) => refused["ttl"] ?? 0),
    sent: sum(({ sent }) => sent),
    dropped: sum(({ dropped }) => total(dropped)),
  };
};

/** Agents in b and c. Each sends to the other by XDP before that one has a program there: their veths take it by GRO. */
async function pair(rig: RelayRig, engine: EngineName, ofB: readonly RuleText[], ofC: readonly RuleText[]) {
  for (const [node, name] of [["b", "b1"], ["c", "c0"]] as const) rig.said(node, "ethtool", "-K", name, "gro", "on");
  const [b, c] = [
    await RelayAgent.start(rig, "b", scratch.path, signal),
    await RelayAgent.start(rig, "c", scratch.path, signal),
  ];
  await b.load(ofB.map((rule) => ({ engine, ...rule })), signal);
  await c.load(ofC.map((rule) => ({ engine, ...rule })), signal);
  return { b, c };
} // biome-ignore format: two lines alike

describe.each(["XDP", "TC", "AFPacket"] as const)("%s", (engine) => {
  const key = "000102030405060708090a0b0c0d0e0f";
  const into = (path: number, toward: string, source: string): RuleText => ({
    tunnel: { path, key, to: toward, source },
  });
  const outOf = (path: number, peer: string): RuleText => ({ tunnel: { path, key, peers: [peer] } });

  test("a loop of tunnels ends: every packet goes through 16 at most, and is reported", async () => {
    using rig = new RelayRig({ hops: 2 });
    const { b, c } = await pair(
      rig,
      engine,
      [
        { id: "in", from, to: [into(1, "10.0.2.2", "10.0.2.1")] },
        { id: "again", from: outOf(2, "10.0.2.2"), to: [into(1, "10.0.2.2", "10.0.2.1")] },
      ],
      [{ id: "back", from: outOf(1, "10.0.2.1"), to: [into(2, "10.0.2.1", "10.0.2.2")] }],
    );
    await sendStream(rig, { packets: 100, pps: 1000, size: 400 }, signal);
    const { facts } = await quiet([b, c], signal);
    // In at b, and then into as many tunnels as there may be.
    expect(summed(facts)).toMatchObject({ hop_limit: 100, sent: 100 * 16, dropped: 0 });
    // Those that were stopped had arrived: the network lost none.
    for (const hop of facts.flatMap(({ hops }) => hops)) expect(hop).toMatchObject({ lost: 0, duplicate: 0 });
  }, 60_000);

  test("a loop of groups ends by TTL, and is reported", async () => {
    using rig = new RelayRig({ hops: 2 });
    const [there, back] = ["239.5.0.1", "239.5.0.2"];
    const { b, c } = await pair(
      rig,
      engine,
      [
        { id: "in", from, to: [{ ...to, group: there }] },
        { id: "again", from: { interface: "b1", group: back, port }, to: [{ ...to, group: there }] },
      ],
      [{ id: "back", from: { interface: "c0", group: there, port }, to: [{ interface: "c0", group: back }] }],
    );
    await sendStream(rig, { packets: 100, pps: 1000, ttl: 20 }, signal);
    const { facts } = await quiet([b, c], signal);
    expect(summed(facts)).toMatchObject({ ttl: 100, sent: 100 * 19, dropped: 0 });
  }, 60_000);

  test("nothing is taken from strangers at a tunnel's end", async () => {
    using rig = new RelayRig({ hops: 2 });
    rig.said("d", "ethtool", "-K", "d0", "gro", "on");
    const out = { id: "out", from: outOf(7, "10.0.2.9"), to: [{ interface: "c1", group, port }] };
    const { c } = await pair(rig, engine, [], [out]);
    const noise = "head -c 200 /dev/urandom | socat -u - UDP4-SENDTO:10.0.2.2:6087";
    for (let i = 0; i < 5; i++) rig.said("b", "sh", "-c", noise);
    const { totals, interfaces } = await c.settled(signal);
    expect(totals.matched).toBe(0);
    const refused = interfaces.find((one) => one.interface === "c0")?.refused ?? {};
    expect(total(refused)).toBe(5);
    for (const reason of Object.keys(refused))
      expect(["stranger", "unknown_path", "version", "malformed", "tag"]).toContain(reason);
  }, 60_000);
});

test.each<EngineName>(["TC", "AFPacket"])(
  "a capture on the same interface still sees every packet that %s relays",
  async (engine) => {
    using rig = new RelayRig({ hops: 1 });
    const packets = 5000;
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    await agent.load([{ id: "way", engine, from, to: [to] }], signal);
    const tap = rig.start("b", ["tcpdump", "-i", "b0", "-n", "-B", "65536", "-w", "/dev/null", `port ${port}`]);
    while (!tap.stderr.includes("listening on")) await sleep(20);
    await sendStream(rig, { packets, pps: 50_000 }, signal);
    const { totals } = await agent.settled(signal);
    await tap.stop();
    expect(totals.matched).toBe(packets);
    expect(tap.stderr).toContain(`${packets} packets received by filter`);
  },
  60_000,
);

test.each([21, 201])(
  "%i groups are joined and carried, past the kernel's limit of 20 a socket",
  async (groups) => {
    using rig = new RelayRig({ hops: 1, snooping: true });
    const [base, packets] = ["239.3.0.0", groups * 10];
    const sink = await Sink.start(rig, { lanes: [{ address: base, count: groups }], numbers: packets });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    const ruleOf = (i: number): RuleText => ({ id: `g${i}`, from: { interface: "b0", group: `239.3.0.${i}`, port }, to: [to] });
    await agent.load(Array.from({ length: groups }, (_, i) => ruleOf(i)), signal);
    await sleep(2000); // until the switch knows
    await sendStream(rig, { packets, groups, group: base, pps: 5000 }, signal);
    expect((await sink.settled(packets)).lanes).toMatchObject([{ unique: packets, lost: 0, duplicate: 0 }]);
  },
  60_000,
); // biome-ignore format: one list
