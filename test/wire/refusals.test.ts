// What a running agent will not do, it says, and does as soon as it can: interfaces, rings, reloads.
import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { Agent, Desk } from "./agent.ts";
import { Driven, port, state, words } from "./driven.ts";
import { Network } from "./network.ts";

interface Row {
  readonly interface: string;
  readonly seen: number;
}
const seenOn = async (agent: Agent, name: string): Promise<number> => {
  const { interfaces } = await agent.json<{ interfaces: Row[] }>("/api/v1/ledger");
  return interfaces.find((row) => row.interface === name)?.seen ?? 0;
};
const isReady = (agent: Agent) => async (): Promise<boolean> => (await agent.ready()).status === 200;
const detailOf = (agent: Agent, code: string): unknown => agent.told("raised", code)?.["detail"];

describe("what an agent refuses", { timeout: 60_000 }, () => {
  test("an interface too many at the start is told and tried again; the others are watched meanwhile", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    for (const i of [2, 3, 4, 5]) await network.connect(`near${i}`, `far${i}`);
    const small = { threads: 64, ring: { blockKiB: 4, blocks: 2, retireMs: 4 } };
    // 64 threads for each of four: 256, and that is the most.
    const names = ["far", "far2", "far3", "far4", "far5"];
    const config = desk.config(network, { interfaces: names.map((name) => ({ name })), capture: small });
    await using agent = await Agent.launch(network, desk, config);
    await agent.until("it is told", () => agent.told("raised", "CAPTURE_TOO_MANY") !== undefined);
    expect(agent.told("raised", "CAPTURE_TOO_MANY")).toMatchObject({ about: "far5", severity: "error" });
    expect((await agent.ready()).text).toContain("4 of 5 interfaces are watched");
    const sent = await network.send(...words("--packets 5000 --flows 50 --pps 20000 --size 200"));
    await agent.until("the others are watched", async () => (await seenOn(agent, "far")) === sent.sent);
    await agent.reload({ ...config, interfaces: names.filter((name) => name !== "far2").map((name) => ({ name })) });
    await agent.until("there is room for it", isReady(agent), 15);
    await agent.until("that is told", () => agent.told("cleared", "CAPTURE_TOO_MANY") !== undefined);
    const later = await network.sendOn("near5", ...words("--packets 5000 --flows 50 --pps 20000 --size 200"));
    await agent.until("it is watched", async () => (await seenOn(agent, "far5")) === later.sent);
    // Tried again and again it is one line of the log.
    expect(agent.log.filter(({ message }) => message === "failed to watch an interface")).toHaveLength(1);
    expect(await agent.end()).toBe(0);
  });

  test("an interface without Ethernet frames is told, and watched once another one has its name", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await network.in(network.receiver, "ip", "tuntap", "add", "dev", "far-tun", "mode", "tun");
    await network.in(network.receiver, "ip", "link", "set", "far-tun", "up");
    await using agent = await Agent.launch(network, desk, desk.config(network, { interfaces: [{ glob: "far*" }] }));
    await agent.until("it is told", () => agent.told("raised", "CAPTURE_NOT_ETHERNET") !== undefined);
    expect(agent.told("raised", "CAPTURE_NOT_ETHERNET")).toMatchObject({ about: "far-tun", severity: "error" });
    const sent = await network.send(...words("--packets 5000 --flows 50 --pps 20000 --size 200"));
    await agent.until("the other is watched", async () => (await seenOn(agent, "far")) === sent.sent);
    await network.in(network.receiver, "ip", "link", "del", "far-tun");
    await network.connect("near-tun", "far-tun");
    await agent.until("it is ready", isReady(agent), 15);
    await agent.until("that is told", () => agent.told("cleared", "CAPTURE_NOT_ETHERNET") !== undefined);
    const later = await network.sendOn("near-tun", ...words("--packets 5000 --flows 50 --pps 20000 --size 200"));
    await agent.until("it is watched", async () => (await seenOn(agent, "far-tun")) === later.sent);
    expect(await agent.end()).toBe(0);
  });

  test("--require ends it when a named interface is refused", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await network.in(network.receiver, "ip", "tuntap", "add", "dev", "far-tun", "mode", "tun");
    await network.in(network.receiver, "ip", "link", "set", "far-tun", "up");
    const config = desk.config(network, { interfaces: [{ name: "far" }, { name: "far-tun" }] });
    await using agent = await Agent.launch(network, desk, config, "--require");
    expect(await agent.ended()).toBe(1);
    expect(agent.stderr).toMatch(/far-tun carries no Ethernet frames.*CAPTURE_NOT_ETHERNET/s);
  });

  test("an interface that comes when rings have taken the budget is refused, until the budget is raised", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const config = desk.config(network, { interfaces: [{ glob: "far*" }], budget: { memoryMiB: 64 } });
    await using agent = await Agent.start(network, desk, config);
    await network.connect("near2", "far2");
    await agent.until("it is told", () => agent.told("raised", "CAPTURE_RING_FAILED") !== undefined);
    expect(detailOf(agent, "CAPTURE_RING_FAILED")).toContain(
      "far2 could not be made: 32 MiB asked for, and of the budget of 64 MiB the rings of other interfaces take 32 MiB",
    );
    expect((await agent.ready()).text).toContain("1 of 2 interfaces are watched");
    await agent.reload({ ...config, budget: { memoryMiB: 128 } });
    await agent.until("it is watched", isReady(agent));
    await agent.until("that is told", () => agent.told("cleared", "CAPTURE_RING_FAILED") !== undefined);
    expect(await agent.end()).toBe(0);
  });

  test("a ring larger than the memory that is left is refused when its interface comes, in the words of the start", async () => {
    await using network = await Network.create();
    await using driven = await Driven.start(network, {
      ports: [{ name: "later" }],
      wait: true,
      ring: { blockKiB: 65_536, blocks: 60_000, retireMs: 4 },
    });
    // Of one that is there already the capture says so at once, and keeps neither thread nor number of it.
    const threads = async (): Promise<number> => (await readdir(`/proc/${driven.pid}/task`)).length;
    const before = await threads();
    for (let i = 0; i < 300; i++)
      await expect(driven.add({ name: "far" })).rejects.toMatchObject({ code: "CAPTURE_RING_FAILED" });
    expect(await threads()).toBe(before);
    expect((await driven.figures()).ledger.map((row) => row.interface)).toEqual(["later"]);

    await network.connect("near2", "later");
    const refused = await driven.until((now) => port(now, "later").problem !== null);
    expect(port(refused, "later")).toMatchObject({
      state: "absent",
      ringBytes: 0,
      problem: {
        code: "CAPTURE_RING_FAILED",
        detail: expect.stringMatching(/^3840000 MiB asked for, and this machine has \d+ MiB left$/) as string,
      },
    });
    await network.in(network.sender, "ip", "link", "del", "near2");
    const gone = await driven.until((now) => port(now, "later").problem === null);
    expect(state("later", "absent")(gone)).toBe(true);
  });

  test("a bad filter at a reload: the old one stays, a condition has libpcap's words, and a good reload ends it", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const config = (filter: string) =>
      desk.config(network, { capture: { filter, ring: { blockKiB: 256, blocks: 64, retireMs: 4 } } });
    await using agent = await Agent.start(network, desk, config("ether proto 0x88e5"));
    const both = async (): Promise<number> => {
      const macsec = await network.send(...words("--packets 2000 --flows 20 --pps 20000 --size 200"));
      await network.send(...words("--packets 2000 --flows 20 --kind esp --pps 20000 --size 200"));
      return macsec.sent;
    };
    const reloads = (result: string): Promise<number> =>
      agent.metric(`tapline_process_reloads_total{result="${result}"}`);

    await agent.reload(config("udp prot 7"));
    await agent.until("it is refused", async () => (await reloads("refused")) === 1);
    await agent.until("it is a condition", () => agent.told("raised", "CONFIG_REFUSED") !== undefined);
    expect(agent.told("raised", "CONFIG_REFUSED")).toMatchObject({ severity: "warning" });
    expect(detailOf(agent, "CONFIG_REFUSED")).toMatch(/capture filter does not compile: .*syntax error/);
    const { conditions } = await agent.json<{ conditions: { code: string }[] }>("/api/v1/report");
    expect(conditions.map(({ code }) => code)).toEqual(["CONFIG_REFUSED"]);
    const sent = await both();
    await agent.until("the old filter stays", async () => (await seenOn(agent, "far")) === sent);

    // A file that is wrong otherwise is another condition, in its own words.
    await agent.reload({ ...config("udp"), captur: {} });
    await agent.until("the next one is told", () => String(detailOf(agent, "CONFIG_REFUSED")).includes("captur"));

    await agent.reload(config("ip proto 50"));
    await agent.until("it is taken", async () => (await reloads("applied")) === 1);
    await agent.until("no condition is left", async () => {
      const report = await agent.json<{ conditions: unknown[] }>("/api/v1/report");
      return report.conditions.length === 0;
    });
    expect(agent.told("cleared", "CONFIG_REFUSED")).toBeDefined();
    const more = await both();
    await agent.until("the new filter holds", async () => (await seenOn(agent, "far")) === sent + more);
    expect(await reloads("refused")).toBe(2);
    expect(await agent.end()).toBe(0);
  });
});
