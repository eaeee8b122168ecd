// Pins that a relay of another layout left: its programs carry packets until ours can, none is lost in between, and nothing of it stays.
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { group, sendStream, Sink } from "../../cli/relay-ends.ts";
import { relayCores, RelayRig } from "../../cli/relay-rig.ts";
import { KernelEnd } from "./kernel-end.ts";
import { Pins, Rules, startIn, taken } from "./kernel-rules.ts";
import { accounted, ip, output, plan } from "./worker-end.ts";

const { signal } = new AbortController();
const packets = 200_000;
const pps = 60_000;
const timeout = 120_000;
const ways = [["xdp", "xdp", false], ["tc", "tc", false], ["tc by filters", "tc", true]] as const; // biome-ignore format: a table

describe.each(ways)("%s", { timeout }, (_, engine, filters) => {
  test("what another layout carries is taken over between two packets; the interfaces that nobody wants are let go", async () => {
    using pins = new Pins();
    using rig = new RelayRig({ hops: 1 });
    pins.mount(rig);
    const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
    const rules = new Rules(rig);
    if (engine === "xdp") rig.steer({ node: "b", interface: "b0", how: "threaded", core: relayCores.other });
    const back = rules.rule(engine, "back", ip("239.7.7.7"), [{ ...rules.output("out", ip("239.7.7.7")), ifindex: rules.from }]); // biome-ignore format: one line
    const unwanted = { ...back, input: { ...back.input, ifindex: rules.to } } as typeof back;
    const old = await KernelEnd.start(startIn(rig, "b"), { pins: pins.of(7), filters });
    await old.apply(plan([rules.through(engine), unwanted]));
    const sending = sendStream(rig, { packets, pps }, signal);
    await sleep(700);
    await old.kill();
    await using ours = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path, filters });
    expect(ours.opened).toMatchObject({ adopted: false });
    await sleep(300);
    expect((await ours.figures()).rules).toEqual([]); // The old programs go on.
    await ours.apply(plan([rules.through(engine), ...rules.others(engine, 1)]));
    await sending;
    const figures = await ours.figures();
    accounted(figures);
    const { lanes, unexpected } = await sink.settled(packets);
    expect({ ...lanes[0], unexpected }).toMatchObject({ unique: packets, lost: 0, duplicate: 0, wrong_length: 0, unexpected: 0 }); // biome-ignore format: one row
    const { sent, wanted } = output(figures, "stream");
    expect(sent).toBe(wanted);
    expect(sent).toBeGreaterThan(1000);
    expect(sent).toBeLessThan(packets);
    expect(existsSync(pins.of(7))).toBe(false);
    // Its own alone are left.
    expect(await ours.probe(rules.from)).toMatchObject({ foreignXdp: false, foreignTc: false });
    expect([await taken(rig, rules.from), await taken(rig, rules.to)]).toEqual([true, false]);

    // Ours now, also after an end.
    await ours.kill();
    await using again = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path, filters });
    expect(again.opened).toMatchObject({ adopted: true, upgraded: false });
    expect((await again.apply(plan([rules.through(engine)]))).rulesKept).toBe(1);
    await again.uninstall();
    expect(await taken(rig, rules.from)).toBe(false);
  });
});

test("while a relay of another layout runs, ours does not begin; --uninstall takes down both", {
  timeout,
}, async () => {
  using pins = new Pins();
  using rig = new RelayRig({ hops: 1 });
  pins.mount(rig);
  const old = await KernelEnd.start(startIn(rig, "b"), { pins: pins.of(7) });
  const rules = new Rules(rig);
  await old.apply(plan([rules.through("tc")]));
  await expect(KernelEnd.start(startIn(rig, "b"), { pins: pins.path })).rejects.toMatchObject({ code: "RELAY_PINS" });
  await old.kill();
  await using ours = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path });
  expect(await taken(rig, rules.from)).toBe(true);
  await ours.uninstall();
  expect(readdirSync(dirname(pins.path))).toEqual([]);
  expect(await taken(rig, rules.from)).toBe(false);
});

test("a folder of another layout with pins that nobody knows, or none, is removed; others are left alone", {
  timeout,
}, async () => {
  using pins = new Pins();
  using rig = new RelayRig({ hops: 1 });
  pins.mount(rig);
  const theirs = join(dirname(pins.path), "vx");
  for (const folder of [pins.of(0), pins.of(3), theirs]) mkdirSync(folder, { recursive: true });
  for (const name of ["map_rules", "something"])
    rig.said("b", "bpftool", "map", "create", join(pins.of(3), name), "type", "array", "key", "4", "value", "8", "entries", "1", "name", "old"); // biome-ignore format: one command
  await using relay = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path });
  await relay.apply(plan([new Rules(rig).through("tc")]));
  expect(readdirSync(dirname(pins.path)).toSorted()).toEqual(["v1", "vx"]);
  await relay.uninstall();
});
