// Interfaces that come, go, are renamed, added and removed while a capture runs: every packet and every time not seen is accounted for.
import { readFile, readdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { accounted, Driven, port, reasons, soon, state, words } from "./driven.ts";
import { Network } from "./network.ts";

describe("interfaces of a running capture", { timeout: 60_000 }, () => {
  test("a port is a name: renamed away it is gone, another interface by that name is taken, back again it goes on", async () => {
    await using network = await Network.create();
    await network.connect("near2", "far2");
    // A block is used up by time, too: 64 of 4 ms are gone when the reader does not get its core for a quarter of a second.
    await using driven = await Driven.start(network, { ring: { blockKiB: 256, blocks: 64, retireMs: 20 } });
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
