// tc's programs as filters of clsact qdiscs, as kernels before 6.6 need it: the same traffic, the same promises, and nobody else's filter is touched.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { group, sendStream, Sink } from "../../cli/relay-ends.ts";
import { RelayRig } from "../../cli/relay-rig.ts";
import { Scratch } from "../../cli/scratch.ts";
import { KernelEnd } from "./kernel-end.ts";
import { Pins, Rules, startIn, wholeStream } from "./kernel-rules.ts";
import { accounted, ip, output, plan } from "./worker-end.ts";

const { signal } = new AbortController();
const packets = 200_000;
const pps = 60_000;
const filters = true;
const timeout = 120_000;

/** Of an interface of b, ours and others', by priority. */
interface Filter {
  readonly pref: number;
  readonly options: { readonly handle?: string; readonly bpf_name?: string; readonly prog?: { readonly id: number } };
}
const filtersOf = (rig: RelayRig, name: string): Filter[] =>
  (JSON.parse(rig.said("b", "tc", "-json", "filter", "show", "dev", name, "ingress")) as Partial<Filter>[]).filter(
    (one): one is Filter => one.options?.prog !== undefined,
  );

test("at the sender's full rate every packet is sent, or dropped for a reason that is counted", {
  timeout,
}, async () => {
  using rig = new RelayRig({ hops: 1 });
  const lanes = ["239.1.1.1", "239.1.1.2", "239.1.1.3", "239.1.1.4"];
  const sink = await Sink.start(rig, { lanes: lanes.map((address) => ({ address })), numbers: 1 << 21 });
  await using relay = await KernelEnd.start(startIn(rig, "b"), { filters });
  expect(relay.opened).toEqual({ adopted: false, upgraded: false, observed: true, tcx: false });
  const rules = new Rules(rig);
  await relay.apply(plan([rules.rule("tc", "stream", ip(group), lanes.map((to, i) => rules.output(`out${i}`, ip(to))))])); // biome-ignore format: one line
  expect(filtersOf(rig, "b0")).toMatchObject([{ pref: 84 }]);
  expect((await relay.probe(rules.from)).foreignTc).toBe(false);
  const { sent } = await sendStream(rig, { seconds: 2, size: 64 }, signal);
  const report = await sink.settled(sent);
  const figures = await relay.figures();
  accounted(figures);
  expect(figures.rules).toMatchObject([{ matched: sent, bytes: sent * 92 }]);
  for (const [i, lane] of report.lanes.entries()) {
    const row = output(figures, "stream", `out${i}`);
    expect(row.wanted).toBe(sent);
    expect(lane.received).toBe(row.sent);
    expect(Object.keys(row.dropped).filter((reason) => reason !== "device")).toEqual([]);
  }
});

test("kill -9 of its process, adoption, and new programs in place of the old: nothing is lost, and the counters go on", {
  timeout,
}, async () => {
  using pins = new Pins();
  using rig = new RelayRig({ hops: 1 });
  pins.mount(rig);
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets * 2 });
  const rules = new Rules(rig);
  const wanted = plan([rules.through("tc"), ...rules.others("tc", 1)]);
  const first = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path, filters });
  await first.apply(wanted);
  const [before] = filtersOf(rig, "b0");
  const sending = sendStream(rig, { packets: packets * 2, pps }, signal);
  await sleep(500);
  await first.kill();
  await sleep(500);
  const second = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path, filters });
  expect(second.opened).toMatchObject({ adopted: true, upgraded: false });
  expect(await second.apply(wanted)).toEqual({ rulesWritten: 0, rulesKept: 6, rulesRemoved: 0 });
  expect(filtersOf(rig, "b0")).toEqual([before]);
  await second.kill();
  // One that could have tcx leaves what it finds.
  await using third = await KernelEnd.start(startIn(rig, "b"), { pins: pins.path, renew: true });
  expect(third.opened).toMatchObject({ adopted: true, upgraded: true, tcx: true });
  await third.apply(wanted);
  const [after, ...more] = filtersOf(rig, "b0");
  expect(more).toEqual([]);
  expect(after?.options.handle).toBe(before?.options.handle);
  expect(after?.options.prog?.id).not.toBe(before?.options.prog?.id);
  await sending;
  wholeStream(await sink.settled(packets * 2), await third.figures(), packets * 2);
  await third.uninstall();
  expect(filtersOf(rig, "b0")).toEqual([]);
});

test("an interface that no rule names any more loses its filter, and a process that pins nothing takes it along", {
  timeout,
}, async () => {
  using rig = new RelayRig({ hops: 1 });
  const rules = new Rules(rig);
  const relay = await KernelEnd.start(startIn(rig, "b"), { filters });
  await relay.apply(plan([rules.through("tc")]));
  expect(filtersOf(rig, "b0")).toHaveLength(1);
  await relay.apply(plan([]));
  expect(filtersOf(rig, "b0")).toEqual([]);
  await relay.apply(plan([rules.through("tc")]));
  await relay.close();
  expect(filtersOf(rig, "b0")).toEqual([]);
});

/** Counts packets, and lets whoever comes next decide. */
const watching = `#include <linux/bpf.h>
unsigned count;
__attribute__((section("tc"), used)) int watch(struct __sk_buff *s) { __sync_fetch_and_add(&count, 1); return -1; }
`;

test("somebody else's filter stays, and sees what it saw; ours comes back when somebody takes it away", {
  timeout,
}, async () => {
  using scratch = new Scratch();
  using rig = new RelayRig({ hops: 1 });
  const object = join(scratch.path, "watch.o");
  execFileSync("clang", ["-O2", "-g", "-target", "bpf", "-x", "c", "-", "-c", "-o", object, "-I/usr/include/x86_64-linux-gnu"], { input: watching }); // biome-ignore format: one command
  const tc = (...words: string[]): string => rig.said("b", "tc", ...words);
  tc("qdisc", "add", "dev", "b0", "clsact");
  for (const pref of ["1", "84"])
    tc("filter", "add", "dev", "b0", "ingress", "prio", pref, "handle", "7", "bpf", "da", "obj", object, "sec", "tc");
  const theirs = filtersOf(rig, "b0");
  const seen = (): number[] =>
    theirs.map(({ options }) => {
      const { map_ids: [map] } = JSON.parse(rig.said("b", "bpftool", "-j", "prog", "show", "id", String(options.prog?.id))) as { map_ids: number[] }; // biome-ignore format: one line
      const [{ value }] = JSON.parse(rig.said("b", "bpftool", "-j", "map", "dump", "id", String(map))) as [{ value: string[] }]; // biome-ignore format: one line
      return Buffer.from(value.map(Number)).readUInt32LE();
    });
  const sink = await Sink.start(rig, { lanes: [{ address: group }], numbers: packets });
  const rules = new Rules(rig);
  await using relay = await KernelEnd.start(startIn(rig, "b"), { filters });
  expect(await relay.probe(rules.from)).toMatchObject({ foreignTc: true });
  await relay.apply(plan([rules.through("tc")]));
  await sendStream(rig, { packets: 1000, pps }, signal);
  expect((await sink.settled(1000)).lanes).toMatchObject([{ unique: 1000, lost: 0 }]);
  const [first] = seen();
  expect(first).toBeGreaterThanOrEqual(1000); // and this interface's own noise
  expect(filtersOf(rig, "b0")).toHaveLength(3);

  const ours = filtersOf(rig, "b0").find((one) => !theirs.some(({ options }) => options.prog?.id === one.options.prog?.id)); // biome-ignore format: one line
  tc("filter", "del", "dev", "b0", "ingress", "prio", "84", "handle", String(ours?.options.handle), "bpf");
  for (let i = 0; filtersOf(rig, "b0").length < 3; i++, await sleep(50)) expect(i).toBeLessThan(40);
  await sink.reset();
  await sendStream(rig, { packets: 1000, pps }, signal);
  expect((await sink.settled(1000)).lanes).toMatchObject([{ received: 1000 }]);
  await relay.uninstall();
  expect(filtersOf(rig, "b0")).toEqual(theirs);
});
