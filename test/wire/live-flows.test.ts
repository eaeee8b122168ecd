// Active flows of a capture that runs, and what is left of one that was killed, against the sender's own account.
import { type ChildProcess, execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { parseFilter } from "#domain/filter.ts";
import { flowEnds } from "#domain/vocabulary.ts";
import type { FlowPage, FlowQuery } from "#store/flow-pages.ts";
import { StoreReader } from "#store/reader.ts";
import { StoreWriter } from "#store/writer.ts";
import { startCapture } from "./capture.ts";
import { Network } from "./network.ts";

const run = promisify(execFile);
const tapline = new URL("../../bin/tapline", import.meta.url).pathname;
const [active, interrupted] = [flowEnds.indexOf("active"), flowEnds.indexOf("interrupted")];
/** A visit of each flow a second, and half of that for what lies in the ring and in the rounding. */
const visited = 1500;

class Capturing implements AsyncDisposable {
  readonly network: Network;
  readonly folder: string;
  readonly child: ChildProcess;
  private constructor(network: Network, folder: string, child: ChildProcess) {
    this.network = network;
    this.folder = folder;
    this.child = child;
  }

  static async start(...options: string[]): Promise<Capturing> {
    const folder = await mkdtemp(join(tmpdir(), "tapline-wire-"));
    const network = await Network.create();
    const { child } = await startCapture([], network, join(folder, "x.db"), ...options);
    return new Capturing(network, folder, child);
  }

  get database(): string {
    return join(this.folder, "x.db");
  }
  get liveFiles(): string[] {
    return readdirSync(this.folder).filter((name) => name.includes("-live-"));
  }
  async end(signal: NodeJS.Signals): Promise<void> {
    const exit = once(this.child, "exit");
    this.child.kill(signal);
    await exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.end("SIGKILL");
    await this.network[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function sums(reader: StoreReader): Promise<{ flows: number; packets: number; lost: number; gaps: number }> {
  const rows = await reader.ask("totals", [1]);
  const sum = (name: "flows" | "packets" | "lost" | "gaps"): number => rows.reduce((all, row) => all + row[name], 0);
  for (const row of rows) expect(row.expected - row.unique_packets - row.lost - row.pending).toBe(0);
  return { flows: sum("flows"), packets: sum("packets"), lost: sum("lost"), gaps: sum("gaps") };
}

describe("a capture that runs", { timeout: 60_000 }, () => {
  test("shows its active flows within a second and a half, to the packet; at its end the same flows have rows and the files are gone", async () => {
    await using capturing = await Capturing.start("--threads", "2");
    const sent = await capturing.network.send(
      ..."--packets 100000 --flows 3000 --kind mixed --loss 0.01 --size 300 --pps 100000".split(" "),
    );
    await sleep(visited);
    expect(capturing.liveFiles).toHaveLength(2);
    const reader = await StoreReader.open(capturing.database);
    expect(await sums(reader)).toMatchObject({ flows: sent.flows, packets: sent.sent });
    await sleep(4500); // the last of what is missing is settled, visited, and read
    expect(await sums(reader)).toEqual({ flows: sent.flows, packets: sent.sent, lost: sent.skipped, gaps: sent.gaps });
    const query = {
      runs: [1],
      filter: parseFilter("end=active"),
      sort: { by: "packets", descending: true },
      limit: 100,
    } as const;
    const page = await reader.ask("flowPage", query);
    expect(page.total).toBe(sent.flows);
    expect(page.flows.every((flow) => flow.ended === active)).toBe(true);
    const [most] = page.flows;
    expect((await reader.ask("flow", 1, most?.packet ?? 0))?.flow).toEqual(most);

    const { stdout } = await run(tapline, ["flows", capturing.database, "lost>0 end=active", "--limit", "2"]);
    expect(stdout.split("\n")[0]).toMatch(/end\s*$/);
    expect(stdout.match(/ active\s*$/gm)).toHaveLength(2);

    await capturing.end("SIGINT");
    expect(capturing.liveFiles).toEqual([]);
    await sleep(1000);
    expect(await sums(reader)).toEqual({ flows: sent.flows, packets: sent.sent, lost: sent.skipped, gaps: sent.gaps });
    expect((await reader.ask("flowPage", query)).total).toBe(0);
    await reader.close();
  });

  test("shows each flow once while flows end and begin under it", async () => {
    await using capturing = await Capturing.start("--idle", "1", "--settle", "0.5");
    const reader = await StoreReader.open(capturing.database);
    let flows = 0;
    let packets = 0;
    const sending = (async (): Promise<void> => {
      // The second batch of flows is the first again, after it has ended.
      for (let i = 0; i < 4; i++) {
        const sent = await capturing.network.send(..."--packets 20000 --flows 2000 --size 200 --pps 40000".split(" "));
        flows += sent.flows;
        packets += sent.sent;
        await sleep(1600);
      }
    })();
    let over = false;
    const finished = sending.finally(() => (over = true));
    let looks = 0;
    let most = 0;
    while (!over) {
      const names = new Set<string>();
      let rows = 0;
      for (let after: FlowQuery["after"]; ; ) {
        const page: FlowPage = await reader.ask("flowPage", {
          runs: [1], filter: [], sort: { by: "packet", descending: false }, limit: 1000, ...(after ? { after } : {}),
        }); // biome-ignore format: one question
        rows += page.flows.length;
        for (const flow of page.flows) names.add(`${flow.run}-${flow.packet}`);
        if (!page.next) break;
        after = page.next;
      }
      expect(rows).toBe(names.size);
      expect(rows).toBeGreaterThanOrEqual(most); // none vanishes between its file and its row
      most = rows;
      looks++;
      await sleep(100);
    }
    await finished;
    expect(looks).toBeGreaterThan(20);
    await capturing.end("SIGINT");
    await sleep(1000);
    expect(await sums(reader)).toMatchObject({ flows, packets });
    await reader.close();
  });
});

test("a live capture links rekeys while it runs, also over threads: as many as the same packets have in a file", {
  timeout: 60_000,
}, async () => {
  await using capturing = await Capturing.start("--threads", "4", "--ring", "8");
  const pcap = join(capturing.folder, "made.pcap");
  const generate = "pcap generate --packets 30k --flows 300 --protocol mixed --rekey 40 --pps 50000 --output".split(
    " ",
  );
  await run(tapline, [...generate, pcap]);
  await run(tapline, ["analyze", pcap, join(capturing.folder, "file.db")]);
  await capturing.network.in(
    capturing.network.sender,
    "tcpreplay",
    "-q",
    "--pps",
    "50000",
    "-i",
    capturing.network.near,
    pcap,
  );
  await sleep(1000);
  const links = (path: string): { links: number; flows: number } => {
    const db = new Database(path, { readonly: true });
    const row = db.prepare("SELECT count(*) AS links, count(DISTINCT packet) AS flows FROM links WHERE kind = 0").get();
    db.close();
    return row as { links: number; flows: number };
  };
  const filed = links(join(capturing.folder, "file.db"));
  expect(filed.links).toBeGreaterThan(300);
  expect(links(capturing.database)).toEqual(filed);
});

describe("a capture that is killed", { timeout: 60_000 }, () => {
  test("leaves everything but the last two seconds: to readers at once, and in rows when the next writer comes", async () => {
    await using capturing = await Capturing.start("--threads", "2", "--idle", "3");
    // Ended by then, active and silent, and active to the last.
    const early = await capturing.network.send(
      ..."--packets 30000 --flows 1000 --kind esp --loss 0.01 --pps 100000".split(" "),
    );
    await sleep(6000);
    const silent = await capturing.network.send(
      ..."--packets 30000 --flows 1500 --kind macsec --loss 0.01 --pps 100000".split(" "),
    );
    await sleep(2000);
    const loud = capturing.network.send(..."--seconds 5 --flows 500 --kind tcp --pps 20000".split(" "));
    await sleep(900);
    await capturing.end("SIGKILL");
    const killed = 900;
    await loud;
    expect(capturing.liveFiles).toHaveLength(2);

    const known = { flows: early.flows + silent.flows, packets: early.sent + silent.sent };
    const reader = await StoreReader.open(capturing.database);
    const before = await sums(reader);
    expect(before.packets).toBeGreaterThanOrEqual(known.packets);
    expect(before.packets).toBeLessThanOrEqual(known.packets + (20_000 * (killed + 500)) / 1000);
    const protocols = (await reader.ask("totals", [1])).map(({ protocol, packets, lost }) => ({
      protocol,
      packets,
      lost,
    }));
    expect(protocols).toContainEqual({ protocol: 1, packets: early.sent, lost: early.skipped });
    expect(protocols).toContainEqual(expect.objectContaining({ protocol: 0, packets: silent.sent }));

    await (await StoreWriter.open(capturing.database)).close();
    expect(capturing.liveFiles).toEqual([]);
    await sleep(1100);
    expect(await sums(reader)).toEqual(before);
    const page = await reader.ask("flowPage", {
      runs: [1], filter: parseFilter("end=interrupted"), sort: { by: "packet", descending: false }, limit: 10,
    }); // biome-ignore format: one question
    expect(page.total).toBeGreaterThanOrEqual(silent.flows);
    expect(page.flows.every((flow) => flow.ended === interrupted)).toBe(true);
    const row = await reader.ask("run", 1);
    expect(row).toMatchObject({ complete: 0, flows: before.flows });
    expect(row?.finished_ns).not.toBeNull();
    expect(existsSync(capturing.database)).toBe(true);
    await reader.close();
  });
});
