// The relay's engines in the kernel, on real interfaces: nothing is lost or doubled unnamed, whatever happens to the process that made the rules.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { ResolvedRule } from "#native/relay.ts";
import { group, sendStream, Sink } from "../../cli/relay-ends.ts";
import { relayCores, RelayRig } from "../../cli/relay-rig.ts";
import { KernelEnd } from "./kernel-end.ts";
import { Pins, Rules, startIn, taken, wholeStream } from "./kernel-rules.ts";
import { RelayLab } from "./relay-lab.ts";
import { accounted, frame, groupMac, ip, output, plan } from "./worker-end.ts";

const { signal } = new AbortController();
const engines = ["xdp", "tc"] as const;
const packets = 200_000;
const pps = 60_000;

describe.each(engines)("the engine %s", { timeout: 120_000 }, (engine) => {
  test("at the sender's full rate every packet is sent, or dropped for a reason that is counted", async () => {
    using rig = new RelayRig({ hops: 1 });
    const lanes = engine === "xdp" ? [group] : ["239.1.1.1", "239.1.1.2", "239.1.1.3", "239.1.1.4"];
    const sink = await Sink.start(rig, { lanes: lanes.map((address) => ({ address })), numbers: 1 << 21 });
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    expect(relay.opened).toEqual({ adopted: false, upgraded: false, observed: true, tcx: true });
    const rules = new Rules(rig);
    const outputs = lanes.map((address, i) => rules.output(`out${i}`, ip(address)));
    await relay.apply(plan([rules.rule(engine, "stream", ip(group), outputs)]));
    // The sink's work on the relay's core: its queue runs over.
    if (engine === "xdp")
      for (const [node, name] of [["b", "b0"], ["c", "c0"]] as const) rig.steer({ node, interface: name, how: "threaded", core: relayCores.other }); // biome-ignore format: one list
    const { sent } = await sendStream(rig, { seconds: 2, size: 64 }, signal);
    const report = await sink.settled(sent);
    const figures = await relay.figures();
    accounted(figures);
    expect(figures.ports).toMatchObject([{ engine, matched: sent }]);
    expect(figures.rules).toMatchObject([{ matched: sent, bytes: sent * 92 }]);
    for (const [i, lane] of report.lanes.entries()) {
      const row = output(figures, "stream", `out${i}`);
      expect(row.wanted).toBe(sent);
      expect(lane.received).toBe(row.sent);
      expect(Object.keys(row.dropped).filter((reason) => reason !== "device")).toEqual([]);
    }
    expect(report.unexpected).toBe(0);
  });

  test("other rules change a thousand times beside a stream: it loses and doubles nothing", async () => {
    using rig = new RelayRig({ hops: 1 });
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    const rules = new Rules(rig);
    const plans = Array.from({ length: 60 }, (_, i) => plan([rules.through(engine), ...rules.others(engine, i)]));
    await relay.apply(plan([rules.through(engine)]));
    const sending = sendStream(rig, { packets, pps }, signal);
    await relay.churn(plans, 1000);
    await sending;
    const figures = await relay.figures();
    expect(figures.rules.find(({ id }) => id === "stream")).toMatchObject({ matched: packets });
    wholeStream(await sink.settled(packets), figures, packets);
  });

  test("a changed output takes over between two packets: each goes one way, none both, none nowhere", async () => {
    using rig = new RelayRig({ hops: 1 });
    // One lane: two destinations, one series of numbers.
    const sink = await Sink.start(rig, { lanes: [{ address: "239.1.1.1", count: 2 }], numbers: packets });
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    const rules = new Rules(rig);
    const plans = ["239.1.1.1", "239.1.1.2"].map((to) =>
      plan([rules.rule(engine, "stream", ip(group), [rules.output("out", ip(to))])]),
    );
    await relay.apply(plan([rules.through(engine)]));
    const sending = sendStream(rig, { packets, pps }, signal);
    await relay.churn(plans, 1000);
    await sending;
    const figures = await relay.figures();
    expect(figures.rules.find(({ id }) => id === "stream")).toMatchObject({ matched: packets });
    wholeStream(await sink.settled(packets), figures, packets);
  });

  test("kill -9 of its process, adoption, and new programs in place of the old: nothing is lost, and the counters go on", async () => {
    using pins = new Pins();
    using rig = new RelayRig({ hops: 1 });
    pins.mount(rig);
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets * 2 });
    const rules = new Rules(rig);
    const wanted = plan([rules.through(engine), ...rules.others(engine, 1)]);
    const first = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path });
    await first.apply(wanted);
    const sending = sendStream(rig, { packets: packets * 2, pps }, signal);
    await sleep(500);
    await first.kill();
    await sleep(500);
    const second = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path });
    expect(second.opened).toMatchObject({ adopted: true, upgraded: false });
    expect(await second.apply(wanted)).toEqual({ rulesWritten: 0, rulesKept: 6, rulesRemoved: 0 });
    await second.kill();
    await using third = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path, renew: true });
    expect(third.opened).toMatchObject({ adopted: true, upgraded: true });
    await third.apply(wanted);
    await sending;
    wholeStream(await sink.settled(packets * 2), await third.figures(), packets * 2);
    expect((await third.probe(rules.from)).foreignXdp).toBe(false);
    expect(await taken(rig, rules.from)).toBe(true);
    await third.uninstall();
    expect(await taken(rig, rules.from)).toBe(false);
  });

  test("two relays do not share pins", async () => {
    using pins = new Pins();
    using rig = new RelayRig({ hops: 1 });
    pins.mount(rig);
    await using _first = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path });
    await expect(KernelEnd.start(startIn(rig, "b"), { pins: pins.path })).rejects.toMatchObject({ code: "RELAY_PINS" });
  });

  test("without its agent it goes on for as long as it may, then refuses as orphaned", async () => {
    using rig = new RelayRig({ hops: 1 });
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
    await using relay = await KernelEnd.start(startIn(rig, "b"), { orphanAfterMs: 800 });
    await relay.apply(plan([new Rules(rig).through(engine)]));
    const send = () => sendStream(rig, { packets: 100, pps }, signal);
    await send();
    await relay.beat(false);
    await sleep(1200);
    await send();
    await relay.beat(true);
    await sleep(400);
    await send();
    expect((await sink.settled(100)).lanes).toMatchObject([{ received: 200 }]);
    const figures = await relay.figures();
    accounted(figures);
    expect(figures.ports).toMatchObject([{ matched: 200, refused: { orphaned: 100 } }]);
  });

  test("an output whose interface goes down, or goes away, drops and says so", async () => {
    using rig = new RelayRig({ hops: 1 });
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    await relay.apply(plan([new Rules(rig).through(engine)]));
    const send = () => sendStream(rig, { packets: 100, pps }, signal);
    await send();
    rig.said("b", "ip", "link", "set", "b1", "down");
    await send();
    rig.said("b", "ip", "link", "del", "b1");
    await send();
    const figures = await relay.figures();
    accounted(figures);
    const row = output(figures, "stream");
    expect(row).toMatchObject({ wanted: 300, sent: 100 });
    expect((row.dropped["interface"] ?? 0) + (row.dropped["device"] ?? 0)).toBe(200);
    expect((await sink.report(100)).lanes).toMatchObject([{ received: 100 }]);
  });
});

describe("beside others", { timeout: 60_000 }, () => {
  test("somebody else's XDP program stays, and the interface says so; tc shares the interface", async () => {
    using rig = new RelayRig({ hops: 1 });
    const rules = new Rules(rig);
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    expect(await relay.probe(rules.from)).toMatchObject({ driver: "veth", xdp: "native", foreignXdp: false, foreignTc: false }); // biome-ignore format: one row
    const foreign = await Sink.start(rig, { lanes: [{ address: "239.1.1.9" }], numbers: 64 }, "b");
    expect(await relay.probe(rules.from)).toMatchObject({ foreignXdp: true, foreignTc: false });
    await expect(relay.apply(plan([rules.through("xdp")]))).rejects.toMatchObject({ code: "RELAY_INTERFACE_TAKEN" });
    await relay.apply(plan([rules.through("tc")]));
    await sendStream(rig, { packets: 100, pps, group: "239.1.1.9" }, signal);
    expect((await foreign.settled(100)).lanes).toMatchObject([{ received: 100 }]);
  });

  test("somebody else's tc program stays, and sees what it saw", async () => {
    using rig = new RelayRig({ hops: 1 });
    const rules = new Rules(rig);
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    const foreign = await Sink.start(rig, { lanes: [{ address: "239.1.1.9" }], numbers: 64, how: "tc" }, "b");
    expect(await relay.probe(rules.from)).toMatchObject({ foreignXdp: false, foreignTc: true });
    await relay.apply(plan([rules.through("tc")]));
    await sendStream(rig, { packets: 100, pps, group: "239.1.1.9" }, signal);
    expect((await foreign.settled(100)).lanes).toMatchObject([{ received: 100 }]);
  });

  test("frames can be handed to a veth when its far end has GRO or a program, and not otherwise", async () => {
    using rig = new RelayRig({ hops: 1 });
    const { to } = new Rules(rig);
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    expect(await relay.probe(to)).toMatchObject({ xdpTarget: false });
    rig.said("c", "ethtool", "-K", "c0", "gro", "on");
    expect(await relay.probe(to)).toMatchObject({ xdpTarget: true, why: "" });
  });

  test("a plan that fails changes nothing of what runs", async () => {
    using rig = new RelayRig({ hops: 1 });
    const rules = new Rules(rig);
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    await relay.apply(plan([rules.through("tc")]));
    const nowhere = { ...rules.through("tc"), id: "nowhere" };
    const bad = { ...nowhere, input: { ...nowhere.input, ifindex: 4_000 } } as ResolvedRule;
    await expect(relay.apply(plan([bad]))).rejects.toMatchObject({ code: "RELAY_ATTACH_FAILED" });
    await expect(relay.apply(plan([rules.through("tc"), nowhere]))).rejects.toMatchObject({ code: "RELAY_BAD_PLAN" });
    await sendStream(rig, { packets: 100, pps }, signal);
    expect((await sink.settled(100)).lanes).toMatchObject([{ unique: 100, lost: 0 }]);
  });

  test("the packets of a traced rule are told one by one, as many as were asked for", async () => {
    using rig = new RelayRig({ hops: 1 });
    const rules = new Rules(rig);
    await using relay = await KernelEnd.start(startIn(rig, "b"));
    const small = { ...rules.output("small", ip("239.2.2.2")), mtu: 500 };
    const one = rules.rule("tc", "stream", ip(group), [rules.output("out", ip(group)), small]);
    await relay.apply(plan([one]));
    await relay.trace("stream", 3);
    await sendStream(rig, { packets: 10, pps, ttl: 9 }, signal);
    const traces = await relay.traces();
    expect(traces).toHaveLength(3);
    for (const trace of traces)
      expect(trace).toMatchObject({ rule: "stream", ttl: 9, length: 1428, outputs: [{ id: "out" }, { id: "small", dropped: "mtu" }] }); // biome-ignore format: one row
  });
});

describe.each(engines)("frames through %s", { timeout: 60_000 }, (engine) => {
  const startOf =
    (lab: RelayLab) =>
    (command: string, ...args: string[]) =>
      lab.start("b", command, ...args);
  async function through(lab: RelayLab, wish: Partial<ResolvedRule> & { readonly mtu?: number } = {}) {
    const mac = async (name: string) => Uint8Array.from(Buffer.from(await lab.mac("b", name), "hex"));
    const [from, to] = [await lab.index("b", "b0"), await lab.index("b", "b1")];
    const { mtu = 1500, ...rest } = wish;
    const out = { id: "out", ifindex: to, destination: ip("239.2.2.2"), port: 6001, destinationMac: groupMac(ip("239.2.2.2")), sourceMac: await mac("b1"), mtu }; // biome-ignore format: one object
    const one: ResolvedRule = {
      id: "r",
      engine,
      input: { ifindex: from, vlan: 0, protocol: "UDP", destination: ip(group), port: 5001, sources: [] },
      outputs: [out],
      deliverLocal: false,
      limitPps: 0,
      limitBurst: 0,
      stormPps: 0,
      ...rest,
    };
    return one;
  }

  test("arrive whole and with right checksums, of every size, by raw and by ordinary sockets", async () => {
    await using lab = await RelayLab.create();
    await lab.in("c", "ethtool", "-K", "c0", "gro", "on");
    await using relay = await KernelEnd.start(startOf(lab));
    await relay.apply(plan([await through(lab)]));
    await using taking = await lab.take("c", "c0");
    const sizes = [0, 1, 22, 64, 1472];
    await lab.send("a", "a0", sizes.map((payload) => frame({ payload }))); // biome-ignore format: one line
    const frames = await taking.until(sizes.length);
    for (const [i, payload] of sizes.entries())
      expect(frames[i]).toMatchObject({ destination: "239.2.2.2", port: 6001, ttl: 15, ipRight: true, udpRight: true, payload: Buffer.from(frame({ payload }), "hex").subarray(42).toString("hex") }); // biome-ignore format: one row
    await lab.in("a", "ip", "address", "add", "10.0.0.1/24", "dev", "a0");
    await lab.sendBySocket("a", "udp", "a0", group, 5001, 1200, 10);
    // Nobody has completed their checksums when they come in; a tap at the far end may see them as they are, too.
    expect(await taking.until(10)).toHaveLength(10);
    accounted(await relay.figures());
  });

  test("of 9000 bytes pass where the MTU allows, and are dropped for it where not", async () => {
    await using lab = await RelayLab.create();
    for (const [place, name] of [["a", "a0"], ["b", "b0"], ["b", "b1"], ["c", "c0"]] as const) await lab.in(place, "ip", "link", "set", name, "mtu", "9100"); // biome-ignore format: one list
    await lab.in("c", "ethtool", "-K", "c0", "gro", "on");
    await using relay = await KernelEnd.start(startOf(lab));
    await relay.apply(plan([await through(lab, { mtu: 9100 })]));
    await using taking = await lab.take("c", "c0");
    await lab.send("a", "a0", [frame({ payload: 9000 })]);
    expect(await taking.until(1)).toMatchObject([{ ipRight: true, udpRight: true, bytes: 9042 }]);
    await relay.apply(plan([await through(lab, { mtu: 9000 })]));
    await lab.send("a", "a0", [frame({ payload: 9000 })]);
    expect(await taking.until(0)).toEqual([]);
    const figures = await relay.figures();
    accounted(figures);
    expect(output(figures, "r")).toEqual({ wanted: 2, sent: 1, dropped: { mtu: 1 } });
  });

  test("of a VLAN come by its rule alone, and leave untagged", async () => {
    await using lab = await RelayLab.create();
    await lab.in("c", "ethtool", "-K", "c0", "gro", "on");
    await using relay = await KernelEnd.start(startOf(lab));
    const one = await through(lab);
    await relay.apply(plan([{ ...one, input: { ...one.input, vlan: 7 } }]));
    await using taking = await lab.take("c", "c0");
    await lab.send("a", "a0", [frame({}), frame({ vlan: 7 }), frame({ vlan: 8 })]);
    expect(await taking.until(1)).toMatchObject([{ vlan: null, udpRight: true, destination: "239.2.2.2" }]);
    const figures = await relay.figures();
    accounted(figures);
    expect(figures.ports[0]).toMatchObject({ matched: 1, passed: 2 });
  });
});

test("super-packets through tc are counted by what they are cut into, and arrive", { timeout: 60_000 }, async () => {
  await using lab = await RelayLab.create();
  await using relay = await KernelEnd.start((command, ...args) => lab.start("b", command, ...args));
  const [from, to] = [await lab.index("b", "b0"), await lab.index("b", "b1")];
  const sourceMac = Uint8Array.from(Buffer.from(await lab.mac("b", "b1"), "hex"));
  const one: ResolvedRule = {
    id: "r",
    engine: "tc",
    input: { ifindex: from, vlan: 0, protocol: "UDP", destination: ip(group), port: 5001, sources: [] },
    outputs: [{ id: "out", ifindex: to, destination: ip(group), port: 5001, destinationMac: groupMac(ip(group)), sourceMac, mtu: 1500 }], // biome-ignore format: one object
    deliverLocal: false,
    limitPps: 0,
    limitBurst: 0,
    stormPps: 0,
  };
  await relay.apply(plan([one]));
  await lab.in("a", "ip", "address", "add", "10.0.0.1/24", "dev", "a0");
  await lab.sendBySocket("a", "gso", "a0", group, 5001, 1200, 20);
  await sleep(300);
  const figures = await relay.figures();
  accounted(figures);
  expect(output(figures, "r")).toEqual({ wanted: 20, sent: 20, dropped: {} });
  expect(figures.rules).toMatchObject([{ matched: 20, bytes: 20 * 1228 }]);
});
