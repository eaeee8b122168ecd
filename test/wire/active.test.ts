// An agent's active flows: seen while it runs, there after it was killed, brought in by the next one, against the sender's own account.
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { serve } from "#api/server.ts";
import { Agent, Desk } from "./agent.ts";
import { Network } from "./network.ts";

const run = promisify(execFile);
const words = (text: string): string[] => text.split(" ");
const tapline = new URL("../../bin/tapline", import.meta.url).pathname;

interface Summary {
  readonly total_flows: number;
  readonly total_packets_received: number;
  readonly total_lost_packets: number;
}
interface Flows {
  readonly total: number;
  readonly flows: readonly { readonly flow_id: string; readonly ended: string; readonly packets_received: number }[];
}
interface Blind {
  readonly blind: readonly { readonly reason: string; readonly since: string; readonly until: string }[];
}
const summaryPath = "/api/v1/stats/summary";
const liveFiles = (desk: Desk): string[] => readdirSync(desk.folder).filter((name) => name.includes("-live-"));
const flowsPath = (filter: string): string => `/api/v1/flows?filter=${encodeURIComponent(filter)}`;
const delivered = async (agent: Agent): Promise<number> => {
  const { interfaces } = await agent.json<{ interfaces: { delivered: number }[] }>("/api/v1/ledger");
  return interfaces.reduce((sum, row) => sum + row.delivered, 0);
};

describe("active flows of an agent", { timeout: 60_000 }, () => {
  test("show within a second and a half, to the packet: in the sums, the list, and each by its name", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using agent = await Agent.start(network, desk, desk.config(network));
    for (const [i, kind] of ["esp", "macsec", "tcp"].entries()) {
      const round = i + 1;
      expect((await agent.json<Flows>(flowsPath("end=active"))).total).toBe(1000 * (round - 1));
      const sent = await network.send(...words(`--packets 20000 --flows 1000 --kind ${kind} --pps 100000`));
      await sleep(1400);
      const flows = await agent.json<Flows>(flowsPath("end=active"));
      expect(flows.total).toBe(1000 * round);
      expect(await agent.json<Summary>(summaryPath)).toMatchObject({
        total_flows: 1000 * round,
        total_packets_received: sent.sent * round,
      });
      const [one] = flows.flows;
      expect(await agent.json(`/api/v1/flows/${one?.flow_id}`)).toMatchObject({
        ended: "active",
        packets_received: one?.packets_received,
      });
    }
    expect(await agent.metric("tapline_sensor_live_write_errors_total")).toBe(0);
    expect(liveFiles(desk)).toHaveLength(1);
    expect(await agent.end()).toBe(0);
    expect(liveFiles(desk)).toEqual([]);
  });

  test("of one that is killed under traffic: all but the last two seconds, and the next one brings them in", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const config = desk.config(network, { analysis: { idleTimeout: "4s" } });
    let killed = 0;
    let least = 0;
    let rate = 0;
    const pps = 50_000;
    await using agent = await Agent.start(network, desk, config);
    const early = await network.send(...words("--packets 30000 --flows 1000 --kind esp --loss 0.01 --pps 100000"));
    await sleep(6000); // they have ended
    const began = performance.now();
    const sending = network.send(...words(`--seconds 6 --flows 500 --kind tcp --pps ${pps}`));
    await sleep(2500);
    least = await delivered(agent);
    await sleep(1900);
    await agent.end("SIGKILL");
    killed = performance.now() - began;
    const sent = (await sending).sent;
    rate = (sent / 6) * (killed / 1000 - 2.5); // half a second for the sender's start

    const db = new Database(desk.database, { readonly: true });
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    db.close();
    const server = await serve({ db: desk.database, port: 0 });
    const ask = async <T>(path: string): Promise<T> => (await (await fetch(server.url + path)).json()) as T;
    const before = await ask<Summary>(summaryPath);
    expect(least).toBeGreaterThan(early.sent + pps);
    expect(before.total_packets_received).toBeGreaterThanOrEqual(least);
    expect(before.total_packets_received).toBeGreaterThanOrEqual(early.sent + rate);
    expect(before.total_packets_received).toBeLessThan(early.sent + sent);
    expect(before).toMatchObject({ total_flows: 1500, total_lost_packets: early.skipped });
    const { stdout } = await run(tapline, ["flows", desk.database, "proto=tcp", "--limit", "1000", "--json"]);
    const listed = (JSON.parse(stdout) as Flows).flows;
    expect(listed).toHaveLength(500);
    expect(listed.reduce((sum, { packets_received }) => sum + packets_received, 0)).toBe(
      before.total_packets_received - early.sent,
    );

    const files = liveFiles(desk);
    expect(files).toHaveLength(1);
    await using next = await Agent.start(network, desk, config);
    expect(liveFiles(desk)).not.toEqual(expect.arrayContaining(files));
    expect(await next.json<Summary>(`${summaryPath}?run=1`)).toMatchObject(before);
    expect((await next.json<Flows>(flowsPath("run=1 end=interrupted"))).total).toBe(500);
    expect((await next.json<Flows>(flowsPath("run=1 end=active"))).total).toBe(0);
    const { blind } = await next.json<Blind>("/api/v1/blind");
    expect(blind.map(({ reason }) => reason)).toContain("restart");
    await sleep(1100);
    expect(await ask<Summary>(`${summaryPath}?run=1`)).toMatchObject(before);
    await server.close();
    expect(await next.end()).toBe(0);
  });

  test("of an interface that is taken out end, and their file goes when they are stored; taken in again it has a new one", async () => {
    await using network = await Network.create();
    await network.connect("near2", "far2");
    await using desk = await Desk.create();
    const both = desk.config(network, { interfaces: [{ name: "far" }, { name: "far2" }] });
    const one = desk.config(network);
    await using agent = await Agent.start(network, desk, both);
    const first = await network.send(...words("--packets 10000 --flows 100 --kind esp --pps 100000"));
    const second = await network.sendOn("near2", ...words("--packets 20000 --flows 200 --kind tcp --pps 100000"));
    await sleep(1400);
    expect(liveFiles(desk)).toHaveLength(2);
    expect((await agent.json<Flows>(flowsPath("end=active"))).total).toBe(300);

    await agent.reload(one);
    await agent.until("the file is gone", () => liveFiles(desk).length === 1);
    await sleep(1100);
    expect((await agent.json<Flows>(flowsPath("end=active"))).total).toBe(100);
    expect((await agent.json<Flows>(flowsPath("end=capture_end"))).total).toBe(200);
    const left = liveFiles(desk);

    await agent.reload(both);
    await agent.until("it is watched again", async () => (await agent.ask("/api/v1/ledger")).text.match(/"state":"watching"/g)?.length === 2); // biome-ignore format: one condition
    const third = await network.sendOn("near2", ...words("--packets 20000 --flows 200 --kind tcp --pps 100000"));
    await sleep(1400);
    expect(liveFiles(desk)).toHaveLength(2);
    expect(liveFiles(desk)).toEqual(expect.arrayContaining(left));
    expect((await agent.json<Flows>(flowsPath("end=active"))).total).toBe(300);
    const packets = first.sent + second.sent + third.sent;
    expect(await agent.json<Summary>(summaryPath)).toMatchObject({ total_flows: 500, total_packets_received: packets });
    expect(await agent.end()).toBe(0);
    expect(liveFiles(desk)).toEqual([]);
  });
});
