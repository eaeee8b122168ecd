// Active flows beside the ended ones: whatever is asked, the answer is that of a database in which they had been written as rows.
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
  closeSync,
  existsSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseFilter } from "#domain/filter.ts";
import { sortFields } from "#domain/flow-fields.ts";
import { flowEnds, protocols } from "#domain/vocabulary.ts";
import { BatchInsert } from "./batch-insert.ts";
import type { FlowPage, FlowQuery } from "./flow-pages.ts";
import { Listing } from "./listing.ts";
import { isHeld, liveFiles, liveRecords } from "./live-file.ts";
import { madeLiveFile } from "./made-live.ts";
import { flowBatch, gapBatch, madeSummary, type MadeFlow } from "./made-records.ts";
import { openForReading, openForWriting } from "./open.ts";
import { Retention } from "./retention.ts";
import { Reads } from "./reads.ts";
import { StoreWriter } from "./writer.ts";

const active = flowEnds.indexOf("active");
const interrupted = flowEnds.indexOf("interrupted");
const startedMs = 1_790_000_000_000;
const startedNs = BigInt(startedMs) * 1_000_000n;

let folder: string;
let path: string;
let nowMs = startedMs;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tapline-live-"));
  path = join(folder, "x.db");
  nowMs = startedMs + 10_000;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Few values each, so that ties and matches are common. */
function made(packet: number, change: Partial<MadeFlow> = {}): MadeFlow {
  const protocol = protocols[packet % 5] ?? "esp";
  const transport = packet % 5 > 2;
  return {
    packet, protocol, firstNs: startedNs + BigInt(packet % 7) * 1_000_000_007n, lastNs: startedNs + BigInt(8 + (packet % 3)) * 1_000_000_003n, packets: 10 + (packet % 6), bytes: 1000 * (packet % 4),
    lost: transport ? 0 : packet % 3, late: transport ? 0 : packet % 2, an: packet % 4, vlans: packet % 2 ? [100] : [], source: packet % 5 === 0 ? [2, 0, 0, 0, 0, 1] : [10, 0, packet % 2, 1], destination: packet % 5 === 0 ? [2, 0, 0, 0, 0, 2] : [10, 0, 0, 2],
    sci: [2, 0, 0, 0, 0, packet % 3, 0, 1], ...(transport ? { ports: [packet % 3, 443] as const } : { spi: packet }), ...change,
  }; // biome-ignore format: one flow
}
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const live = (flows: readonly (MadeFlow | undefined)[], member = 0, run = 1): string =>
  madeLiveFile(path, { run, startedNs, member, visitedNs: BigInt(nowMs) * 1_000_000n - 100_000_000n }, flows);
const ended = (packets: readonly number[]): MadeFlow[] => packets.map((packet) => made(packet, { end: packet % 3 }));
const alive = (packets: readonly number[]): MadeFlow[] => packets.map((packet) => made(packet, { end: active }));

/** A run that is being written. */
function writing(): { db: Database.Database; insert: BatchInsert } {
  const db = openForWriting(path);
  const insert = new BatchInsert(db);
  insert.begin({ source: "eth0", options: {}, startedNs });
  return { db, insert };
}
const reads = (at = path, limit = 100_000): Reads => new Reads(openForReading(at), limit, () => nowMs);

function allPages(
  from: Reads,
  query: Omit<FlowQuery, "after">,
): { rows: FlowPage["flows"][number][]; first: FlowPage } {
  const first = from.flowPage(query);
  const rows = [...first.flows];
  for (let next = first.next; next; ) {
    const page = from.flowPage({ ...query, after: next });
    rows.push(...page.flows);
    next = page.next;
  }
  return { rows, first };
}

describe("a database with live files", () => {
  test("answers every question as one in which the active flows were rows", () => {
    const { insert } = writing();
    insert.write(flowBatch(ended(range(1, 90))));
    live([undefined, ...alive(range(200, 260)), undefined, ...alive(range(80, 90))]); // the last of them have just ended
    live(alive(range(300, 330)), 1);
    const other = join(folder, "whole.db");
    const whole = openForWriting(other);
    const wholeInsert = new BatchInsert(whole);
    wholeInsert.begin({ source: "eth0", options: {}, startedNs });
    wholeInsert.write(flowBatch([...ended(range(1, 90)), ...alive(range(200, 260)), ...alive(range(300, 330))]));
    const overlaid = reads();
    const small = reads(path, 0); // holds nothing by column
    const plain = reads(other);

    const term = fc.constantFrom(
      "end=active", "end!=active", "evicted", "!evicted", "lost>0", "late>0", "proto=macsec,tcp", "packets>=12", "src=10.0.0.0/16", "vlan=100", "sci=0200000000010001", "port=443", "spi>100", "first>=2026-09-21T14:13:23Z", "duration>5s", "packet>250", "unique<10",
    ); // biome-ignore format: one list
    const asked = fc.record({
      terms: fc.array(term, { maxLength: 3 }),
      by: fc.constantFrom(...sortFields),
      descending: fc.boolean(),
      limit: fc.constantFrom(1000, 40, 7),
    });
    fc.assert(
      fc.property(asked, ({ terms, by, descending, limit }) => {
        const query = { runs: [1], filter: parseFilter(terms.join(" ")), sort: { by, descending }, limit };
        const want = allPages(plain, query);
        const got = allPages(overlaid, query);
        expect(got.rows).toEqual(want.rows);
        expect(got.first.total).toBe(want.first.total);
        expect(allPages(small, query).rows).toEqual(want.rows);
      }),
      { numRuns: 200 },
    );
    expect(overlaid.totals([1])).toEqual(plain.totals([1]));
    expect(small.totals([1])).toEqual(plain.totals([1]));
    for (const packet of [1, 85, 200, 329, 400])
      for (const from of [overlaid, small]) expect(from.flow(1, packet)).toEqual(plain.flow(1, packet));
  });

  test("tells the gaps of active flows with their endpoints", () => {
    const { insert } = writing();
    insert.write(flowBatch(ended([1])));
    insert.write(
      gapBatch(
        [1, 7].map((packet) => ({ packet, first: 3, last: 4 + packet, noticedNs: startedNs, confirmedNs: startedNs })),
      ),
    );
    live(alive([7]));
    using listing = new Listing(path);
    const rows = listing.gaps([1], [], "size", 10);
    expect(rows.map(({ packet, protocol }) => [packet, protocol])).toEqual([[7, 2], [1, 1]]); // biome-ignore format: short
  });

  test("shows a flow once while flows end, and counts it once", () => {
    const { insert } = writing();
    const all = range(1, 401);
    live(alive(all));
    const from = reads();
    const query = { runs: [1], filter: [], sort: { by: "packet", descending: false }, limit: 1000 } as const;
    let done = 0;
    for (let round = 0; round < 60; round++) {
      const next = all.slice(done, done + 1 + ((round * 7) % 11));
      done += next.length;
      if (next.length > 0) insert.write(flowBatch(ended(next)));
      // Their slots are emptied some time later, and the file is read again some time after that.
      if (round % 4 === 1) live([...alive(all.slice(Math.max(0, done - 15))), undefined]);
      nowMs += round % 3 === 0 ? 1100 : 100;
      const { rows, first } = allPages(from, query);
      expect(rows.map(({ packet }) => packet)).toEqual(all);
      expect(first.total).toBe(400);
      expect(rows.filter((row) => row.ended !== active)).toHaveLength(done);
      expect(from.totals([1]).reduce((sum, { flows }) => sum + flows, 0)).toBe(400);
      expect(from.flow(1, done)?.flow.ended).not.toBe(active);
    }
    expect(done).toBeGreaterThan(300);
  });

  test("shows a flow once that was stored between two readings of its file", () => {
    const { insert } = writing();
    live(alive([1]));
    const from = reads();
    const names = (): number[] =>
      from
        .flowPage({ runs: [1], filter: [], sort: { by: "packet", descending: false }, limit: 10 })
        .flows.map(({ packet }) => packet);
    expect(names()).toEqual([1]);
    insert.write(flowBatch(ended([2]))); // it began and ended while the file was read: its slot came too late for that
    expect(names()).toEqual([1, 2]);
    live(alive([1, 2]));
    nowMs += 1100;
    expect(names()).toEqual([1, 2]);
    nowMs += 1100;
    expect(names()).toEqual([1, 2]);
  });

  test("is at most a second behind its files, and reads them no more often", () => {
    writing();
    live(alive([1]));
    const from = reads();
    const count = (): number => from.totals([1]).reduce((sum, { flows }) => sum + flows, 0);
    expect(count()).toBe(1);
    live(alive([1, 2]));
    nowMs += 900;
    expect(count()).toBe(1);
    nowMs += 100;
    expect(count()).toBe(2);
    from.letGo();
    live(alive([1, 2, 3]));
    expect(count()).toBe(3);
  });

  test("calls flows interrupted when nothing has written them for a while", () => {
    writing();
    live(alive([1]));
    const from = reads();
    expect(from.flow(1, 1)?.flow.ended).toBe(active);
    nowMs += 60_000;
    expect(from.flow(1, 1)?.flow.ended).toBe(interrupted);
  });

  test("takes nothing from the files of a database that lay there before, nor from what is no live file", () => {
    writing();
    madeLiveFile(path, { run: 1, startedNs: startedNs - 1n, visitedNs: startedNs }, alive([1]));
    writeFileSync(`${path}-live-1-1`, "something else");
    writeFileSync(`${path}-live-1-2`, "");
    expect(reads().totals([1])).toEqual([]);
  });

  test("shows all of them while retention deletes ended ones: sums keep what is gone, the list does not, gaps of active flows age by themselves", () => {
    const db = openForWriting(path);
    let storedNs = startedNs;
    const insert = new BatchInsert(db, { now: () => storedNs, retained: true });
    insert.begin({ source: "eth0", options: {}, startedNs });
    const gap = (first: number) => ({ packet: 500, first, last: first, noticedNs: storedNs, confirmedNs: storedNs });
    insert.write(flowBatch(ended(range(1, 101))));
    insert.write(gapBatch([gap(1)]));
    storedNs += 86_400_000_000_000n;
    insert.write(flowBatch(ended(range(101, 151))));
    insert.write(gapBatch([gap(5)]));
    live(alive(range(500, 520)));
    const reader = reads();
    const all = { runs: [1], filter: [], sort: { by: "packets", descending: true }, limit: 1000 } as const;
    const told = () => ({
      listed: reader.flowPage(all).total,
      active: reader.flowPage({ ...all, filter: parseFilter("end=active") }).flows.length,
      counted: reader.totals([1]).reduce((sum, { flows }) => sum + flows, 0),
      gaps: reader.gapsOfFlow(1, 500, null, 10).map(({ first }) => first),
    });
    expect(told()).toEqual({ listed: 170, active: 20, counted: 170, gaps: [1, 5] });
    const retention = new Retention(db, () => storedNs + 1n, { days: 0.5 });
    while (retention.step(1000));
    expect(retention.prunedFlows).toBe(100);
    nowMs += 1000;
    expect(told()).toEqual({ listed: 70, active: 20, counted: 170, gaps: [5] });
    db.close();
  });

  test("shows them whatever name it is asked by", () => {
    const { db } = writing();
    live(alive([1, 2, 3]));
    const other = join(folder, "elsewhere");
    mkdirSync(other);
    symlinkSync(path, join(other, "y.db"));
    expect(
      reads(join(other, "y.db"))
        .totals([1])
        .reduce((sum, { flows }) => sum + flows, 0),
    ).toBe(3);
    db.close();
  });
});

describe("a live file", () => {
  test("with a slot half written gives the others, and says so", () => {
    const file = live(alive([1, 2, 3]));
    const descriptor = openSync(file, "r+");
    writeSync(descriptor, Buffer.from([9]), 0, 1, 4096 + 256 + 60);
    closeSync(descriptor);
    const [found] = liveFiles(path);
    if (!found) throw new Error("no file");
    const chunks = [...liveRecords(found)];
    expect(chunks).toHaveLength(1);
    expect(chunks[0]?.torn).toBe(1);
    expect(chunks[0]?.records.byteLength).toBe(2 * 232);
  });

  test("is held by the process that has it open, and by no other", () => {
    const file = madeLiveFile(path, { run: 1, startedNs, visitedNs: startedNs, process: process.pid }, alive([1]));
    const [found] = liveFiles(path);
    if (!found) throw new Error("no file");
    expect(isHeld(found)).toBe(false);
    const descriptor = openSync(file, "r");
    expect(isHeld(found)).toBe(true);
    expect(isHeld({ ...found, process: process.ppid })).toBe(false);
    closeSync(descriptor);
  });
});

describe("opening a database for writing after its writer died", () => {
  const rows = (): Record<string, number>[] => {
    const db = new Database(path, { readonly: true });
    const found = db.prepare("SELECT packet, ended, packets FROM flows ORDER BY packet").all() as Record<
      string,
      number
    >[];
    db.close();
    return found;
  };
  const totals = (): unknown => {
    const from = reads();
    return from.totals([1]);
  };

  test("brings its flows in as interrupted, ends its run, and removes the files", async () => {
    const { db, insert } = writing();
    insert.write(flowBatch(ended(range(1, 20))));
    db.close();
    const files = [
      live([...alive(range(15, 25)), undefined, ...alive(range(3000, 6000))]),
      live(alive(range(30, 40)), 1),
    ];
    const before = totals() as { ended: number }[];
    await (await StoreWriter.open(path)).close();
    expect(files.map((file) => existsSync(file))).toEqual([false, false]);
    const found = rows();
    expect(found).toHaveLength(24 + 10 + 3000);
    expect(found.filter((row) => row["ended"] === interrupted)).toHaveLength(5 + 10 + 3000);
    expect(found.find((row) => row["packet"] === 16)?.["ended"]).toBe(1); // it had ended: that stays
    expect(totals()).toEqual(before);
    const [run] = reads().runs(1, null);
    expect(run).toMatchObject({
      complete: 0,
      flows: 3034,
      finished_ns: String(BigInt(nowMs) * 1_000_000n - 100_000_000n),
    });
    // By column as by row.
    const page = reads().flowPage({
      runs: [1],
      filter: parseFilter("end=interrupted"),
      sort: { by: "packet", descending: false },
      limit: 5,
    });
    expect(page.total).toBe(3015);
    expect(page.plan.indexed).toBe(true);
  });

  test("does so once, however often it is interrupted itself", async () => {
    const { db } = writing();
    db.close();
    const flows = alive(range(1, 5001));
    live(flows);
    const bytes = readFileSync(`${path}-live-1-0`);
    const before = totals();
    await (await StoreWriter.open(path)).close();
    const found = rows();
    for (const undone of ["DELETE FROM runs WHERE 0", "UPDATE runs SET finished_ns = NULL"]) {
      const again = openForWriting(path);
      again.exec(undone); // as if it had died before the run was ended, or before the file was removed
      again.close();
      writeFileSync(`${path}-live-1-0`, bytes);
      await (await StoreWriter.open(path)).close();
      expect(rows()).toEqual(found);
      expect(totals()).toEqual(before);
    }
  });

  test("leaves the files of a writer that lives", async () => {
    writing();
    const file = madeLiveFile(path, { run: 1, startedNs, visitedNs: startedNs, process: process.pid }, alive([1]));
    const descriptor = openSync(file, "r");
    await (await StoreWriter.open(path)).close();
    expect(existsSync(file)).toBe(true);
    expect(rows()).toEqual([]);
    closeSync(descriptor);
  });

  test("removes its own files when a run is finished", async () => {
    const writer = await StoreWriter.open(path);
    const run = await writer.beginRun({ source: "eth0", options: {}, startedNs });
    const file = live(alive([1, 2]), 0, run);
    await writer.write(flowBatch(ended([1, 2])));
    await writer.finishRun(madeSummary());
    await writer.close();
    expect(existsSync(file)).toBe(false);
    expect(rows().map((row) => row["ended"])).toEqual([1, 2]);
  });
});
