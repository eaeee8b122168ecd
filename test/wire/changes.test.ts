// A capture that changes while it runs: interfaces come and go, filter and limits change, and every packet stays accounted for.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Driven, type Everything, type Figures } from "./driven.ts";
import { Network } from "./network.ts";

/** Long enough for a block to retire. */
const soon = 300;
const tapline = new URL("../../bin/tapline", import.meta.url).pathname;
const words = (text: string): string[] => text.split(" ");

const port = (figures: Figures, name: string): Figures["ledger"][number] => {
  const found = figures.ledger.find((row) => row.interface === name);
  if (found === undefined) throw new Error(`${name} is not in the ledger`);
  return found;
};
const state = (name: string, wanted: string) => (now: Figures) => port(now, name).state === wanted;

function accounted(figures: Figures): void {
  for (const row of figures.ledger) {
    expect(row, row.interface).toMatchObject({ residue: 0, inFlight: 0 });
    expect(row.seen, row.interface).toBe(row.ringDrops + row.delivered);
  }
}
const reasons = (end: Everything, position: number): string[] =>
  end.blinds.filter((blind) => blind.port === position).map((blind) => blind.reason);

describe("a capture that changes while it runs", { timeout: 60_000 }, () => {
  test("a port is a name: renamed away it is gone, another interface by that name is taken, back again it goes on", async () => {
    await using network = await Network.create();
    await network.connect("near2", "far2");
    await using driven = await Driven.start(network);
    const rename = (from: string, to: string): Promise<string> =>
      network.in(network.receiver, "ip", "link", "set", from, "name", to);

    let sent = (await network.send(...words("--packets 20000 --flows 10 --pps 200000"))).sent;
    await sleep(soon);
    await rename("far", "elsewhere");
    await driven.until((now) => state("far", "absent")(now) && port(now, "far").ringBytes === 0);
    await network.send(...words("--packets 5000 --flows 10 --pps 100000 --first 2001"));
    expect(port(await driven.figures(), "far").seen).toBe(sent);

    await rename("far2", "far");
    await driven.until(state("far", "watching"));
    sent += (await network.sendOn("near2", ...words("--packets 1000 --flows 10 --kind tcp --pps 50000"))).sent;
    await driven.until((now) => port(now, "far").seen === sent);

    await rename("far", "far2");
    await rename("elsewhere", "far");
    await driven.until(state("far", "watching"));
    sent += (await network.send(...words("--packets 20000 --flows 10 --pps 200000 --first 2501"))).sent;
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    expect(port(end.figures, "far").seen).toBe(sent);
    expect(end.gaps).toEqual(Array.from({ length: 10 }, () => ({ first: 2001, last: 2500, suspect: 1 })));
    expect(reasons(end, 0)).toEqual(["start", "gone", "gone"]);
  });

  test("an interface that is not there is waited for, one that is made later is watched from then on", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network, { ports: [{ name: "far" }, { name: "later" }], wait: true });
    expect(port(await driven.figures(), "later")).toMatchObject({ state: "absent", problem: null });
    await network.connect("near2", "later");
    await driven.until(state("later", "watching"));
    const sent = await network.sendOn("near2", ...words("--packets 20000 --flows 100 --pps 200000"));
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    expect(port(end.figures, "later").seen).toBe(sent.sent);
    expect(reasons(end, 1).slice(0, 2)).toEqual(["start", "gone"]);
  });

  test("without waiting, an interface that is not there or not up is refused and leaves no row", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network);
    await expect(driven.add({ name: "nowhere" })).rejects.toMatchObject({ code: "INTERFACE_NOT_FOUND" });
    await expect(driven.add({ name: "lo" })).rejects.toMatchObject({ code: "INTERFACE_DOWN" });
    expect((await driven.figures()).ledger.map((row) => row.interface)).toEqual(["far"]);
    const end = await driven.stop();
    expect(reasons(end, 1)).toEqual([]);
  });

  test("set down and up again: the state says so meanwhile, the record afterwards, the loss is suspect", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network);
    await network.send(...words("--packets 10000 --flows 10 --pps 100000"));
    await sleep(soon);
    const before = BigInt(Date.now()) * 1_000_000n;
    await network.in(network.receiver, "ip", "link", "set", "far", "down");
    const down = port(await driven.until(state("far", "down")), "far");
    expect(BigInt(down.sinceNs) - before).toBeLessThan(1_000_000_000n);
    await sleep(soon);
    await network.in(network.receiver, "ip", "link", "set", "far", "up");
    await driven.until(state("far", "watching"));
    await sleep(soon);
    await network.send(...words("--packets 10000 --flows 10 --pps 100000 --first 1101"));
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    expect(end.gaps).toEqual(Array.from({ length: 10 }, () => ({ first: 1001, last: 1100, suspect: 1 })));
    expect(reasons(end, 0)).toEqual(["start", "down"]);
    const blind = end.blinds.find(({ reason }) => reason === "down");
    expect(BigInt(blind?.until_ns ?? 0) - BigInt(blind?.since_ns ?? 0)).toBeGreaterThan(BigInt(soon) * 1_000_000n);
  });

  test("added and removed again and again under traffic: sums stay exact, the others lose nothing, no two flows share a number", async () => {
    await using network = await Network.create();
    await network.connect("near2", "far2");
    await using driven = await Driven.start(network, { threads: 2, ring: { blockKiB: 256, blocks: 64, retireMs: 4 } });
    const steady = network.send(...words("--seconds 4 --flows 200 --pps 50000 --size 200"));
    const changing = network.sendOn("near2", ...words("--seconds 4 --flows 200 --pps 50000 --size 200"));
    const descriptors = async (): Promise<number> => (await readdir(`/proc/${driven.pid}/fd`)).length;
    const before = await descriptors();
    let seen = 0;
    for (let i = 0; i < 8; i++) {
      await driven.add({ name: "far2" });
      await driven.until((now) => port(now, "far2").seen > seen);
      await driven.remove("far2");
      const now = await driven.figures();
      const row = port(now, "far2");
      expect(row).toMatchObject({ state: "removed", residue: 0, inFlight: 0, ringBytes: 0 });
      expect(row.seen).toBeGreaterThan(seen);
      expect(now.members.map((member) => member.interface)).toEqual(["far", "far"]);
      seen = row.seen;
    }
    expect(await descriptors()).toBe(before);
    const sent = await steady;
    await changing;
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    expect(port(end.figures, "far")).toMatchObject({ seen: sent.sent, ringDrops: 0 });
    expect(port(end.figures, "far2").seen).toBe(seen);
    const sum = end.flows.reduce((total, flow) => total + flow.packets, 0);
    expect(sum).toBe(end.figures.ledger.reduce((total, row) => total + row.tracked, 0));
    expect(new Set(end.flows.map((flow) => flow.packet)).size).toBe(end.flows.length);
    expect(end.flows.length).toBe(200 + 8 * 200);
    expect(end.gaps.filter((gap) => gap.suspect === 0)).toEqual([]);
    expect(reasons(end, 1)).toEqual(["start", ...Array.from({ length: 8 }, () => "removed")]);
  });

  test("200 changes of filter and limits under traffic lose nothing; a bad filter changes nothing", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network, { filter: "esp", threads: 2 });
    let over = false;
    const sending = network
      .send(..."--seconds 6 --flows 500 --kind esp --pps 100000 --size 200".split(" "))
      .finally(() => (over = true));
    let changes = 0;
    for (; changes < 200; changes++) {
      await driven.setFilter(changes % 2 === 0 ? "ip proto 50" : "esp");
      await driven.setLimits({ maxFlows: 1000 + changes, settleNs: 2e9 + changes, idleNs: 60e9 + changes });
    }
    expect(over).toBe(false);
    await expect(driven.setFilter("esp or nonsense")).rejects.toMatchObject({ code: "FILTER_BPF_INVALID" });
    const sent = await sending;
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    expect(port(end.figures, "far")).toMatchObject({ seen: sent.sent, ringDrops: 0, tracked: sent.sent });
    expect(end.figures).toMatchObject({ filter: "esp", maxFlows: 1199, flows: 500, lost: 0, gaps: 0, capEvictions: 0 });
    expect(reasons(end, 0)).toEqual(["start"]);
  });

  test("a filter set while the interface is down holds from its first frame on", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network);
    await network.in(network.receiver, "ip", "link", "set", "far", "down");
    await driven.until(state("far", "down"));
    await driven.setFilter("udp");
    // Up, with frames, before the capture knows it.
    process.kill(driven.pid, "SIGSTOP");
    await network.in(network.receiver, "ip", "link", "set", "far", "up");
    await network.send(...words("--packets 1000 --flows 40 --kind esp --pps 40000"));
    process.kill(driven.pid, "SIGCONT");
    await driven.until(state("far", "watching"));
    await sleep(soon);
    const sent = await network.send(...words("--packets 4000 --flows 40 --kind mixed --pps 40000"));
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    expect(port(end.figures, "far").seen).toBe(sent.sent / 4);
  });

  test("a filter that asks for VLAN tags sees those that the kernel took off", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tapline-wire-"));
    try {
      const pcap = join(folder, "made.pcap");
      await promisify(execFile)(tapline, [
        ...words("pcap generate --packets 2000 --flows 20 --protocol ipsec --vlan --pps 100000 --output"),
        pcap,
      ]);
      await using network = await Network.create();
      await using driven = await Driven.start(network, { filter: "not vlan" });
      const replay = (): Promise<string> =>
        network.in(network.sender, "tcpreplay", "-q", "--topspeed", "-i", network.near, pcap);
      await replay();
      await sleep(soon);
      const without = port(await driven.figures(), "far").seen;
      await driven.setFilter("vlan");
      await replay();
      await sleep(soon);
      const end = await driven.stop();
      accounted(end.figures);
      // In the file the tags are still in the frames.
      const { stdout } = await promisify(execFile)("tcpdump", ["-nqr", pcap, "vlan"], { maxBuffer: 1 << 26 });
      const tagged = stdout.trimEnd().split("\n").length;
      expect(tagged).toBeGreaterThan(100);
      expect(without).toBe(2000 - tagged);
      expect(port(end.figures, "far").seen - without).toBe(tagged);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test("1 of 4 flows: whole flows or nothing of them, the ledger exact; followed again, no loss is invented", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network, { sample: 4, threads: 2 });
    const flows = 2000;
    let sent = (await network.send(...words(`--packets 20000 --flows ${flows} --pps 100000 --size 200`))).sent;
    const sampled = await driven.until((now) => port(now, "far").seen === sent && port(now, "far").residue === 0);
    const followed = sampled.flows;
    expect(Math.abs(followed - flows / 4)).toBeLessThan(flows / 20);
    expect(port(sampled, "far").untracked).toMatchObject({ not_sampled: sent - followed * 10 });

    await driven.setLimits({ sample: 1 });
    await sleep(soon);
    sent += (await network.send(...words(`--packets 20000 --flows ${flows} --pps 100000 --size 200 --first 11`))).sent;
    await driven.until((now) => port(now, "far").seen === sent && now.liveFlows === flows);
    await driven.setLimits({ sample: 8 });
    const few = await driven.until((now) => now.liveFlows < flows / 6);
    expect(few.capEvictions).toBe(flows - few.liveFlows);
    sent += (await network.send(...words(`--packets 20000 --flows ${flows} --pps 100000 --size 200 --first 21`))).sent;
    await driven.until((now) => port(now, "far").seen === sent);
    await driven.setLimits({ sample: 1 });
    await sleep(soon);
    sent += (await network.send(...words(`--packets 20000 --flows ${flows} --pps 100000 --size 200 --first 31`))).sent;
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    expect(port(end.figures, "far").seen).toBe(sent);
    expect(port(end.figures, "far").ringDrops).toBe(0);
    // 1 of 8 was followed all the time; some of them, being of 1 of 4, from the beginning.
    expect(end.flows.filter((flow) => flow.packets === 40).length).toBe(few.liveFlows);
    expect(end.figures).toMatchObject({ lost: 0, gaps: 0 });
  });

  test("a lowered cap of flows is of all threads together, evicts, and counts", async () => {
    await using network = await Network.create();
    await network.connect("near2", "far2");
    await using driven = await Driven.start(network, { ports: [{ name: "far" }, { name: "far2" }], threads: 2 });
    await network.send(...words("--packets 20000 --flows 4000 --pps 200000 --size 200"));
    await network.sendOn("near2", ...words("--packets 20000 --flows 4000 --kind esp --pps 200000 --size 200"));
    await driven.until((now) => now.liveFlows === 8000);
    await driven.setLimits({ maxFlows: 1000 });
    const now = await driven.until((figures) => figures.liveFlows <= 1000);
    expect(now.capEvictions).toBe(8000 - now.liveFlows);
    await network.send(...words("--packets 20000 --flows 4000 --pps 100000 --size 200 --first 6"));
    await sleep(soon);
    expect((await driven.figures()).liveFlows).toBeLessThanOrEqual(1000);
    await driven.setLimits({ maxFlows: 100_000 });
    await sleep(soon);
    await network.send(...words("--packets 20000 --flows 4000 --pps 100000 --size 200 --first 11"));
    await driven.until((figures) => figures.liveFlows >= 4000);
    const end = await driven.stop();
    accounted(end.figures);
    expect(end.figures.lost).toBe(0);
    expect(end.flows.filter((flow) => flow.end === 2).length).toBe(end.figures.capEvictions);
  });

  test("threads and rings are placed as asked, and the figures say where; what is impossible is named", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network, { ports: [{ name: "far", cpus: [1, 0], node: 0 }], threads: 2 });
    await sleep(soon);
    const tasks = await readdir(`/proc/${driven.pid}/task`);
    const bound = await Promise.all(
      tasks.map(async (task) => {
        const status = await readFile(`/proc/${driven.pid}/task/${task}/status`, "utf8");
        return /Cpus_allowed_list:\t(.*)/.exec(status)?.[1];
      }),
    );
    for (const cpu of ["0", "1"]) expect(bound.filter((list) => list === cpu)).toHaveLength(1);
    const { members } = await driven.figures();
    expect(members).toMatchObject([
      { cpuWanted: 1, cpu: 1, nodeWanted: 0, node: 0 },
      { cpuWanted: 0, cpu: 0, nodeWanted: 0, node: 0 },
    ]);
    await driven.remove("far");
    for (const [wish, named] of [
      [{ cpus: [0, 1000] }, /CPU 1000/],
      [{ cpus: [0] }, /1 CPUs for 2 threads/],
      [{ node: 63 }, /NUMA node 63/],
    ] as const) {
      const refused = driven.add({ name: "far", ...wish });
      await expect(refused).rejects.toMatchObject({
        code: "CAPTURE_BAD_PLACEMENT",
        detail: expect.stringMatching(named),
      });
    }
    expect(port(await driven.figures(), "far").state).toBe("removed");
  });

  test("a capture has 256 threads at most, and says so", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network, {
      wait: true,
      threads: 100,
      ring: { blockKiB: 64, blocks: 2, retireMs: 4 },
    });
    await driven.add({ name: "absent" });
    await expect(driven.add({ name: "more" })).rejects.toMatchObject({
      code: "CAPTURE_TOO_MANY",
      detail: "300 threads, and 256 is the most",
    });
    await driven.remove("absent");
    await driven.add({ name: "more" });
  });

  test("what a full ring could not hold is a blind time, and the stages add up", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network, { ring: { blockKiB: 256, blocks: 4, retireMs: 4 } });
    const sending = network.send(...words("--seconds 2 --flows 50 --pps 200000"));
    await sleep(600);
    process.kill(driven.pid, "SIGSTOP");
    const stopped = BigInt(Date.now()) * 1_000_000n;
    await sleep(400);
    process.kill(driven.pid, "SIGCONT");
    const sent = await sending;
    await sleep(soon);
    const end = await driven.stop();
    accounted(end.figures);
    const row = port(end.figures, "far");
    expect(row.seen).toBe(sent.sent);
    expect(row.ringDrops).toBeGreaterThan(0);
    expect(row).toMatchObject({ ringBytes: 1 << 20, ringWanted: 1 << 20 });
    const full = end.blinds.filter((blind) => blind.reason === "ring_full");
    expect(
      full.some((blind) => BigInt(blind.since_ns) < stopped + 300_000_000n && BigInt(blind.until_ns) > stopped),
    ).toBe(true);
    const { stages } = end.figures;
    expect(stages.frames).toBe(row.delivered);
    expect(stages.blocks).toBeGreaterThan(0);
    expect(stages.decodeNs).toBeGreaterThan(stages.frames);
    expect(stages.followNs).toBeGreaterThan(stages.frames);
  });

  test("the interfaces are listed at once and after each change", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network);
    const names = async (): Promise<string[]> => (await driven.links()).links.map((link) => link.name);
    const become = async (wanted: (links: Awaited<ReturnType<Driven["links"]>>["links"]) => boolean): Promise<void> => {
      for (let i = 0; i < 100; i++) {
        if (wanted((await driven.links()).links)) return;
        await sleep(20);
      }
      throw new Error(`never so: ${JSON.stringify(await driven.links())}`);
    };
    await become((links) => links.some((link) => link.name === "far" && link.running));
    const far = (await driven.links()).links.find((link) => link.name === "far");
    const shown = JSON.parse(await network.in(network.receiver, "ip", "-j", "link", "show", "far")) as readonly [
      { readonly ifindex: number; readonly address: string; readonly mtu: number },
    ];
    expect(far).toEqual({
      index: shown[0].ifindex,
      name: "far",
      mac: shown[0].address,
      mtu: shown[0].mtu,
      up: true,
      running: true,
    });
    await network.connect("near2", "far2");
    await become((links) => links.some((link) => link.name === "far2" && link.running));
    await network.in(network.receiver, "ip", "link", "set", "far2", "mtu", "9000", "name", "wide");
    await become((links) => links.some((link) => link.name === "wide" && link.mtu === 9000));
    expect(await names()).not.toContain("far2");
    await network.in(network.sender, "ip", "link", "set", "near2", "down");
    await become((links) => links.some((link) => link.name === "wide" && link.up && !link.running));
    await network.in(network.sender, "ip", "link", "del", "near2");
    await become((links) => !links.some((link) => link.name === "wide"));

    // More changes than the kernel keeps for a reader that sleeps: it is told so, and lists again.
    process.kill(driven.pid, "SIGSTOP");
    await network.in(
      network.receiver,
      "sh",
      "-c",
      "seq 1300 2299 | sed 's/.*/link set far mtu &/' | ip -batch - && ip link set far mtu 1400 && ip link set far name last",
    );
    process.kill(driven.pid, "SIGCONT");
    await become((links) => links.some((link) => link.name === "last" && link.mtu === 1400));
    expect(await names()).not.toContain("far");
    await driven.until(state("far", "absent"));
  });
});
