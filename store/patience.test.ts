// A disk that fills up and is emptied again, under a sensor that must not notice. The disk is a small tmpfs in a mount
// namespace of its own, which needs root, as the project's tests do.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { flowBatch, gapBatch, madeSummary } from "./made-records.ts";
import { Patience, type Delivery } from "./patience.ts";
import { StoreReader } from "./reader.ts";
import { StoreWriter } from "./writer.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tapline-patience-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = (): string => join(folder, `${++files}.db`);

const flows = (from: number, count: number) =>
  flowBatch(
    Array.from({ length: count }, (_, i) => ({
      packet: from + i,
      protocol: "esp" as const,
      firstNs: 1n,
      lastNs: 2n,
      packets: 2,
      bytes: 200,
    })),
  );
const until = async (what: () => boolean): Promise<void> => {
  for (const started = Date.now(); !what(); ) {
    if (Date.now() - started > 20_000) throw new Error("did not happen within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

test("a full disk: batches wait, the oldest are dropped and counted, and writing resumes by itself", () => {
  const disk = join(folder, "small");
  mkdirSync(disk);
  const program = join(folder, "filled.mts");
  const here = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
  writeFileSync(
    program,
    `import { closeSync, openSync, rmSync, writeSync } from "node:fs";
     import { StoreWriter } from ${here("./writer.ts")};
     import { StoreReader } from ${here("./reader.ts")};
     import { flowBatch, gapBatch, madeSummary } from ${here("./made-records.ts")};
     const until = async (what) => {
       for (const started = Date.now(); !what(); await new Promise((resolve) => setTimeout(resolve, 20)))
         if (Date.now() - started > 20000) throw new Error("did not happen: " + what + JSON.stringify(writer.state(), (_, v) => typeof v === "bigint" ? String(v) : v));
     };
     const fill = () => {
       const file = openSync("${disk}/other", "a");
       try { for (;;) writeSync(file, Buffer.alloc(4096, 1)); } catch (error) { if (error.code !== "ENOSPC") throw error; } finally { closeSync(file); }
     };
     const writer = await StoreWriter.open("${disk}/x.db", { patient: { bufferMiB: 1 } });
     await writer.beginRun({ source: "eth0", options: {} });
     let packet = 1;
     const write = () => {
       const flows = Array.from({ length: 100 }, () => ({ packet: packet++, protocol: "esp", firstNs: 1n, lastNs: 2n, packets: 2, bytes: 200 }));
       writer.write(flowBatch(flows));
       writer.write(gapBatch(flows.map((flow) => ({ packet: flow.packet, first: 1, last: 1, noticedNs: 1n, confirmedNs: 1n }))));
       writer.blind([{ interface: "eth0", sinceNs: BigInt(packet), untilNs: BigInt(packet + 1), reason: "ring_full" }]);
     };
     const out = {};
     const took = [];
     for (let round = 0; round < 2; round++) {
       for (let i = 0; i < 5; i++) write();
       await until(() => writer.state().waitingBatches === 0 && writer.state().state === "writing" && !writer.state().error);
       fill();
       // Some fit into what the log still has of its own; then nothing does.
       for (let i = 0; writer.state().state !== "full"; i++) {
         if (i > 2000) throw new Error("the disk does not fill up");
         write();
         writer.checkpoint(madeSummary({ packets: packet }));
         await new Promise((resolve) => setTimeout(resolve, 5));
       }
       const since = writer.state().sinceNs;
       for (let i = 0; i < 200; i++) {
         const started = performance.now();
         write();
         took.push(performance.now() - started);
       }
       const full = writer.state();
       out.bounded = full.waitingBytes <= 2 ** 20 && full.waitingBatches > 5 && full.droppedRecords.flows > 0;
       out.code = full.error.code;
       await new Promise((resolve) => setTimeout(resolve, 2500)); // tried again in between, in vain
       out.stays = writer.state().state === "full" && writer.state().sinceNs === since && writer.state().freeBytes < 65536;
       rmSync("${disk}/other");
       await until(() => writer.state().state === "writing" && writer.state().waitingBatches === 0 && !writer.state().error);
     }
     await writer.finishRun(madeSummary({ packets: packet - 1 }));
     const dropped = writer.state().droppedRecords;
     await writer.close();
     const reader = await StoreReader.open("${disk}/x.db");
     const [total] = await reader.ask("totals", [1]);
     const [run] = await reader.ask("runs", 1, null);
     const gaps = await reader.ask("gaps", [1], null, 1e6);
     const blinds = await reader.ask("blinds", [1], null, 1e6);
     await reader.close();
     out.flows = total.flows + dropped.flows - (packet - 1);
     out.gaps = gaps.length + dropped.gaps - (packet - 1);
     out.blinds = (blinds.length + dropped.blinds) * 100 - (packet - 1);
     out.complete = run.complete;
     out.slow = took.sort((a, b) => a - b)[Math.floor(took.length * 0.9)] > 20; // made records and all, on a busy machine
     console.log(JSON.stringify(out));`,
  );
  const mount = `mount -t tmpfs -o size=40m tmpfs ${disk}`;
  const out = execFileSync("unshare", ["-m", "sh", "-c", `${mount} && exec "$0" "$1"`, process.execPath, program], {
    encoding: "utf8",
  });
  expect(JSON.parse(out)).toEqual({
    bounded: true, code: "STORE_DISK_FULL", stays: true, flows: 0, gaps: 0, blinds: 0, complete: 1, slow: false,
  }); // biome-ignore format: one outcome
});

test("another program's lock: batches wait for it, and a run that ends meanwhile says so", async () => {
  const path = fresh();
  const writer = await StoreWriter.open(path, { busyMs: 20, patient: { bufferMiB: 1 } });
  await writer.beginRun({ source: "eth0", options: {} });
  const other = new Database(path);
  other.exec("BEGIN IMMEDIATE");
  await writer.write(flows(1, 10));
  await until(() => writer.state().state === "failed");
  expect(writer.state()).toMatchObject({ error: { code: "STORE_LOCKED" }, waitingBatches: 1 });
  other.exec("COMMIT");
  await until(() => writer.state().state === "writing" && writer.state().waitingBatches === 0);

  other.exec("BEGIN IMMEDIATE");
  await writer.write(flows(11, 10));
  await writer.write(flows(21, 10));
  await expect(writer.finishRun(madeSummary())).rejects.toMatchObject({ code: "STORE_LOCKED" });
  expect(writer.state()).toMatchObject({ waitingBatches: 0, waitingBytes: 0, droppedRecords: { flows: 20 } });
  other.exec("COMMIT");
  other.close();
  await writer.close();
  const reader = await StoreReader.open(path);
  expect(await reader.ask("totals", [1])).toMatchObject([{ flows: 10 }]);
  await reader.close();
});

test("a batch that contradicts what is stored is dropped and counted, and those behind it are written", async () => {
  const path = fresh();
  const writer = await StoreWriter.open(path, { patient: { bufferMiB: 1 } });
  await writer.beginRun({ source: "eth0", options: {} });
  await writer.write(flows(1, 10));
  await writer.write(flows(5, 10)); // 5 to 10 again
  await writer.write(flows(20, 10));
  await writer.finishRun(madeSummary());
  expect(writer.state()).toMatchObject({
    state: "writing",
    droppedRecords: { flows: 10, gaps: 0, links: 0, blinds: 0 },
  });
  await writer.close();
  await writer.write(flows(50, 7)); // after the end
  expect(writer.state().droppedRecords.flows).toBe(17);
  const reader = await StoreReader.open(path);
  expect(await reader.ask("totals", [1])).toMatchObject([{ flows: 20 }]);
  expect((await reader.ask("flowPage", { runs: [1], filter: [], sort: { by: "packet", descending: false }, limit: 100 })).total).toBe(20); // biome-ignore format: one question
  await reader.close();
});

test("what is settled is a beginning without a hole, whatever is written, dropped or tried again", async () => {
  const answers: ((error?: string) => void)[] = [];
  const patience = new Patience(
    (delivery) =>
      new Promise((resolve) => {
        const records = delivery.do === "write" ? { records: delivery.batch.records } : {};
        answers.push((error) => resolve(error ? { error: new Error(error) as never, ...records } : {}));
      }),
    flows(1, 10).records.byteLength * 3,
  );
  const settledAfter = async (answer?: string): Promise<number> => {
    const before = answers.length;
    answers.at(-1)?.(answer);
    await until(() => answers.length > before || patience.state.waitingBatches === 0);
    return patience.settled;
  };
  expect(patience.settled).toBe(0);
  for (let i = 0; i < 3; i++) patience.write(flows(1 + i * 10, 10));
  expect(patience.settled).toBe(0);
  patience.write(flows(31, 10)); // drops the second, while the first is on its way
  expect(patience.state.droppedRecords.flows).toBe(10);
  expect(patience.settled).toBe(0);
  expect(await settledAfter("full")).toBe(0); // and comes back
  expect(await settledAfter()).toBe(2);
  patience.blind([{ interface: "eth0", sinceNs: 1n, untilNs: 2n, reason: "down" }]);
  expect(await settledAfter()).toBe(3);
  expect(await settledAfter()).toBe(4);
  expect(await settledAfter()).toBe(5);
  patience.write(flows(41, 10));
  expect(patience.settled).toBe(5);
  patience.close();
});

test("a writer that is not patient tells what is settled, too", async () => {
  const writer = await StoreWriter.open(fresh());
  await writer.beginRun({ source: "eth0", options: {} });
  expect(writer.settled).toBe(0);
  await writer.write(flows(1, 10));
  await writer.blind([{ interface: "eth0", sinceNs: 1n, untilNs: 2n, reason: "down" }]);
  expect(writer.settled).toBe(2);
  await writer.write(flows(11, 10));
  await until(() => writer.settled === 3);
  await writer.finishRun(madeSummary());
  await writer.close();
});

test("a writer whose thread is gone takes nothing any more, counts it, and still answers", async () => {
  let fail: () => void = () => {};
  const sent: Delivery[] = [];
  const patience = new Patience((delivery) => {
    sent.push(delivery);
    // As a thread that dies with what was handed over to it.
    if (delivery.do === "write") structuredClone(delivery.batch.records, { transfer: [delivery.batch.records] });
    return new Promise((resolve) => (fail = () => resolve({ error: new Error("gone") as never })));
  }, 10_000);
  patience.write(flows(1, 10));
  patience.write(gapBatch([{ packet: 1, first: 1, last: 1, noticedNs: 1n, confirmedNs: 1n }]));
  expect(patience.state.waitingBatches).toBe(2);
  fail();
  await until(() => patience.state.state === "failed");
  expect(patience.state.droppedRecords).toEqual({ flows: 10, gaps: 0, links: 0, blinds: 0 });
  patience.close();
  expect(patience.state).toMatchObject({ waitingBatches: 0, waitingBytes: 0, droppedRecords: { flows: 10, gaps: 1 } });
  expect(sent).toHaveLength(1);
});
