// Filter, sample and limits of a capture that change while it runs: nothing is lost, and what is left out is counted.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { accounted, Driven, port, reasons, soon, state, words } from "./driven.ts";
import { Network } from "./network.ts";

const tapline = new URL("../../bin/tapline", import.meta.url).pathname;

describe("a capture that changes while it runs", { timeout: 60_000 }, () => {
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
});
