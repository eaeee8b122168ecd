// What a run that goes on tells, and what one leaves behind that ended without a word.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AnalysisSummary } from "#domain/analysis.ts";
import { flowBatch, madeSummary } from "./made-records.ts";
import { openForReading } from "./open.ts";
import { StoreReader } from "./reader.ts";
import { StoreWriter } from "./writer.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tapline-runs-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = (): string => join(folder, `${++files}.db`);

const t0 = 1_790_000_000_000_000_000n;
const second = 1_000_000_000n;
const seen = (packets: number, arp: number, ...more: string[]): AnalysisSummary => {
  const [port] = madeSummary().ledger;
  if (!port) throw new Error("madeSummary has an interface");
  const ports = ["eth0", ...more].map((name) => ({
    ...port,
    interface: name,
    seen: packets,
    untracked: { arp, ike: 3 },
  }));
  return madeSummary({ format: "live", packets, ledger: ports });
};

test("checkpoints bring the run's row and ledger up to date in their place; the end closes it", async () => {
  const path = fresh();
  const writer = await StoreWriter.open(path);
  const reader = await StoreReader.open(path);
  await writer.beginRun({ source: "eth0", options: {} });
  for (const [packets, arp, ports] of [
    [10, 1, []],
    [20, 1, ["eth1"]],
    [30, 4, ["eth1"]],
  ] as const) {
    await writer.checkpoint(seen(packets, arp, ...ports));
    const [run] = await reader.ask("runs", 1, null);
    expect(run).toMatchObject({ packets, complete: 0, finished_ns: null });
    expect(BigInt(run?.checkpoint_ns ?? 0)).toBeGreaterThan(BigInt(Date.now() - 60_000) * 1_000_000n);
    const ledger = await reader.ask("ledger", [1]);
    expect(ledger.map(({ interface: name, seen: count }) => [name, count])).toEqual(["eth0", ...ports].map((name) => [name, packets])); // biome-ignore format: pairs
    expect(ledger[0]?.reasons).toContainEqual({ kind: "untracked", reason: "arp", packets: arp });
    expect(ledger[0]?.reasons).toHaveLength(3);
  }
  await writer.finishRun(seen(40, 4, "eth1"));
  expect((await reader.ask("runs", 1, null))[0]).toMatchObject({
    packets: 40,
    complete: 1,
    finished_ns: expect.any(String),
  });
  expect(await reader.ask("ledger", [1])).toHaveLength(2);
  await reader.close();
  await writer.close();
});

test("the time between two runs of the same interfaces is kept as blind, from the last that is known of the first", async () => {
  const path = fresh();
  const live = async (source: string, startedNs: bigint, work: (writer: StoreWriter) => Promise<void>) => {
    const writer = await StoreWriter.open(path);
    await writer.beginRun({ source, options: {}, startedNs, interfaces: source.split(",") });
    await work(writer);
    await writer.close();
  };
  const later = (): bigint => BigInt(Date.now()) * 1_000_000n + 100n * second;
  await live("eth0,eth1", t0, async () => {}); // killed before its first checkpoint
  await live("eth0,eth1", t0 + 5n * second, (writer) => writer.checkpoint(seen(1, 1))); // killed after it
  const third = later();
  await live("eth0,eth1", third, (writer) => writer.finishRun(seen(1, 1)));
  await live("eth0,eth1", t0, async () => {}); // the clock was set back
  await live("eth7", later(), async () => {}); // something else
  const db = openForReading(path);
  const row = db.prepare("SELECT run, interface, since_ns, until_ns, reason FROM blind ORDER BY run, interface").safeIntegers().raw().all(); // biome-ignore format: one query
  const checkpoint = db.prepare("SELECT checkpoint_ns FROM runs WHERE run = 2").safeIntegers().pluck().get();
  expect(row).toEqual([
    [2n, "eth0", t0, t0 + 5n * second, "restart"],
    [2n, "eth1", t0, t0 + 5n * second, "restart"],
    [3n, "eth0", checkpoint, third, "restart"],
    [3n, "eth1", checkpoint, third, "restart"],
  ]);
  db.close();
  // A capture that is analyzed twice was not blind in between.
  for (let run = 0; run < 2; run++) {
    const writer = await StoreWriter.open(path);
    const number = await writer.beginRun({ source: "a.pcap", options: {}, startedNs: later() + BigInt(run) });
    const reader = await StoreReader.open(path);
    expect(await reader.ask("blinds", [number], null, 10)).toEqual([]);
    await reader.close();
    await writer.close();
  }
});

test("a blind time that goes on is one row that grows; all are told in order and in pages", async () => {
  const path = fresh();
  const writer = await StoreWriter.open(path);
  await writer.beginRun({ source: "eth0", options: {} });
  const down = { interface: "eth0", sinceNs: t0, reason: "down" } as const;
  await writer.blind([{ ...down, untilNs: t0 + 5n }]);
  await writer.blind([
    { ...down, untilNs: t0 + 9n },
    { ...down, untilNs: t0 + 7n },
  ]);
  await writer.blind([
    { interface: "eth1", sinceNs: t0, untilNs: t0 + 1n, reason: "ring_full" },
    { interface: "eth0", sinceNs: t0 - 3n, untilNs: t0, reason: "start" },
  ]);
  const reader = await StoreReader.open(path);
  const all = await reader.ask("blinds", [1], null, 10);
  expect(all.map(({ interface: name, since_ns, until_ns, reason }) => [name, since_ns, until_ns, reason])).toEqual([
    ["eth0", String(t0 - 3n), String(t0), "start"],
    ["eth0", String(t0), String(t0 + 9n), "down"],
    ["eth1", String(t0), String(t0 + 1n), "ring_full"],
  ]);
  const paged: typeof all = [];
  for (let page = all.slice(0, 1); page.length > 0; paged.push(...page))
    page = await reader.ask("blinds", [1], paged.at(-1) ?? null, 1);
  expect(paged).toEqual(all);
  await reader.close();
  await writer.close();
});

test("killed at any moment, a sensor leaves a sound database with everything that was stored", async () => {
  const path = fresh();
  const program = join(folder, "sensor.mts");
  const here = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
  writeFileSync(
    program,
    `import { writeSync } from "node:fs";
     import { StoreWriter } from ${here("./writer.ts")};
     import { flowBatch, gapBatch, madeSummary } from ${here("./made-records.ts")};
     const writer = await StoreWriter.open(${JSON.stringify(path)}, { patient: { bufferMiB: 4 }, retention: { days: 7, MiB: 0.25 } });
     const run = await writer.beginRun({ source: "eth0", options: {}, interfaces: ["eth0"] });
     for (let packet = 1; ; packet += 100) {
       const flows = Array.from({ length: 100 }, (_, i) => ({ packet: packet + i, protocol: "esp", firstNs: 1n, lastNs: 2n, packets: 2, bytes: 200, lost: 1 }));
       writer.write(gapBatch(flows.map((flow) => ({ packet: flow.packet, first: 1, last: 1, noticedNs: 1n, confirmedNs: 1n }))));
       writer.write(flowBatch(flows));
       writer.checkpoint(madeSummary({ packets: packet + 99 }));
       while (writer.state().waitingBatches > 0) await new Promise(setImmediate);
       writeSync(1, run + " " + (packet + 99) + "\\n");
     }`,
  );
  let pruned = 0;
  for (let kill = 1; kill <= 20; kill++) {
    const child = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    await once(child.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
    child.kill("SIGKILL");
    await once(child, "close");
    const [run, acknowledged] = (said.trim().split("\n").at(-1) ?? "").split(" ").map(Number) as [number, number];
    expect(run).toBe(kill);

    const db = openForReading(path);
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    const one = (sql: string): number => db.prepare(sql).pluck().get(run) as number;
    const counted = one("SELECT flows FROM totals WHERE run = ?");
    const gone = one("SELECT pruned_flows FROM runs WHERE run = ?");
    pruned += gone;
    expect(counted).toBeGreaterThanOrEqual(acknowledged);
    expect(counted % 100).toBe(0);
    expect(one("SELECT count(*) FROM flows WHERE run = ?")).toBe(counted - gone);
    expect(one("SELECT coalesce(sum(flows), 0) FROM flow_columns WHERE run = ?")).toBe(counted - gone);
    if (gone < counted) expect(one("SELECT max(packet) FROM flows WHERE run = ?")).toBe(counted);
    const told = db.prepare("SELECT packets, complete, finished_ns FROM runs WHERE run = ?").get(run);
    expect(told).toMatchObject({ complete: 0, finished_ns: null });
    expect((told as { packets: number }).packets).toBeGreaterThanOrEqual(acknowledged - 100);
    if (gone + one("SELECT pruned_gaps FROM runs WHERE run = ?") === 0)
      expect(one("SELECT count(*) FROM blind WHERE run = ?")).toBe(kill === 1 ? 0 : 1);
    db.close();
  }
  expect(pruned).toBeGreaterThan(0); // killed within deletions, too

  const writer = await StoreWriter.open(path, { patient: { bufferMiB: 1 } });
  expect(await writer.beginRun({ source: "eth0", options: {} })).toBe(21);
  await writer.write(flowBatch([]));
  await writer.finishRun(madeSummary());
  await writer.close();
});
