// What is carried and what is not, by each engine through the whole agent: sizes, addresses, tags, sources; loops, strangers, fragments.
// Every packet is one of a numbered stream, and is looked at, byte by byte, where it arrives.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { group, port, sendStream, Sink, type Lane, type Stream } from "../../cli/relay-ends.ts";
import { macOf, RelayRig, type RigOptions } from "../../cli/relay-rig.ts";
import { RelayAgent, total, type EngineName, type RelayFacts, type RuleText } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";

const { signal } = new AbortController();
const packets = 5000;
const pps = 50_000;
const engines = ["XDP", "TC", "AFPacket"] as const;
let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch[Symbol.dispose]());

const clean = { duplicate: 0, ahead: 0, behind: 0, wrong_length: 0, varied: 0, corrupt: 0, bad_checksum: 0 } as const;

/** A relay in b with these rules; what of the streams arrived in c, read whole, and what the relay says of it. */
async function carried(
  rules: readonly RuleText[],
  streams: readonly Stream[],
  lanes: readonly Lane[],
  options: Partial<RigOptions> = {},
): Promise<{ readonly lanes: Awaited<ReturnType<Sink["report"]>>["lanes"]; readonly facts: RelayFacts }> {
  using rig = new RelayRig({ hops: 1, ...options });
  const sink = await Sink.start(rig, { lanes, numbers: packets, how: "hash" });
  const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
  agent.load(rules);
  for (const stream of streams) await sendStream(rig, { packets, pps, ...stream }, signal);
  const report = await sink.settled(packets);
  const facts = await agent.settled(signal);
  for (const { residue } of facts.interfaces) expect(residue).toBe(0);
  expect(facts.totals.wanted).toBe(facts.totals.sent + total(facts.totals.dropped));
  return { lanes: report.lanes, facts };
}

const from = { interface: "b0", group, port };
const to = { interface: "b1" };
const v6 = { source: "fd00:0:0:1::1", group: "ff3e::1:1" };

interface Way {
  readonly rule: RuleText;
  readonly stream?: Stream;
  readonly lane?: Lane;
  readonly first?: object;
  readonly rig?: Partial<RigOptions>;
}
const ways: Readonly<Record<string, Way>> = {
  "64 bytes": { rule: { from, to: [to] }, stream: { size: 64 } },
  "1472 bytes": { rule: { from, to: [to] }, stream: { size: 1472 } },
  "another group and port": {
    rule: { from, to: [{ ...to, group: "239.9.9.9", port: 6001 }] },
    lane: { address: "239.9.9.9", port: 6001 },
  },
  "TTL, DSCP and source of its own": {
    rule: { from, to: [{ ...to, ttl: 9, dscp: 46, source: "10.0.2.1" }] },
    first: { ttl: 9, dscp: 46, source: "10.0.2.1" },
  },
  "TTL 1, set anew": { rule: { from, to: [{ ...to, ttl: 32 }] }, stream: { ttl: 1 }, first: { ttl: 32 } },
  "DSCP as it came": { rule: { from, to: [to] }, stream: { dscp: 34 }, first: { dscp: 34 } },
  "from a VLAN": { rule: { from: { ...from, vlan: 42 }, to: [to] }, stream: { vlan: 42 }, first: { vlan: 0 } },
  "a group to an address": {
    rule: { from, to: [{ ...to, address: "10.0.2.2", port: 7000 }] },
    lane: { address: "10.0.2.2", port: 7000 },
  },
  "an address to a group": {
    rule: { from: { interface: "b0", address: "10.0.1.2", port }, to: [{ ...to, group }] },
    stream: { group: "10.0.1.2", destinationMac: macOf(1, 2) },
  },
};
const notForXdp: Readonly<Record<string, Way>> = {
  "9000 bytes": { rule: { from, to: [to] }, stream: { size: 9000 }, rig: { mtu: 9100 } },
  IPv6: {
    rule: { from: { ...from, group: v6.group }, to: [{ ...to, group: "ff3e::2:2" }] },
    stream: v6,
    lane: { address: "ff3e::2:2" },
    first: { source: v6.source },
  },
  "ESP, unopened": {
    rule: { from: { interface: "b0", group, protocol: "ESP" }, to: [to] },
    stream: { protocol: "esp" },
    lane: { address: group, port: 0 },
  },
};

describe.each(engines)("%s", (engine) => {
  test.each(Object.keys({ ...ways, ...(engine === "XDP" ? {} : notForXdp) }))("carries %s", async (name) => {
    const { rule, stream = {}, lane = { address: group }, first = {}, rig } = { ...ways, ...notForXdp }[name] as Way;
    const { lanes, facts } = await carried([{ id: "way", engine, ...rule }], [stream], [lane], rig);
    expect(lanes).toMatchObject([{ received: packets, unique: packets, lost: 0, ...clean }]);
    expect(lanes[0]?.first).toMatchObject({ ttl: 63, ...first });
    expect(facts.totals).toMatchObject({ matched: packets, sent: packets, refused: {}, dropped: {} });
  }, 60_000); // biome-ignore format: one line

  test("carries two sources of one group apart, and refuses a third", async () => {
    const rules = [1, 2].map((n) => ({
      id: `source-${n}`,
      engine,
      from: { ...from, sources: [`10.0.1.1${n}`] },
      to: [{ ...to, group: `239.8.8.${n}` }],
    }));
    const lanes = [0, 1].map((n) => ({ stream: n, address: `239.8.8.${n + 1}` }));
    const result = await carried(rules, [{ source: "10.0.1.11", sources: 3 }], lanes);
    for (const lane of result.lanes) expect(lane).toMatchObject({ unique: packets, lost: 0, ...clean });
    expect(result.facts.totals.matched).toBe(2 * packets);
    expect(result.facts.interfaces.find((one) => one.interface === "b0")?.refused).toEqual({ source: packets });
  }, 60_000);

  test.each<[string, Stream, string]>([
    ["whose TTL is used up", { ttl: 1 }, "ttl"],
    ["from its own address", { source: "10.0.1.2" }, "loop"],
  ])("refuses a packet %s, and says why", async (_, stream, reason) => {
    const { lanes, facts } = await carried([{ id: "way", engine, from, to: [to] }], [stream], [{ address: group }]);
    expect(lanes[0]?.received).toBe(0);
    expect(facts.interfaces.find((one) => one.interface === "b0")?.refused).toEqual({ [reason]: packets });
  }, 60_000); // biome-ignore format: one line

  test("refuses fragments", async () => {
    using rig = new RelayRig({ hops: 1 });
    const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
    agent.load([{ id: "way", engine, from, to: [to] }]);
    rig.said("a", "sh", "-c", `head -c 4000 /dev/zero | socat -u -b 4000 - UDP4-DATAGRAM:${group}:${port},ip-multicast-if=10.0.1.1`);
    const { interfaces } = await agent.settled(signal);
    expect(interfaces.find((one) => one.interface === "b0")?.refused).toEqual({ fragment: 3 });
  }, 60_000); // biome-ignore format: one command
});

describe.each(["XDP", "TC"] as const)("tunnels by %s", (engine) => {
  const key = "000102030405060708090a0b0c0d0e0f";
  const into = (path: number, toward: string, source: string): RuleText => ({
    tunnel: { path, key, to: toward, source },
  });
  const outOf = (path: number, peer: string): RuleText => ({ tunnel: { path, key, peers: [peer] } });

  /** Agents in b and c. */
  async function pair(rig: RelayRig, ofB: readonly RuleText[], ofC: readonly RuleText[]) {
    const [b, c] = [
      await RelayAgent.start(rig, "b", scratch.path, signal),
      await RelayAgent.start(rig, "c", scratch.path, signal),
    ];
    b.load(ofB.map((rule) => ({ engine, ...rule })));
    c.load(ofC.map((rule) => ({ engine, ...rule })));
    return { b, c };
  }

  test("stop a loop that no node can see: every packet goes through 16 tunnels at most, and is reported", async () => {
    using rig = new RelayRig({ hops: 2 });
    const { b, c } = await pair(
      rig,
      [
        { id: "in", from, to: [into(1, "10.0.2.2", "10.0.2.1")] },
        { id: "again", from: outOf(2, "10.0.2.2"), to: [into(1, "10.0.2.2", "10.0.2.1")] },
      ],
      [{ id: "back", from: outOf(1, "10.0.2.1"), to: [into(2, "10.0.2.1", "10.0.2.2")] }],
    );
    await sendStream(rig, { packets: 100, pps: 1000, size: 400 }, signal);
    const [left, right] = [await b.settled(signal), await c.settled(signal)];
    const stopped = (left.totals.refused["hop_limit"] ?? 0) + (right.totals.refused["hop_limit"] ?? 0);
    expect(stopped).toBe(100);
    // In at b, and out of 16 tunnels, or of one that is one too many.
    expect(left.totals.matched + right.totals.matched).toBeGreaterThanOrEqual(100 * 16);
    expect(left.totals.matched + right.totals.matched).toBeLessThanOrEqual(100 * 17);
  }, 60_000);

  test("take nothing from strangers, of unknown paths or with a wrong tag", async () => {
    using rig = new RelayRig({ hops: 2 });
    const { c } = await pair(rig, [], [{ id: "out", from: outOf(7, "10.0.2.9"), to: [{ interface: "c1", group, port }] }]);
    // Through b, which forwards nothing by itself: from b's own side of the link.
    rig.said("b", "sh", "-c", "for i in 1 2 3 4 5; do head -c 200 /dev/urandom | socat -u - UDP4-SENDTO:10.0.2.2:6087; done");
    const { totals, interfaces } = await c.settled(signal);
    expect(totals.matched).toBe(0);
    const refused = interfaces.find((one) => one.interface === "c0")?.refused ?? {};
    expect(total(refused)).toBe(5);
    expect(Object.keys(refused).every((reason) => ["stranger", "unknown_path", "version", "malformed", "tag"].includes(reason))).toBe(true);
  }, 60_000); // biome-ignore format: one test
});

test.each(engines)("a loop of groups between two nodes ends by TTL with %s, and is reported", async (engine) => {
  using rig = new RelayRig({ hops: 2 });
  const [there, back] = ["239.5.0.1", "239.5.0.2"];
  const b = await RelayAgent.start(rig, "b", scratch.path, signal);
  const c = await RelayAgent.start(rig, "c", scratch.path, signal);
  b.load([
    { id: "in", engine, from, to: [{ interface: "b1", group: there }] },
    { id: "again", engine, from: { interface: "b1", group: back, port }, to: [{ interface: "b1", group: there }] },
  ]);
  c.load([{ id: "back", engine, from: { interface: "c0", group: there, port }, to: [{ interface: "c0", group: back }] }]);
  await sendStream(rig, { packets: 100, pps: 1000, ttl: 20 }, signal);
  const [left, right] = [await b.settled(signal), await c.settled(signal)];
  expect((left.totals.refused["ttl"] ?? 0) + (right.totals.refused["ttl"] ?? 0)).toBe(100);
  // TTL 20 is 19 hops.
  expect(left.totals.sent + right.totals.sent).toBe(100 * 19);
}, 60_000); // biome-ignore format: one line

test.each<EngineName>(["TC", "AFPacket"])("a sensor on the same interface still sees every packet that %s relays", async (engine) => {
  using rig = new RelayRig({ hops: 1 });
  const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
  agent.load([{ id: "way", engine, from, to: [to] }]);
  const tap = rig.start("b", ["tcpdump", "-i", "b0", "-n", "-B", "65536", "-w", "/dev/null", "udp", "port", String(port)]);
  while (!tap.stderr.includes("listening on")) await new Promise((resolve) => setTimeout(resolve, 20));
  await sendStream(rig, { packets, pps }, signal);
  await agent.settled(signal);
  await tap.stop();
  expect(tap.stderr).toContain(`${packets} packets received by filter`);
}, 60_000); // biome-ignore format: one line

test.each([21, 201])("%i groups are joined and carried, past the kernel's limit of 20 a socket", async (groups) => {
  using rig = new RelayRig({ hops: 1, snooping: true });
  const base = "239.3.0.0";
  const sink = await Sink.start(rig, { lanes: [{ address: base, count: groups }], numbers: groups * 10 });
  const agent = await RelayAgent.start(rig, "b", scratch.path, signal);
  agent.load(
    Array.from({ length: groups }, (_, i) => ({ id: `g${i}`, from: { interface: "b0", group: `239.3.0.${i}`, port }, to: [to] })),
  );
  await new Promise((resolve) => setTimeout(resolve, 2000)); // the switch knows
  await sendStream(rig, { packets: groups * 10, groups, group: base, pps: 5000 }, signal);
  expect((await sink.settled(groups * 10)).lanes).toMatchObject([{ unique: groups * 10, lost: 0, duplicate: 0 }]);
}, 60_000); // biome-ignore format: one line
