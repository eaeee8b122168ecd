// A relay worker's life: overload, crashes, changes of its rules, an agent that is killed; and tunnels from worker to worker.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { RelayFigures, TunnelPort } from "#native/relay.ts";
import type { WorkerView } from "#relay/workers.ts";
import { RelayLab } from "./relay-lab.ts";
import { accounted, bytes, frame, ip, output, plan, Plans, refused, WorkerEnd } from "./worker-end.ts";

const group = ip("239.1.1.1");

/** Numbered frames for as long as the work takes; how many were sent. */
async function flooded<T>(lab: RelayLab, hex: string, work: () => Promise<T>, pauseSeconds = 0.004): Promise<number> {
  const child = lab.start("a", python, flood, "a0", hex, String(pauseSeconds));
  child.stdin?.on("error", () => {}); // it ended by itself: its exit tells
  const lines: string[] = [];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => lines.push(text));
  const ended = once(child, "close");
  await work();
  child.stdin?.end();
  await ended;
  return Number(/\d+/.exec(lines.join(""))?.[0]);
}
const python = new URL("../../build/venv/bin/python", import.meta.url).pathname;
const flood = new URL("flood.py", import.meta.url).pathname;

const received = async (lab: RelayLab, place: "c" | "d", name: string): Promise<number> =>
  Number(await lab.in(place, "cat", `/sys/class/net/${name}/statistics/rx_packets`));
const matched = (figures: RelayFigures): number => figures.rules.reduce((sum, rule) => sum + rule.matched, 0);

async function until(relay: WorkerEnd, wanted: (view: WorkerView) => boolean): Promise<WorkerView> {
  let view: WorkerView | undefined;
  for (let i = 0; i < 500; i++) {
    [view] = await relay.views();
    if (view && wanted(view)) return view;
    await sleep(10);
  }
  throw new Error(`never so: ${JSON.stringify(view)}`);
}

describe("a relay worker's life", { timeout: 90_000 }, () => {
  test("above what it can do every packet is sent, or dropped by name, or lost in the ring and counted there", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b", { options: ["--blocks", "2"] });
    const plans = await Plans.of(lab);
    const outputs = Array.from({ length: 8 }, (_, i) => ({ id: `o${i}`, destination: Uint8Array.of(239, 2, 2, i) }));
    await relay.tell({ do: "apply", plan: plan([plans.rule("r", group, 5001, outputs)]) });
    const sent = await flooded(lab, frame({ payload: 1400 }), () => sleep(1500), 0);
    const figures = await relay.after(sent);
    accounted(figures);
    const [port] = figures.ports;
    expect(port?.ringDrops).toBeGreaterThan(0);
    expect((port?.received ?? 0) + (port?.ringDrops ?? 0)).toBe(sent);
    const left = figures.outputs.reduce((sum, one) => sum + one.sent, 0);
    expect(await received(lab, "c", "c0")).toBe(left);
    expect(figures.outputs.every(({ wanted }) => wanted === port?.matched)).toBe(true);
  });

  test("changed a hundred times under traffic: rules that are not touched lose nothing, those that are go one way at a time", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const still = plans.rule("still", group, 5001, [{ destination: group }]);
    const changed = (i: number) =>
      plans.rule("changed", ip("239.3.3.3"), 5001, [{ id: `way${i % 2}`, destination: Uint8Array.of(239, 4, 0, i) }]);
    await relay.tell({ do: "apply", plan: plan([still, changed(0)]) });
    const sent = await flooded(lab, `${frame({})}\n${frame({ group: "239.3.3.3" })}`, async () => {
      for (let i = 1; i <= 100; i++) await relay.tell({ do: "apply", plan: plan([still, changed(i)]) });
    });
    const figures = await relay.after(sent);
    accounted(figures);
    expect(figures.ports[0]?.ringDrops).toBe(0);
    expect(output(figures, "still")).toEqual({ wanted: sent / 2, sent: sent / 2, dropped: {} });
    expect(figures.rules.find(({ id }) => id === "changed")?.matched).toBe(sent / 2);
    expect(await received(lab, "c", "c0")).toBe(sent);
  });

  test("a worker that is killed is started again and goes on counting; what it had in hand is named; others do not notice", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const back = await Plans.of(lab, "b", "b1", "b0");
    const rules = [
      plans.rule("r", group, 5001, [{ destination: group }]),
      back.rule("back", group, 5002, [{ destination: group }]),
    ];
    await relay.tell({ do: "apply", plan: plan(rules) });
    const [first, second] = await relay.views();
    const sent = await flooded(lab, frame({ payload: 1000 }), async () => {
      await sleep(500);
      process.kill(first?.pid ?? 0, "SIGKILL");
      for (let i = 0; i < 200 && (await relay.views())[0]?.state !== "running"; i++) await sleep(20);
      await sleep(500);
    });
    await sleep(300);
    const [again, same] = await relay.views();
    expect(again).toMatchObject({ state: "running", restarts: 1 });
    expect(again?.pid).not.toBe(first?.pid);
    expect(same).toEqual(second);
    const figures = await relay.figures();
    accounted(figures);
    const { wanted, dropped } = output(figures, "r");
    expect(wanted).toBeGreaterThan(1000);
    expect(wanted).toBeLessThan(sent); // some came while there was none
    expect(Object.keys(dropped).every((reason) => reason === "worker")).toBe(true);
    expect(dropped["worker"] ?? 0).toBeLessThanOrEqual(64);
  });

  test("one that cannot start is tried again with patience, and says why", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    await lab.in("b", "ip", "link", "set", "b0", "down");
    await relay.tell({
      do: "apply",
      plan: plan([plans.rule("r", group, 5001, [{ destination: group }])]),
      wait: false,
    });
    const view = await until(relay, ({ state, restarts }) => state === "backing off" && restarts > 1);
    expect(view?.detail).toContain("INTERFACE_DOWN");
    await sleep(1500);
    expect((await relay.views())[0]?.restarts).toBeLessThan(7); // 100 ms, then twice as long each time
    await lab.in("b", "ip", "link", "set", "b0", "up");
    await relay.tell({ do: "apply", plan: plan([plans.rule("r", group, 5001, [{ destination: group }])]) });
    expect((await relay.views())[0]?.state).toBe("running");
  });

  test("the agent is killed: its worker goes on, and the next agent takes it over with its counts", async () => {
    await using lab = await RelayLab.create();
    await using first = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    const rules = [plans.rule("r", group, 5001, [{ destination: group }])];
    await first.tell({ do: "apply", plan: plan(rules) });
    const [before] = await first.views();
    const sent = await flooded(lab, frame({}), async () => {
      await sleep(200);
      await first.kill();
      await sleep(300);
      await using next = await WorkerEnd.start(lab, "b", { folder: first.folder });
      const more = plans.rule("more", group, 5002, [{ destination: group }]);
      await next.tell({ do: "apply", plan: plan([...rules, more]) });
      expect((await next.views())[0]?.pid).toBe(before?.pid);
      await next.tell({ do: "letGo" });
    });
    await using last = await WorkerEnd.start(lab, "b", { folder: first.folder });
    const figures = await last.after(sent);
    accounted(figures);
    expect(output(figures, "r")).toEqual({ wanted: sent, sent, dropped: {} });
    expect(await received(lab, "c", "c0")).toBe(sent);
    await last.tell({ do: "removeAll" });
    expect(await last.views()).toEqual([]);
  });

  test("a table that is damaged changes nothing; a worker without its interface ends, and its rules may go", async () => {
    await using lab = await RelayLab.create();
    await using relay = await WorkerEnd.start(lab, "b");
    const plans = await Plans.of(lab);
    await relay.tell({ do: "apply", plan: plan([plans.rule("r", group, 5001, [{ destination: group }])]) });
    const folder = `${relay.folder}/workers/${plans.from}`;
    await lab.in("b", "sh", "-c", `head -c 100 ${folder}/rules > ${folder}/bad && mv ${folder}/bad ${folder}/rules`);
    await sleep(300);
    await lab.send("a", "a0", [frame({})]);
    expect(output(await relay.after(1), "r").sent).toBe(1);
    await lab.in("b", "ip", "link", "del", "b0");
    await until(relay, ({ state }) => state === "backing off");
    await relay.tell({ do: "apply", plan: plan([]) });
    expect(await relay.views()).toEqual([]);
  });

  test("through a tunnel and out again: numbered, dated, proved; strangers, replays and forgeries are refused by name", async () => {
    await using lab = await RelayLab.create();
    await lab.in("b", "ip", "address", "add", "10.1.0.1/24", "dev", "b1");
    await lab.in("c", "ip", "address", "add", "10.1.0.2/24", "dev", "c0");
    await using near = await WorkerEnd.start(lab, "b");
    await using far = await WorkerEnd.start(lab, "c");
    const key = Uint8Array.from({ length: 16 }, (_, i) => i);
    const nearPlans = await Plans.of(lab);
    const farPlans = await Plans.of(lab, "c", "c0", "c1");
    const tunnel = nearPlans.output({
      id: "tunnel",
      destination: ip("10.1.0.2"),
      destinationMac: bytes(await lab.mac("c", "c0")),
      port: 6087,
      source: ip("10.1.0.1"),
      tunnel: { path: 7, epoch: 3, key },
    });
    const port: TunnelPort = { ifindex: farPlans.from, addresses: [ip("10.1.0.2")], engine: "afpacket" };
    const rule = farPlans.rule("in", group, 5001, [{ destination: ip("239.9.9.9"), ttl: 3 }]);
    await near.tell({ do: "apply", plan: plan([nearPlans.rule("out", group, 5001, [tunnel])]) });
    await far.tell({
      do: "apply",
      plan: plan([{ ...rule, input: { path: 7, key, peers: [ip("10.1.0.1")] } }], { tunnelPorts: [port] }),
    });
    await using wire = await lab.take("c", "c0");
    await using end = await lab.take("d", "d0");
    await lab.send("a", "a0", [
      frame({ payload: 1400 }),
      frame({ payload: 1413 }),
      frame({ payload: 0, ttl: 1 }),
      frame({ payload: 9 }),
    ]);
    const outer = (await wire.until(3)).map(({ hex }) => hex);
    const frames = await end.until(3);
    expect(frames.map(({ payload }) => payload.length / 2)).toEqual([1400, 0, 9]);
    for (const one of frames)
      expect(one).toMatchObject({
        source: "10.0.0.1",
        destination: "239.9.9.9",
        ttl: 3,
        ipRight: true,
        udpRight: true,
      });
    expect(output(await near.figures(), "out", "tunnel")).toEqual({ wanted: 4, sent: 3, dropped: { mtu: 1 } });

    // On the wire: Ethernet 14, IPv4 20, UDP 8, then version, hops, stream, path, epoch, sequence, time, tag.
    const changed = (at: number, hex: string): string => {
      const start = at * 2;
      return (outer[0] ?? "").slice(0, start) + hex + (outer[0] ?? "").slice(start + hex.length);
    };
    await lab.send("b", "b1", [
      outer[0] ?? "", // replayed
      changed(29, "09"), // from 10.1.0.9
      changed(42, "02"), // another version
      changed(43, "07"), // more hops than were signed for
      changed(49, "08"), // another path
      changed(46 + 28 + 16, "ef010102"), // to another group, inside
      (outer[0] ?? "").slice(0, 2 * 60), // cut off
    ]);
    const figures = await far.after(10);
    accounted(figures);
    expect(refused(figures)).toEqual({ replay: 1, stranger: 1, version: 1, tag: 2, unknown_path: 1, malformed: 1 });
    expect(figures.hops).toMatchObject([
      { path: 7, epoch: 3, unique: 3, lost: 0, pending: 0, duplicate: 1, reordered: 0, late: 0 },
    ]);
    expect(figures.hops[0]?.latency.reduce((sum, count) => sum + count, 0)).toBe(3);
    expect(await end.until(0)).toEqual([]);
    accounted(await near.figures());
  });

  test("a loop of tunnels ends at the sixteenth", async () => {
    await using lab = await RelayLab.create();
    await lab.in("b", "ip", "address", "add", "10.1.0.1/24", "dev", "b1");
    await lab.in("c", "ip", "address", "add", "10.1.0.2/24", "dev", "c0");
    await using near = await WorkerEnd.start(lab, "b");
    await using far = await WorkerEnd.start(lab, "c");
    const key = new Uint8Array(16);
    const there = await Plans.of(lab, "b", "b1", "b1");
    const back = await Plans.of(lab, "c", "c0", "c0");
    const first = await Plans.of(lab);
    const [nearMac, farMac] = [bytes(await lab.mac("b", "b1")), bytes(await lab.mac("c", "c0"))];
    const [here, yonder] = [ip("10.1.0.1"), ip("10.1.0.2")];
    const onward = {
      id: "on",
      destination: yonder,
      destinationMac: farMac,
      port: 6087,
      source: here,
      tunnel: { path: 1, epoch: 1, key },
    };
    const homeward = {
      id: "on",
      destination: here,
      destinationMac: nearMac,
      port: 6087,
      source: yonder,
      tunnel: { path: 2, epoch: 1, key },
    };
    // The first packet of path 1 comes from another worker: it has an epoch of its own.
    const start = { ...onward, tunnel: { path: 1, epoch: 2, key } };
    await near.tell({
      do: "apply",
      plan: plan(
        [
          first.rule("start", group, 5001, [start]),
          { ...there.rule("turn", group, 5001, [onward]), input: { path: 2, key, peers: [yonder] } },
        ],
        { tunnelPorts: [{ ifindex: there.from, addresses: [here], engine: "afpacket" }] },
      ),
    });
    await far.tell({
      do: "apply",
      plan: plan([{ ...back.rule("turn", group, 5001, [homeward]), input: { path: 1, key, peers: [here] } }], {
        tunnelPorts: [{ ifindex: back.from, addresses: [yonder], engine: "afpacket" }],
      }),
    });
    await lab.send("a", "a0", [frame({})]);
    await sleep(500);
    const [one, two] = [await near.figures(), await far.figures()];
    accounted(one);
    accounted(two);
    expect(matched(one) + matched(two)).toBe(1 + 15);
    const limits = [...one.ports, ...two.ports].reduce((sum, row) => sum + row.refused.hop_limit, 0);
    expect(limits).toBe(1);
  });
});
