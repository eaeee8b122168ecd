import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { flowBatch, madeSummary } from "#store/made-records.ts";
import { StoreWriter } from "#store/writer.ts";
import { openDatabase } from "./database-source.ts";
import { restingSource } from "./resting-source.ts";

const folder = mkdtempSync(join(tmpdir(), "tapline-resting-"));
const path = join(folder, "x.db");
beforeAll(async () => {
  const writer = await StoreWriter.open(path);
  await writer.beginRun({ source: "made", options: {} });
  await writer.write(flowBatch([{ packet: 1, protocol: "udp", firstNs: 1n, lastNs: 2n, packets: 3, bytes: 4 }]));
  await writer.finishRun(madeSummary());
  await writer.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A resting source over a real database, and what happened to it. */
function watched(restMs: number, file = path) {
  const seen = { opened: 0, closed: 0 };
  const source = restingSource(async () => {
    const inner = await openDatabase(file);
    seen.opened++;
    return {
      ...inner,
      close: async () => {
        seen.closed++;
        await inner.close();
      },
    };
  }, restMs);
  return { source, seen };
}

test("it opens with the first question and closes when nobody asks any more", async () => {
  const { source, seen } = watched(60);
  expect(seen).toEqual({ opened: 0, closed: 0 });
  expect(await Promise.all([source.chooseRuns("all", []), source.run(1)])).toMatchObject([[1], { packets: 1000 }]);
  expect(seen).toEqual({ opened: 1, closed: 0 });
  await sleep(150);
  expect(seen).toEqual({ opened: 1, closed: 1 });
  expect(await source.totals([1])).toMatchObject([{ packets: 3 }]);
  expect(seen.opened).toBe(2);
  await source.close();
  expect(seen).toEqual({ opened: 2, closed: 2 });
});

test("while questions keep coming it stays open", async () => {
  const { source, seen } = watched(80);
  for (let i = 0; i < 10; i++) {
    await source.run(1);
    await sleep(30);
  }
  expect(seen).toEqual({ opened: 1, closed: 0 });
  await source.close();
});

test("a database that is not there yet fails the question, not the ones after it is there", async () => {
  const later = join(folder, "later.db");
  const { source } = watched(1000, later);
  await expect(source.run(1)).rejects.toMatchObject({ code: "STORE_NOT_FOUND" });
  const writer = await StoreWriter.open(later);
  await writer.beginRun({ source: "made", options: {} });
  expect(await source.run(1)).toMatchObject({ source: "made" });
  await source.close();
  await writer.close();
});
