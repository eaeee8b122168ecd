// NATS away from a running agent: the capture loses nothing, findings arrive afterwards exactly once, and what did not is counted and told.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Agent, type Config, Desk } from "./agent.ts";
import { words } from "./driven.ts";
import { Nats } from "./nats.ts";
import { Network } from "./network.ts";

const quick = { analysis: { settle: "200ms" } };
const outcome = (agent: Agent, name: string): Promise<number> =>
  agent.metric(`tapline_bus_findings_total{outcome="${name}"}`);
/** Conditions are findings, too. */
const conditionsOf = (agent: Agent): number =>
  agent.log.filter(({ message }) => /^(?:raised|cleared) a condition$/.test(message)).length;
const connected = (agent: Agent): Promise<void> =>
  agent.until("it is connected", async () => (await agent.metric("tapline_bus_connected")) === 1, 20);

describe("an agent without NATS", { timeout: 120_000 }, () => {
  test("for 30 s under traffic: no packet is lost, all findings arrive afterwards, each once; of a buffer too small the rest is counted exactly", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using other = await Desk.create();
    await using nats = new Nats(network, desk);
    await nats.up();
    const config = (of: Desk, more: Config): Config => of.config(network, { ...quick, ...more });
    await using roomy = await Agent.start(network, desk, config(desk, { name: "roomy", nats: { url: Nats.url } }));
    await using narrow = await Agent.start(
      network,
      other,
      config(other, {
        name: "narrow",
        api: { enabled: false },
        metrics: { port: 9465 },
        nats: { url: Nats.url, buffer: { findings: 300 } },
      }),
    );
    const agents = [roomy, narrow];
    for (const agent of agents) await connected(agent);
    const before = await network.send(...words("--packets 20000 --flows 200 --loss 0.01 --pps 50000"));
    for (const agent of agents)
      await agent.until("findings arrive", async () => (await outcome(agent, "acknowledged")) >= before.gaps);

    const sending = network.send(...words("--seconds 34 --flows 200 --kind esp --loss 0.002 --pps 20000"));
    await sleep(1500);
    // Hung first: what is on its way then is never acknowledged.
    nats.freeze();
    await sleep(1000);
    await nats.kill();
    await sleep(29_000);
    for (const agent of agents) expect(await agent.metric("tapline_bus_connected")).toBe(0);
    await nats.up();
    const away = await sending;
    expect(away.gaps).toBeGreaterThan(600);
    const gaps = before.gaps + away.gaps;
    const total = before.sent + away.sent;
    for (const agent of agents) {
      await connected(agent);
      const seen = (): Promise<number> => agent.metric('tapline_sensor_seen_packets_total{interface="far"}');
      await agent.until("all is seen", async () => (await seen()) === total);
      await agent.until("all is told", async () => (await outcome(agent, "accepted")) >= gaps + conditionsOf(agent));
      await agent.until("all arrives", async () => (await agent.metric("tapline_bus_waiting_findings")) === 0, 20);
      expect(await agent.metric('tapline_sensor_ring_dropped_packets_total{interface="far"}')).toBe(0);
      expect(await outcome(agent, "accepted")).toBe(gaps + conditionsOf(agent));
    }
    const batches = await nats.batches();
    const storedBy = (node: string) => batches.filter((batch) => batch.node === node);
    const gapsOf = (node: string): string[] =>
      storedBy(node).flatMap(({ findings }) =>
        findings.flatMap((one) => (one.kind === "gap" ? [`${one.flow.flow_id} ${one.first}`] : [])),
      );
    for (const node of ["roomy", "narrow"]) expect(new Set(gapsOf(node)).size).toBe(gapsOf(node).length);
    expect(gapsOf("roomy")).toHaveLength(gaps);
    expect(await outcome(roomy, "overflowed")).toBe(0);
    // Everything that is not in the stream overflowed.
    const stored = storedBy("narrow").flatMap(({ findings }) => findings).length;
    const overflowed = gaps + conditionsOf(narrow) - stored;
    expect(overflowed).toBeGreaterThan(away.gaps / 2);
    expect(await outcome(narrow, "overflowed")).toBe(overflowed);
    expect(await outcome(narrow, "acknowledged")).toBe(stored);
    expect(storedBy("narrow").at(-1)?.overflowed).toBe(overflowed);
    for (const agent of agents) expect(await agent.end()).toBe(0);
  });

  test("ended while NATS is away it says how many findings did not arrive, why, and where they are", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using nats = new Nats(network, desk);
    await nats.up();
    await using agent = await Agent.start(network, desk, desk.config(network, { ...quick, nats: { url: Nats.url } }));
    await connected(agent);
    await nats.kill();
    await agent.until("it is told", () => agent.told("raised", "BUS_UNREACHABLE") !== undefined);
    const { gaps } = await network.send(...words("--packets 20000 --flows 200 --loss 0.01 --pps 50000"));
    await agent.until("all is told", async () => (await outcome(agent, "accepted")) >= gaps + conditionsOf(agent));
    const waiting = await agent.metric("tapline_bus_waiting_findings");
    expect(await agent.ended("SIGTERM")).toBe(0);
    const left = agent.log.find(({ message }) => message === "left findings undelivered");
    expect(left).toMatchObject({
      severity: "error",
      facility: "bus",
      error: {
        code: "BUS_UNDELIVERED",
        message: expect.stringMatching(
          new RegExp(`^${waiting} findings were not delivered .*cannot be reached`),
        ) as string,
        hint: expect.stringContaining(`tapline gaps ${desk.database}`) as string,
      },
    });
  });
});
