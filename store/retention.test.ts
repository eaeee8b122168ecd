// Days of made flows in seconds: the clock is the test's own. What must be there is known, flow by flow.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sort } from "#domain/flow-fields.ts";
import { parseFilter } from "#domain/filter.ts";
import { BatchInsert } from "./batch-insert.ts";
import { FlowPages } from "./flow-pages.ts";
import { LiveFlows } from "./live-flows.ts";
import { flowBatch, gapBatch, linkBatch, madeSummary } from "./made-records.ts";
import { openForReading, openForWriting, unendingWal } from "./open.ts";
import { StoreReader } from "./reader.ts";
import { Reads } from "./reads.ts";
import { Retention, type RetentionLimits } from "./retention.ts";
import { Upkeep } from "./upkeep.ts";
import { StoreWriter, type StoreState } from "./writer.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tapline-retention-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

const minute = 60_000_000_000n;
const day = 1440n * minute;
const t0 = 1_790_000_000_000_000_000n;
const perBatch = 150;
const newest: Sort = { by: "packet", descending: true };

/** A sensor's database, and what was put into it. */
class Made implements Disposable {
  readonly path = join(folder, `${++files}.db`);
  now = t0;
  readonly db: Database = openForWriting(this.path, { unending: true });
  readonly insert: BatchInsert;
  readonly retention: Retention;
  readonly upkeep: Upkeep;
  readonly reader: Database;
  /** each flow's first packet, in the order stored, with when that was */
  readonly stored: { readonly packet: number; readonly at: bigint }[] = [];
  #packet = 1;
  #lost = 1;

  constructor(limits: RetentionLimits, retained = true) {
    this.insert = new BatchInsert(this.db, { now: () => this.now, retained });
    this.retention = new Retention(this.db, () => this.now, limits);
    this.upkeep = new Upkeep(this.db, this.path, this.retention);
    this.reader = openForReading(this.path);
    this.insert.begin({ source: "eth0", options: {} });
  }

  /** A batch of flows that ended, every third with two gaps and every tenth a link, and a gap of a flow that never ends. */
  add(): void {
    const packets = Array.from({ length: perBatch }, () => ++this.#packet);
    const lossy = (packet: number): boolean => packet % 3 === 0;
    this.insert.write(
      gapBatch(packets.filter(lossy).flatMap((packet) => [3, 9].map((first) => this.#gap(packet, first)))),
    );
    this.#lost += 2;
    this.insert.write(gapBatch([this.#gap(1, this.#lost)]));
    this.insert.write(linkBatch(packets.filter((packet) => packet % 10 === 0).map((packet) => ({ packet, previous: 1, kind: 0 })))); // biome-ignore format: one batch
    this.insert.write(
      flowBatch(
        packets.map((packet) => ({
          packet,
          protocol: "macsec",
          firstNs: this.now - minute,
          lastNs: this.now,
          packets: 10,
          bytes: packet,
          lost: lossy(packet) ? 2 : 0,
          gaps: lossy(packet) ? 2 : 0,
          sci: [2, 0, 0, 0, 0, 1, 0, 1],
        })),
      ),
    );
    for (const packet of packets) this.stored.push({ packet, at: this.now });
  }

  #gap(packet: number, first: number) {
    return { packet, first, last: first, noticedNs: this.now, confirmedNs: this.now };
  }

  prune(): void {
    while (this.retention.step(15));
  }

  number(sql: string): number {
    return this.reader.prepare(sql).pluck().get() as number;
  }

  [Symbol.dispose](): void {
    this.reader.close();
    this.db.close();
  }
}

describe("a sensor's database", () => {
  test("stays within its size for a week, and answers right throughout", () => {
    const MiB = 6;
    using made = new Made({ MiB });
    const pages = new FlowPages(made.reader, 1_000_000, new LiveFlows(made.reader, 1_000_000));
    const steps: number[] = [];
    let largestFile = 0;
    let largestWal = 0;
    for (let batch = 0; batch < 1008; batch++) {
      made.now += 10n * minute;
      made.add();
      for (let more = true; more; ) {
        const started = performance.now();
        more = made.retention.step(15);
        steps.push(performance.now() - started);
      }
      if (batch % 16 > 0) continue;

      const figures = made.upkeep.tick();
      largestFile = Math.max(largestFile, figures.fileBytes);
      largestWal = Math.max(largestWal, figures.walBytes);
      const gone = made.retention.prunedFlows;
      const kept = made.stored.slice(gone).map(({ packet }) => packet);
      const query = { runs: [1], filter: parseFilter("lost>0"), sort: newest, limit: 1000 };
      const lossy = kept.filter((packet) => packet % 3 === 0).reverse();
      const page = pages.page(query);
      expect(page.plan.indexed).toBe(true);
      expect(page.total).toBe(lossy.length);
      expect(page.flows.map(({ packet }) => packet)).toEqual(lossy.slice(0, 1000));
      const late = pages.page({ ...query, filter: parseFilter("late=0") });
      expect(late.plan.indexed).toBe(false);
      expect(late.flows.map(({ packet }) => packet)).toEqual([...kept].reverse().slice(0, 1000));
      // What was counted stays counted.
      expect(made.number("SELECT flows FROM totals")).toBe(made.stored.length);
      expect(made.number("SELECT pruned_flows FROM runs")).toBe(gone);
      expect(made.number("SELECT count(*) FROM flows")).toBe(kept.length);
      expect(made.number("SELECT count(*) FROM links")).toBe(kept.filter((packet) => packet % 10 === 0).length);
      expect(figures.oldestNs).toBeGreaterThanOrEqual((made.stored[gone]?.at ?? 0n) - 10n * minute);
    }
    const partBytes = perBatch * 500; // rows, columns, gaps and links of a batch, generously
    expect(made.retention.prunedFlows).toBeGreaterThan(0.6 * made.stored.length);
    expect(made.number("SELECT count(*) FROM flows")).toBeGreaterThan(5000);
    expect(largestFile).toBeLessThanOrEqual(MiB * 2 ** 20 + partBytes);
    expect(largestFile).toBeGreaterThan(0.8 * MiB * 2 ** 20); // it is used, too
    expect(largestWal).toBeLessThanOrEqual(unendingWal.keptBytes);
    // 15 ms and one slice; the machine may be busy with other things for some of them.
    expect(steps.sort((a, b) => a - b)[Math.floor(steps.length * 0.9)]).toBeLessThan(50);
    expect(made.db.pragma("integrity_check", { simple: true })).toBe("ok");
  });

  test("keeps what is younger than its days and nothing else, gaps of a flow that never ends among it", () => {
    using made = new Made({ days: 2 });
    for (let batch = 0; batch < 7 * 24; batch++) {
      made.now += 60n * minute;
      made.add();
      made.prune();
    }
    const young = made.stored.filter(({ at }) => at >= made.now - 2n * day).map(({ packet }) => packet);
    expect(young.length).toBe(49 * perBatch);
    expect(made.reader.prepare("SELECT packet FROM flows ORDER BY packet").pluck().all()).toEqual(young);
    expect(made.number("SELECT count(*) FROM gaps WHERE packet = 1")).toBe(49);
    expect(made.number("SELECT count(*) FROM gaps WHERE packet > 1")).toBe(
      2 * young.filter((packet) => packet % 3 === 0).length,
    );
    expect(made.number("SELECT count(*) FROM links")).toBe(young.filter((packet) => packet % 10 === 0).length);
    expect(made.number("SELECT pruned_gaps + (SELECT count(*) FROM gaps) FROM runs")).toBe(7 * 24 * (perBatch / 3 * 2 + 1)); // biome-ignore format: a sum
  });

  test("gives space back to the file system when less is kept", () => {
    using made = new Made({ MiB: 24 });
    for (let batch = 0; batch < 300; batch++) made.add();
    made.prune();
    made.db.pragma("wal_checkpoint(TRUNCATE)");
    const before = statSync(made.path).size;
    made.retention.set({ MiB: 5 });
    made.prune();
    made.db.pragma("wal_checkpoint(TRUNCATE)");
    expect(before).toBeGreaterThan(12 * 2 ** 20);
    expect(statSync(made.path).size).toBeLessThanOrEqual(5 * 2 ** 20);
    expect(made.number("SELECT count(*) FROM flows")).toBeGreaterThan(1000);
    expect(made.db.pragma("integrity_check", { simple: true })).toBe("ok");
  });

  test("a list that is paged while flows are deleted skips none that stays and repeats none", () => {
    using made = new Made({ days: 100 });
    const pages = new FlowPages(made.reader, 1_000_000, new LiveFlows(made.reader, 1_000_000));
    for (const descending of [false, true]) {
      for (let batch = 0; batch < 20; batch++) {
        made.now += 60n * minute;
        made.add();
      }
      const query = { runs: [1], filter: [], sort: { by: "bytes", descending }, limit: 100 } as const;
      const first = pages.page(query);
      const seen = first.flows.map(({ packet }) => packet);
      for (let next = first.next; next; ) {
        made.retention.set({ days: Number(made.now - (made.stored[made.retention.prunedFlows + perBatch]?.at ?? t0)) / Number(day) - 1e-6 }); // biome-ignore format: a part
        made.retention.step(0);
        made.retention.step(15);
        const page = pages.page({ ...query, after: next });
        expect(page.total).toBe(made.number("SELECT count(*) FROM flows"));
        seen.push(...page.flows.map(({ packet }) => packet));
        next = page.next;
      }
      const left = made.reader.prepare("SELECT packet FROM flows ORDER BY packet").pluck().all() as number[];
      expect(made.retention.prunedFlows).toBeGreaterThan(5 * perBatch);
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen).toEqual([...seen].sort((a, b) => (descending ? b - a : a - b)));
      for (const packet of left) expect(seen).toContain(packet);
      made.retention.set({ days: 100 });
    }
  });

  test("old runs go entirely with their last flow, the newest never; blind times go with age", () => {
    using made = new Made({ days: 1 });
    made.insert.blind([{ interface: "eth0", sinceNs: made.now, untilNs: made.now + 5n, reason: "down" }]);
    made.add();
    made.insert.finish(madeSummary());
    made.insert.begin({ source: "eth0", options: {} }); // killed: no end, gaps of a flow that never came
    made.insert.write(gapBatch([{ packet: 7, first: 1, last: 1, noticedNs: made.now, confirmedNs: made.now }]));
    made.insert.begin({ source: "eth0", options: {}, interfaces: ["eth0"], startedNs: made.now + minute });
    const tables = [
      "runs",
      "totals",
      "ledger",
      "ledger_reasons",
      "blind",
      "gaps",
      "parts",
      "gap_keys",
      "links",
      "flows",
    ];
    const runsIn = (table: string) =>
      made.reader.prepare(`SELECT DISTINCT run FROM ${table} ORDER BY run`).pluck().all();
    made.prune();
    expect(runsIn("runs")).toEqual([1, 2, 3]);
    made.now += 2n * day;
    made.prune();
    expect(runsIn("runs")).toEqual([3]);
    for (const table of tables.slice(1)) expect(runsIn(table), table).toEqual([]);
    expect(new Reads(made.reader, 1000).chooseRuns("all", [])).toEqual([3]);
  });

  test("a run that was analyzed without a thought of retention can be pruned: its gaps go with their flows", () => {
    using made = new Made({}, false);
    for (let batch = 0; batch < 10; batch++) made.add();
    expect(made.retention.step(15)).toBe(false);
    expect(made.number("SELECT count(*) FROM gap_keys")).toBe(0);
    made.now += 2n * day;
    made.retention.set({ days: 1 });
    made.prune();
    expect(made.number("SELECT count(*) FROM flows")).toBe(0);
    expect(made.number("SELECT count(*) FROM gaps")).toBe(10); // of the flow that has not ended
  });

  test("a flow with a hundred thousand gaps is deleted in short steps", () => {
    using made = new Made({ days: 1 }, false);
    const all = 100_000;
    for (let first = 0; first < all; first += 2000)
      made.insert.write(gapBatch(Array.from({ length: 2000 }, (_, i) => ({ packet: 2, first: first + i, last: first + i, noticedNs: t0, confirmedNs: t0 })))); // biome-ignore format: one batch
    made.insert.write(flowBatch([{ packet: 2, protocol: "esp", firstNs: t0, lastNs: t0, packets: 9, bytes: 9, lost: all, gaps: all }])); // biome-ignore format: one batch
    made.now += 2n * day;
    let steps = 0;
    for (let more = true; more; steps++) {
      more = made.retention.step(5);
      // Half of it is never to be seen: either the flow is there, or nothing of it.
      if (made.number("SELECT count(*) FROM gaps") === 0) continue;
      expect(made.number("SELECT count(*) FROM flows")).toBe(1);
    }
    expect(steps).toBeGreaterThan(3);
    expect(made.number("SELECT count(*) FROM gaps")).toBe(0);
    expect(made.number("SELECT pruned_gaps FROM runs")).toBe(all);
  });

  test("parts of a run go in order, also when the clock was set back between them", () => {
    using made = new Made({ days: 1 });
    made.now = t0 + 10n * day;
    made.add();
    made.now = t0;
    made.add();
    made.now = t0 + 2n * day;
    made.prune();
    // The first part, which says that it is young, goes for the second, which is old; then that one.
    expect(made.retention.prunedFlows).toBe(2 * perBatch);
  });
});

test("the writer's thread keeps to its limits while it writes, to changed ones as well, and tells how it stands", async () => {
  const path = join(folder, `${++files}.db`);
  const writer = await StoreWriter.open(path, { patient: { bufferMiB: 64 }, retention: { MiB: 8 } });
  await writer.beginRun({ source: "eth0", options: {} });
  const reader = await StoreReader.open(path);
  let packet = 0;
  const write = (batches: number): void => {
    for (let batch = 0; batch < batches; batch++)
      void writer.write(
        flowBatch(
          Array.from({ length: 2048 }, () => ({
            packet: ++packet,
            protocol: "esp" as const,
            firstNs: t0,
            lastNs: t0,
            packets: 3,
            bytes: packet,
          })),
        ),
      );
  };
  const settled = async (what: (state: StoreState) => boolean): Promise<StoreState> => {
    for (const started = Date.now(); !what(writer.state()); ) {
      if (Date.now() - started > 30_000) throw new Error("did not happen within 30 s");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return writer.state();
  };
  const asked = { runs: [1], filter: [], sort: newest, limit: 10 };
  const limits = [[8, 40], [3, 5]] as const; // biome-ignore format: pairs
  for (const [MiB, batches] of limits) {
    await writer.setRetention({ MiB });
    write(batches);
    const before = Date.now();
    const state = await settled(
      ({ waitingBatches, fileBytes = 0 }) =>
        waitingBatches === 0 && Date.now() > before + 2500 && fileBytes <= (MiB + 2) * 2 ** 20,
    );
    expect(state).toMatchObject({ state: "writing", error: undefined, droppedRecords: { flows: 0 } });
    expect(state.walBytes).toBeLessThanOrEqual(unendingWal.keptBytes);
    expect(state.oldestNs).toBeGreaterThan(0n);
    // Figures are a second old, and a busy machine still deletes meanwhile.
    const kept = (): number => packet - (writer.state().prunedFlows ?? 0);
    await expect
      .poll(async () => (await reader.ask("flowPage", asked)).total === kept(), { timeout: 20_000 })
      .toBe(true);
    const page = await reader.ask("flowPage", asked);
    expect(page.total).toBeGreaterThan(2048);
    expect(page.flows[0]?.packet).toBe(packet);
    const [run] = await reader.ask("runs", 1, null);
    expect(run?.pruned_flows).toBe(packet - kept());
  }
  await writer.finishRun(madeSummary());
  await writer.close();
  expect((await reader.ask("flowPage", asked)).flows[0]?.packet).toBe(packet);
  expect(await reader.ask("totals", [1])).toMatchObject([{ flows: packet }]);
  await reader.close();
});
