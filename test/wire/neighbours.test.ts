// Ways and next hops on a real kernel: found, kept known, followed when they change.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Way } from "#relay/neighbours.ts";
import { RelayLab } from "./relay-lab.ts";
import { ip, WorkerEnd } from "./worker-end.ts";

interface Asked {
  readonly changes: number;
  readonly way: Way | null;
}
const way = (end: WorkerEnd, to: string, ifindex?: number): Promise<Asked> =>
  end.tell<Asked>({ do: "way", to: ip(to), ...(ifindex === undefined ? {} : { ifindex }) });

async function knows(end: WorkerEnd, ifindex: number, address: string, mac: string | null): Promise<void> {
  const wanted = mac === null ? null : `0x${mac}`;
  let found: { mac: string | null } = { mac: "never asked" };
  for (let i = 0; i < 200 && found.mac !== wanted; i++) {
    found = await end.tell({ do: "neighbour", ifindex, address: ip(address) });
    await sleep(50);
  }
  expect(found.mac).toBe(wanted);
}

async function addressed(): Promise<RelayLab> {
  const lab = await RelayLab.create();
  await lab.in("b", "ip", "address", "add", "10.1.0.1/24", "dev", "b1");
  await lab.in("c", "ip", "address", "add", "10.1.0.2/24", "dev", "c0");
  return lab;
}

describe("neighbours", { timeout: 60_000 }, () => {
  test("ways: interface, gateway, own address, the route's MTU; none; and again when a route changed", async () => {
    await using lab = await addressed();
    await using agent = await WorkerEnd.start(lab, "b");
    const b1 = await lab.index("b", "b1");
    expect(await way(agent, "10.1.0.2")).toMatchObject({
      way: { ifindex: b1, via: "0x0a010002", source: "0x0a010001" },
    });
    expect((await way(agent, "10.50.0.1")).way).toBeNull();
    expect((await way(agent, "10.1.0.1")).way).toBeNull(); // itself
    await lab.in("b", "ip", "route", "add", "10.50.0.0/16", "via", "10.1.0.2", "mtu", "1300");
    let asked = await way(agent, "10.50.0.1");
    for (let i = 0; i < 100 && asked.way === null; i++) {
      await sleep(20);
      asked = await way(agent, "10.50.0.1");
    }
    expect(asked).toMatchObject({ way: { ifindex: b1, via: "0x0a010002", mtu: 1300 } });
    expect((await way(agent, "10.1.0.2", await lab.index("b", "b0"))).way).not.toMatchObject({ ifindex: b1 });
    await lab.in("b", "ip", "route", "add", "blackhole", "10.60.0.0/16");
    expect((await way(agent, "10.60.0.1")).way).toBeNull();
  });

  test("a next hop is asked for, kept known by the kernel, and followed when its MAC address changes or it goes", async () => {
    await using lab = await addressed();
    await using agent = await WorkerEnd.start(lab, "b");
    const ifindex = await lab.index("b", "b1");
    await agent.tell({
      do: "know",
      hops: [
        { ifindex, address: ip("10.1.0.2") },
        { ifindex, address: ip("10.1.0.77") },
      ],
    });
    await knows(agent, ifindex, "10.1.0.2", await lab.mac("c", "c0"));
    await knows(agent, ifindex, "10.1.0.77", null);
    expect(await lab.in("b", "ip", "neighbour", "show", "10.1.0.2")).toContain("managed");

    await lab.in("c", "ip", "link", "set", "c0", "address", "02:00:00:00:00:99");
    await lab.in("c", "ip", "neighbour", "flush", "all");
    await lab.in(
      "b",
      "ip",
      "neighbour",
      "replace",
      "10.1.0.2",
      "lladdr",
      "02:00:00:00:00:99",
      "dev",
      "b1",
      "nud",
      "reachable",
    );
    await knows(agent, ifindex, "10.1.0.2", "020000000099");
    await lab.in("c", "ip", "address", "add", "10.1.0.77/24", "dev", "c0"); // it comes late
    await knows(agent, ifindex, "10.1.0.77", "020000000099");
    await lab.in("b", "ip", "link", "set", "b1", "down");
    await knows(agent, ifindex, "10.1.0.2", null);
    await lab.in("b", "ip", "link", "set", "b1", "up");
    await knows(agent, ifindex, "10.1.0.2", "020000000099");
  });

  test("an entry that somebody set for good is used and not touched; what is wanted no longer is not kept", async () => {
    await using lab = await addressed();
    await lab.in(
      "b",
      "ip",
      "neighbour",
      "add",
      "10.1.0.9",
      "lladdr",
      "02:00:00:00:00:09",
      "dev",
      "b1",
      "nud",
      "permanent",
    );
    await using agent = await WorkerEnd.start(lab, "b");
    const ifindex = await lab.index("b", "b1");
    const hops = ["10.1.0.2", "10.1.0.9"].map((one) => ({ ifindex, address: ip(one) }));
    await agent.tell({ do: "know", hops });
    await knows(agent, ifindex, "10.1.0.9", "020000000009");
    await knows(agent, ifindex, "10.1.0.2", await lab.mac("c", "c0"));
    await agent.tell({ do: "know", hops: [] });
    await knows(agent, ifindex, "10.1.0.2", null);
    await sleep(100);
    const list = await lab.in("b", "ip", "neighbour", "show");
    expect(list).toContain("10.1.0.9 dev b1 lladdr 02:00:00:00:00:09 PERMANENT");
    expect(list).not.toContain("managed");
  });
});
