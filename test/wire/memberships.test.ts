// Groups that stay joined while the agent does not: on a real kernel, seen by a snooping switch that lets go of a port at its first leave.
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Joined, Membership } from "#relay/memberships.ts";
import { RelayLab } from "./relay-lab.ts";
import { bytes, frame, ip, WorkerEnd } from "./worker-end.ts";

/** Groups of an interface as the kernel lists them; /proc/net/igmp shows them as one little-endian word. */
async function joined(lab: RelayLab, place: "b", name: string): Promise<Set<string>> {
  const found = new Set<string>();
  let here = false;
  for (const line of (await lab.in(place, "cat", "/proc/net/igmp")).split("\n")) {
    if (/^\d/.test(line)) here = line.includes(`\t${name} `);
    const word = /^\t+([0-9A-F]{8}) /.exec(line)?.[1];
    if (here && word) found.add([...bytes(word)].reverse().join("."));
  }
  found.delete("224.0.0.1");
  return found;
}
const sources = async (lab: RelayLab): Promise<string[]> =>
  (await lab.in("b", "cat", "/proc/net/mcfilter"))
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => line.trim().split(/\s+/).slice(1, 6).join(" "))
    .sort();

const groups = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => Uint8Array.of(239, 1, i >> 8, i & 255));
const text = (group: Uint8Array): string => [...group].join(".");
const join = (end: WorkerEnd, wanted: readonly Membership[]): Promise<Joined> =>
  end.tell<Joined>({ do: "join", wanted });

describe("memberships", { timeout: 60_000 }, () => {
  test("21 and 201 groups are joined: as addresses while the kernel has room, by the holder beyond; and left again", async () => {
    await using lab = await RelayLab.create();
    await using agent = await WorkerEnd.start(lab, "b");
    const ifindex = await lab.index("b", "b0");
    for (const count of [21, 201]) {
      const wanted = groups(count);
      const told = await join(
        agent,
        wanted.map((group) => ({ ifindex, group })),
      );
      expect(told).toMatchObject({ failed: [] });
      expect(told.addresses + told.held).toBe(count);
      expect(told.addresses).toBe(20);
      expect(await joined(lab, "b", "b0")).toEqual(new Set(wanted.map(text)));
    }
    const fewer = groups(201).slice(190);
    await join(
      agent,
      fewer.map((group) => ({ ifindex, group })),
    );
    expect(await joined(lab, "b", "b0")).toEqual(new Set(fewer.map(text)));
    await join(agent, []);
    expect(await joined(lab, "b", "b0")).toEqual(new Set());
  });

  test("sources of their own: more than a socket may have of one group, beside the same group of any source", async () => {
    await using lab = await RelayLab.create();
    await using agent = await WorkerEnd.start(lab, "b");
    const ifindex = await lab.index("b", "b0");
    const group = ip("232.1.1.1");
    const of = (last: number): Membership => ({ ifindex, group, source: Uint8Array.of(10, 0, 0, last) });
    const many = Array.from({ length: 25 }, (_, i) => of(i + 1));
    expect(await join(agent, many)).toEqual({ addresses: 0, held: 25, failed: [] });
    const lines = await sources(lab);
    expect(lines).toHaveLength(25);
    expect(lines[0]).toBe("b0 0xe8010101 0x0a000001 1 0"); // in one socket's list of those to include, in none to exclude
    await join(agent, [of(3)]);
    expect(await sources(lab)).toEqual(["b0 0xe8010101 0x0a000003 1 0"]);
    expect(await join(agent, [of(3), { ifindex, group }])).toEqual({ addresses: 1, held: 1, failed: [] });
    expect(await joined(lab, "b", "b0")).toEqual(new Set(["232.1.1.1"]));
  });

  test("IPv6, both kinds; an interface that is not there is told, the others are joined", async () => {
    await using lab = await RelayLab.create();
    await lab.in("b", "sysctl", "-qw", "net.ipv6.conf.b0.disable_ipv6=0");
    await using agent = await WorkerEnd.start(lab, "b");
    const ifindex = await lab.index("b", "b0");
    const any = bytes("ff050000000000000000000000001234");
    const specific = bytes("ff3e0000000000000000000080001234");
    const source = bytes("20010db8000000000000000000000001");
    const told = await join(agent, [
      { ifindex, group: any },
      { ifindex, group: specific, source },
      { ifindex: 999, group: ip("239.1.1.1") },
    ]);
    expect(told.addresses + told.held).toBe(2);
    expect(told.failed).toMatchObject([{ membership: { ifindex: 999, group: "0xef010101" }, detail: "ENODEV" }]);
    const list = await lab.in("b", "cat", "/proc/net/igmp6");
    for (const group of [any, specific]) expect(list).toContain(Buffer.from(group).toString("hex"));
    expect(await lab.in("b", "cat", "/proc/net/mcfilter6")).toContain(Buffer.from(source).toString("hex"));
  });

  test("somebody else's group address is left alone, and its group is ours all the same", async () => {
    await using lab = await RelayLab.create();
    await lab.in("b", "ip", "address", "add", "239.1.0.0/32", "dev", "b0", "autojoin");
    await using agent = await WorkerEnd.start(lab, "b");
    const ifindex = await lab.index("b", "b0");
    expect(await join(agent, [{ ifindex, group: ip("239.1.0.0") }])).toEqual({ addresses: 0, held: 1, failed: [] });
    await join(agent, []);
    expect(await joined(lab, "b", "b0")).toEqual(new Set(["239.1.0.0"]));
  });

  test("the agent is killed behind a snooping switch with fast leave: not one packet is missing, of any kind of membership", async () => {
    await using lab = await RelayLab.create();
    // c is the switch: b1–c0 and d0–c1 are its ports; the source is at d.
    await lab.in(
      "c",
      "ip",
      "link",
      "add",
      "sw",
      "type",
      "bridge",
      "mcast_snooping",
      "1",
      "mcast_querier",
      "1",
      "mcast_startup_query_interval",
      "50",
      "mcast_query_response_interval",
      "100",
    );
    for (const name of ["c0", "c1"]) await lab.in("c", "ip", "link", "set", name, "master", "sw");
    await lab.in(
      "c",
      "sh",
      "-c",
      "cd /sys/class/net/c0/brport && echo 1 > multicast_fast_leave && echo 0 > multicast_flood",
    );
    await lab.in("c", "ip", "address", "add", "10.2.0.1/24", "dev", "sw");
    await lab.in("c", "ip", "link", "set", "sw", "up");
    await lab.in("b", "ip", "address", "add", "10.2.0.2/24", "dev", "b1");
    const ifindex = await lab.index("b", "b1");
    await using agent = await WorkerEnd.start(lab, "b");
    const all = groups(30); // beyond the kernel's room
    const wanted: Membership[] = all.map((group) => ({ ifindex, group }));
    wanted.push({ ifindex, group: ip("232.9.9.9"), source: ip("10.0.0.1") });
    expect(await join(agent, wanted)).toMatchObject({ addresses: 20, held: 11, failed: [] });
    await untilSnooped(lab, 31);

    await using taking = await lab.take("b", "b1");
    let port = 5000;
    /** How many of a round's packets came; each round has a port of its own, so that none is taken for another's. */
    const arrives = async (wanted: number, ...groupsOf: string[]): Promise<number> => {
      port += 1;
      const round = groupsOf.length > 0 ? groupsOf : [...all.map(text), "232.9.9.9"];
      await lab.send(
        "d",
        "d0",
        round.map((group) => frame({ group, port })),
      );
      const came = (): number => taking.frames.filter((one) => one.port === port).length;
      for (let i = 0; i < 25 || (i < 250 && came() < wanted); i++) await sleep(20);
      return came();
    };
    // Until its own querier is old enough a switch takes every group for unknown.
    for (let i = 0; i < 20 && (await arrives(0)) === 0; i++) await sleep(200);
    expect(await arrives(31)).toBe(31);
    expect(await arrives(0, "239.77.0.1")).toBe(0); // the switch does snoop: nobody joined this one

    await agent.kill();
    for (let i = 0; i < 3; i++) expect(await arrives(31)).toBe(31);
    await using next = await WorkerEnd.start(lab, "b", { folder: agent.folder });
    expect(await join(next, wanted)).toMatchObject({ addresses: 20, held: 11, failed: [] });
    expect(await arrives(31)).toBe(31);
    expect(await lab.in("c", "bridge", "mdb", "show")).toContain("239.1.0.29");
    await next.tell({ do: "leaveAll" });
    await sleep(200);
    expect(await arrives(0)).toBe(0); // and the test can fail: left is left
  });

  test("what goes is joined again at the next heartbeat: with a holder that was killed, with an interface that was down", async () => {
    await using lab = await RelayLab.create();
    await lab.in("b", "sysctl", "-qw", "net.ipv6.conf.b0.disable_ipv6=0");
    await using agent = await WorkerEnd.start(lab, "b");
    const ifindex = await lab.index("b", "b0");
    const six = bytes("ff050000000000000000000000001234");
    const wanted = [
      { ifindex, group: ip("232.1.1.1"), source: ip("10.0.0.1") },
      { ifindex, group: six },
    ];
    expect(await join(agent, wanted)).toEqual({ addresses: 1, held: 1, failed: [] });
    process.kill(await holderOf(agent.folder), "SIGKILL");
    await lab.in("b", "ip", "link", "set", "b0", "down");
    await lab.in("b", "ip", "link", "set", "b0", "up");
    await sleep(100);
    expect(await sources(lab)).toEqual([]);
    expect(await lab.in("b", "ip", "address", "show", "b0")).not.toContain("ff05::1234");
    await agent.tell({ do: "pingHolder" });
    expect(await sources(lab)).toEqual(["b0 0xe8010101 0x0a000001 1 0"]);
    expect(await lab.in("b", "cat", "/proc/net/igmp6")).toContain(Buffer.from(six).toString("hex"));
  });

  test("a holder that hears nothing for too long leaves its groups; asked again it has them again", async () => {
    await using lab = await RelayLab.create();
    await using agent = await WorkerEnd.start(lab, "b", { orphanAfterMs: 1500 });
    const ifindex = await lab.index("b", "b0");
    const wanted = [{ ifindex, group: ip("232.1.1.1"), source: ip("10.0.0.1") }];
    await join(agent, wanted);
    for (let i = 0; i < 5; i++) {
      await sleep(500);
      await agent.tell({ do: "pingHolder" });
    }
    expect(await joined(lab, "b", "b0")).toEqual(new Set(["232.1.1.1"]));
    await sleep(3500);
    expect(await joined(lab, "b", "b0")).toEqual(new Set());
    expect(await join(agent, wanted)).toMatchObject({ held: 1, failed: [] });
    expect(await joined(lab, "b", "b0")).toEqual(new Set(["232.1.1.1"]));
  });
});

/** The process that was started with this folder. */
async function holderOf(folder: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => ""); // it ended while we looked
    if (command.includes(`relay_joins\0--socket\0${folder}/`)) return Number(name);
  }
  throw new Error("there is no holder");
}

async function untilSnooped(lab: RelayLab, count: number): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const known = (await lab.in("c", "bridge", "mdb", "show"))
      .split("\n")
      .filter((line) => line.includes("port c0")).length;
    if (known >= count) return;
    await sleep(100);
  }
  throw new Error(`the switch never learned them: ${await lab.in("c", "bridge", "mdb", "show")}`);
}
