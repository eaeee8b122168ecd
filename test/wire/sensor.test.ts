// The agent on a real wire: what was sent is in its ledger, its database, its metrics and its API, and it survives what happens to agents.
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { Agent, Desk } from "./agent.ts";
import { database, ledger } from "./books.ts";
import { words } from "./driven.ts";
import { Network } from "./network.ts";

const run = promisify(execFile);
const tapline = new URL("../../bin/tapline", import.meta.url).pathname;

interface Summary {
  readonly total_lost_packets: number;
  readonly total_gaps_detected: number;
  readonly total_flows: number;
}

describe("the sensor", { timeout: 60_000 }, () => {
  test("tells the same of what was sent by API, metrics, log and database", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using agent = await Agent.start(network, desk, desk.config(network));
    const sent = await network.send(...words("--packets 200000 --flows 2000 --loss 0.002 --pps 100000"));
    await agent.until("all is taken", async () => (await ledger(agent)).delivered === sent.sent);
    // A hole is lost when it has settled for two seconds.
    await agent.until("all gaps are told", async () => {
      const { total_gaps_detected } = await agent.json<Summary>("/api/v1/stats/summary");
      return total_gaps_detected === sent.gaps;
    });
    expect(await ledger(agent)).toMatchObject({
      seen: sent.sent,
      ring_drops: 0,
      tracked: sent.sent,
      residue: 0,
      live: { state: "watching" },
    });
    expect(await agent.json("/api/v1/stats/summary")).toMatchObject({
      total_flows: 2000,
      total_lost_packets: sent.skipped,
    });
    await agent.until(
      "the metrics have it",
      async () =>
        (await agent.metric('tapline_sensor_lost_packets_total{protocol="macsec",suspect="false"}')) === sent.skipped,
    );
    expect(await agent.metric('tapline_sensor_seen_packets_total{interface="far"}')).toBe(sent.sent);
    expect(await agent.metric('tapline_sensor_packets_total{protocol="macsec"}')).toBe(sent.sent);
    expect(await agent.metric('tapline_sensor_gaps_total{protocol="macsec",suspect="false"}')).toBe(sent.gaps);
    const report = await agent.json<{ lost: number; rung: string; conditions: unknown[] }>("/api/v1/report");
    expect(report).toMatchObject({
      lost: sent.skipped,
      gaps: sent.gaps,
      suspect_gaps: 0,
      rung: "none",
      conditions: [],
    });
    expect((await agent.json("/api/v1/pinning"))["policy"]).toBe("None");
    await agent.until("a line of statistics", () =>
      agent.log.some(({ message, received }) => message === "counted packets" && received === sent.sent),
    );
    expect(await agent.end()).toBe(0);
    expect(database(desk.database)).toEqual({
      sound: "ok", complete: 1, packets: sent.sent, flows: 2000, lost: sent.skipped, gaps: sent.gaps, suspect: 0, reasons: ["start"], seen: sent.sent,
    }); // biome-ignore format: one row
    expect(agent.log.filter(({ severity }) => severity === "error" || severity === "critical")).toEqual([]);
  });

  test("tells listeners of its stream each gap as it is found", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using agent = await Agent.start(network, desk, desk.config(network, { analysis: { settle: "200ms" } }));
    const listener = network.start(
      network.receiver,
      "curl",
      "-sN",
      "--max-time",
      "20",
      "http://127.0.0.1:3001/api/v1/stream?types=findings",
    );
    let text = "";
    listener.stdout?.setEncoding("utf8").on("data", (part: string) => (text += part));
    await agent.until("it listens", () => text.includes("retry:"));
    const sent = await network.send(...words("--packets 50000 --flows 100 --loss 0.01 --pps 50000"));
    const told = (): { first: number; size: number; flow: { protocol: string; sci: string } }[] =>
      [...text.matchAll(/^data: (.*)\n/gm)].flatMap(([, data]) => JSON.parse(data ?? "[]") as never[]);
    await agent.until("every gap is told", () => told().length === sent.gaps);
    expect(told().reduce((sum, { size }) => sum + size, 0)).toBe(sent.skipped);
    expect(told()[0]?.flow).toMatchObject({
      protocol: "macsec",
      sci: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
    });
    listener.kill();
  });

  test("a reload under traffic applies what it can, names the rest, and loses nothing", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const config = desk.config(network);
    await using agent = await Agent.start(network, desk, config);
    const sending = network.send(...words("--seconds 8 --flows 1000 --loss 0.001 --pps 150000"));
    const reloads = (result: string): Promise<number> =>
      agent.metric(`tapline_process_reloads_total{result="${result}"}`);
    for (let i = 1; i <= 60; i++) {
      await agent.reload({
        ...config,
        capture: { ...(config["capture"] as object), filter: i % 2 === 0 ? "" : "ether proto 0x88e5" },
        log: { format: "json", level: i % 3 === 0 ? "info" : "debug" },
        analysis: { settle: `${2000 + i}ms` },
      });
      await agent.until(`reload ${i}`, async () => (await reloads("applied")) === i);
    }
    expect(await reloads("refused")).toBe(0);
    const sent = await sending;
    await agent.until("all is taken", async () => (await ledger(agent)).delivered === sent.sent);
    expect(await ledger(agent)).toMatchObject({ seen: sent.sent, ring_drops: 0, residue: 0 });
    await agent.reload({ ...config, capture: { ...(config["capture"] as object), threads: 2 } });
    await agent.until("what needs a restart is named", () => agent.stderr.includes("capture.threads"));
    await agent.reload({ ...config, capture: { filter: "udp prot 7" } });
    await agent.until("a bad filter is refused", () => agent.stderr.includes("FILTER_BPF_INVALID"));
    expect(await agent.end()).toBe(0);
    const found = database(desk.database);
    expect(found).toMatchObject({ lost: sent.skipped, gaps: sent.gaps });
    // Those across a change of the filter: it might have kept their numbers out.
    expect(found.suspect).toBeLessThan(sent.gaps / 2);
  });

  test("an interface that is not there is waited for, said, and watched when it comes", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const config = desk.config(network, { interfaces: [{ glob: "far*" }, { name: "late" }] });
    await using agent = await Agent.launch(network, desk, config);
    await agent.until("it says so", () =>
      agent.log.some(({ message, code }) => message === "raised a condition" && code === "INTERFACE_NOT_FOUND"),
    );
    expect((await agent.ask("/readyz", 9464)).status).toBe(503);
    await network.in(network.receiver, "ip", "link", "add", "late", "type", "veth", "peer", "name", "other");
    for (const link of ["late", "other"]) await network.in(network.receiver, "ip", "link", "set", link, "up");
    await agent.until("it is ready", async () => (await agent.ask("/readyz", 9464)).status === 200);
    await agent.until("the condition is over", () =>
      agent.log.some(({ message, code }) => message === "cleared a condition" && code === "INTERFACE_NOT_FOUND"),
    );
    await network.in(network.receiver, "ip", "link", "set", network.far, "down");
    await agent.until("down is a condition", async () =>
      (await agent.ask("/api/v1/report")).text.includes("INTERFACE_DOWN"),
    );
    expect(await agent.end()).toBe(0);
    expect(database(desk.database).reasons).toEqual(expect.arrayContaining(["start"]));
  });

  test.each([
    [
      "a key that does not exist, with its line and the right one",
      { capture: { ring: { retireMS: 4 } } },
      /sensor\.yaml:\d+:\d+: capture\.ring\.retireMS: .*retireMs/,
    ],
    [
      "a filter that does not compile, in libpcap's words",
      { capture: { filter: "udp prot 7" } },
      /syntax error.*FILTER_BPF_INVALID/s,
    ],
    [
      "a ring larger than memory",
      { capture: { ring: { blockKiB: 65536, blocks: 60000 } }, budget: { memoryMiB: 4194304 } },
      /CAPTURE_RING_FAILED|OUT_OF_MEMORY/,
    ],
  ])("refuses to start with %s", async (_, change, words) => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using agent = await Agent.launch(network, desk, desk.config(network, change));
    expect(await agent.ended()).toBe(1);
    expect(agent.stderr).toMatch(words);
  });

  test("--require ends it when a named interface is not there", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using agent = await Agent.launch(
      network,
      desk,
      desk.config(network, { interfaces: [{ name: "nowhere" }] }),
      "--require",
    );
    expect(await agent.ended()).toBe(1);
    expect(agent.stderr).toMatch(/there is no interface nowhere.*INTERFACE_NOT_FOUND/s);
  });

  test("a second agent on the same database is refused, and the first goes on", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using first = await Agent.start(network, desk, desk.config(network));
    await using second = await Agent.launch(
      network,
      desk,
      desk.config(network, { api: { enabled: false }, metrics: { port: 9999 } }),
    );
    expect(await second.ended()).toBe(1);
    expect(second.stderr).toMatch(/STORE_IN_USE|PINNING_STATE_IN_USE/);
    expect((await first.ask("/healthz")).status).toBe(200);
  });

  test("without its capabilities it names each one that is missing", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await using agent = await Agent.launchAs(
      ["setpriv", "--bounding-set=-net_raw,-ipc_lock,-bpf,-net_admin,-sys_admin"],
      network,
      desk,
      desk.config(network),
    );
    expect(await agent.ended()).toBe(1);
    for (const name of ["CAP_NET_RAW", "CAP_BPF", "CAP_IPC_LOCK"]) expect(agent.stderr).toContain(name);
  });

  test("what its own interface's outages and its own changed filter kept from it is suspect, never the network's", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const config = desk.config(network, { analysis: { settle: "200ms" } });
    await using agent = await Agent.start(network, desk, config);
    const sending = network.send(...words("--seconds 6 --flows 20 --pps 50000 --size 200"));
    await sleep(500);
    for (let i = 0; i < 3; i++) {
      await network.in(network.receiver, "ip", "link", "set", network.far, "down");
      await sleep(300);
      await network.in(network.receiver, "ip", "link", "set", network.far, "up");
      await sleep(400);
    }
    await agent.reload({ ...config, capture: { ...(config["capture"] as object), filter: "not ether proto 0x88e5" } });
    await sleep(1000);
    await agent.reload(config);
    const sent = await sending;
    await sleep(1000);
    // An outage that goes on is told, too.
    await network.in(network.receiver, "ip", "link", "set", network.far, "down");
    await agent.until(
      "it counts",
      async () => (await agent.metric('tapline_sensor_blind_seconds_total{interface="far",reason="down"}')) > 2.5,
    );
    expect(await agent.end()).toBe(0);
    const found = database(desk.database);
    expect(found.lost).toBeGreaterThan(0.5 * 50_000);
    expect([found.gaps, sent.skipped]).toEqual([found.suspect, 0]);
    expect(found.reasons).toEqual(["down", "start"]);
  });

  test("kill -9 under traffic: the database is sound and holds all but the last two seconds; the next start goes on from there", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    const config = desk.config(network, { analysis: { settle: "200ms" } });
    const agent = await Agent.start(network, desk, config);
    const pps = 20_000;
    const sending = network.send(...words(`--seconds 8 --flows 500 --loss 0.002 --pps ${pps}`));
    await sleep(5000);
    const { delivered } = await ledger(agent);
    await agent.end("SIGKILL");
    const left = database(desk.database);
    expect(left.sound).toBe("ok");
    expect(left.seen).toBeGreaterThan(delivered - 2 * pps);
    const shown = JSON.parse((await run(tapline, ["flows", desk.database, "--limit", "1000", "--json"])).stdout) as {
      flows: { packets_received: number; ended: string }[];
    };
    expect(shown.flows.map(({ ended }) => ended)).toEqual(Array.from({ length: 500 }, () => "active"));
    const packets = shown.flows.reduce((sum, flow) => sum + flow.packets_received, 0);
    expect(packets).toBeGreaterThan(delivered - 2 * pps);
    await using next = await Agent.start(network, desk, config);
    await sending;
    expect(await next.end()).toBe(0);
    const db = new Database(desk.database, { readonly: true });
    const interrupted = db
      .prepare("SELECT count(*) AS flows, sum(packets) AS packets FROM flows WHERE run = 1 AND ended = 4")
      .get();
    const blind = db.prepare("SELECT reason FROM blind WHERE run = 2 ORDER BY since_ns").pluck().all();
    db.close();
    expect(interrupted).toEqual({ flows: 500, packets });
    expect(blind).toContain("restart");
  });

  test.each(["started", "opened the database", "began to answer"])(
    "SIGTERM right after %j is a clean end",
    async (said) => {
      await using network = await Network.create();
      await using desk = await Desk.create();
      await using agent = await Agent.launch(network, desk, desk.config(network));
      await agent.until(said, () => agent.log.some(({ message }) => message === said));
      expect(await agent.ended("SIGTERM")).toBe(0);
      expect(agent.log.at(-1)).toMatchObject({ message: "stopped", clean: true });
    },
  );

  test("traces of start-up, queries and the last flush reach a collector", async () => {
    await using network = await Network.create();
    await using desk = await Desk.create();
    await network.in(network.receiver, "ip", "link", "set", "lo", "up");
    const collector = network.start(
      network.receiver,
      process.execPath,
      "-e",
      `require("http").createServer((q, s) => { let t = ""; q.on("data", (d) => t += d).on("end", () => { console.log(t); s.writeHead(200, {"content-type": "application/json"}).end("{}"); }); }).listen(4318, "127.0.0.1", () => console.log("ready"))`,
    );
    let spans = "";
    collector.stdout?.setEncoding("latin1").on("data", (part: string) => (spans += part));
    try {
      const config = desk.config(network, { export: { otlp: { endpoint: "http://127.0.0.1:4318" } } });
      await using agent = await Agent.start(network, desk, config);
      await agent.json("/api/v1/runs");
      expect(await agent.end()).toBe(0);
      for (const name of ["start", "open the store", "ask the database", "flush the store", "tapline-sensor"])
        expect(spans).toContain(name);
    } finally {
      collector.kill();
    }
  });
});
