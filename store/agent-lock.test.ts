import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { madeSummary } from "./made-records.ts";
import { StoreReader } from "./reader.ts";
import { StoreWriter } from "./writer.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "tapline-lock-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const patient = { bufferMiB: 1 };

test("a sensor has its database for itself until it ends, however it ends; readers are not hindered", async () => {
  const path = join(folder, "x.db");
  const program = join(folder, "sensor.mts");
  writeFileSync(
    program,
    `import { StoreWriter } from ${JSON.stringify(new URL("./writer.ts", import.meta.url).href)};
     const writer = await StoreWriter.open(${JSON.stringify(path)}, { patient: { bufferMiB: 1 } });
     await writer.beginRun({ source: "eth0", options: {} });
     process.stdout.write("watching");
     setInterval(() => {}, 1000);`,
  );
  const sensor = spawn(process.execPath, [program], { stdio: ["ignore", "pipe", "inherit"] });
  await once(sensor.stdout, "data");
  symlinkSync(path, join(folder, "by-another-name.db"));
  const started = performance.now();
  for (const name of ["x.db", "by-another-name.db"])
    for (const options of [{ patient }, {}])
      await expect(StoreWriter.open(join(folder, name), options)).rejects.toMatchObject({
        code: "STORE_IN_USE",
        details: { pid: sensor.pid },
      });
  expect(performance.now() - started).toBeLessThan(10_000);
  const reader = await StoreReader.open(path);
  expect(await reader.ask("chooseRuns", "all", [])).toEqual([1]);

  sensor.kill("SIGKILL");
  await once(sensor, "exit");
  const next = await StoreWriter.open(path, { patient });
  expect(await next.beginRun({ source: "eth0", options: {} })).toBe(2);
  // In one process, too, and without harm to the first.
  await expect(StoreWriter.open(path, { patient })).rejects.toMatchObject({ details: { pid: process.pid } });
  await expect(StoreWriter.open(path)).rejects.toMatchObject({ code: "STORE_IN_USE" });
  await next.finishRun(madeSummary());
  await next.close();
  await reader.close();

  const analysis = await StoreWriter.open(path);
  expect(await analysis.beginRun({ source: "a.pcap", options: {} })).toBe(3);
  await analysis.close();
});

test("of ten sensors that start at once, one has the database", async () => {
  const path = join(folder, "contended.db");
  const opened = await Promise.allSettled(Array.from({ length: 10 }, () => StoreWriter.open(path, { patient })));
  const writers = opened.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  expect(writers).toHaveLength(1);
  for (const outcome of opened)
    if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "STORE_IN_USE" });
  for (const writer of writers) await writer.close();
});
