import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cellCount, flowRecord } from "#domain/records.ts";
import { engine, type Analysis } from "#native/engine.ts";
import { takeAll } from "./take.ts";

const folder = mkdtempSync(join(tmpdir(), "tapline-take-"));
const path = join(folder, "made.pcap");
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(async () => {
  await engine().generate({
    path, packets: 60_000, flows: 20_000, protocol: "macsec", seed: 1, loss: 0.05, reorder: 0, duplicate: 0, rekey: 0, xpn: false, esn: false,
    ipv6: false, vlan: false, minSize: 64, maxSize: 64, pps: 1e6, nanosecond: true, pcapng: false, startNs: 1_700_000_000_000_000_000n,
  }).done; // biome-ignore format: one list
});
const start = (more: object = {}): Analysis =>
  engine().analyze({ path, threads: 2, mode: "fast", loop: 1, settleNs: 2e9, idleNs: 60e9, maxFlows: 1e6, ...more });

test("every record is handed over exactly once, however slow the taker", async () => {
  const packets = new Set<number>();
  let flows = 0;
  const summary = await takeAll(start(), 1, async ({ kind, records }) => {
    if (kind === "flows") {
      const numbers = new Float64Array(records);
      for (let i = 0; i < numbers.length; i += cellCount(flowRecord)) {
        packets.add(numbers[i] ?? 0);
        flows += 1;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  });
  expect(summary).toMatchObject({ complete: true, flows: 20_000 });
  expect([flows, packets.size]).toEqual([20_000, 20_000]);
});

test("while the engine has nothing, the taker rests instead of spinning", async () => {
  const analysis = start({ mode: "fixed", pps: 120_000 }); // half a second
  const before = process.cpuUsage();
  let taken = 0;
  const take: Analysis["take"] = () => {
    taken += 1;
    return analysis.take();
  };
  await takeAll({ ...analysis, take }, 1, () => undefined);
  const { user, system } = process.cpuUsage(before);
  expect(taken).toBeLessThan(2000);
  expect(user + system).toBeLessThan(1_000_000); // µs, the engine's own threads included
});

test("a taker that fails ends the taking with its own error", async () => {
  const analysis = start();
  await expect(takeAll(analysis, 1, () => Promise.reject(new Error("disk full")))).rejects.toThrow("disk full");
  analysis.stop();
  for (let batch = analysis.take(); batch !== null; batch = analysis.take());
});

test("a file that cannot be read rejects with the engine's code", async () => {
  const bad = join(folder, "bad.pcap");
  writeFileSync(bad, "no capture at all, but long enough");
  await expect(takeAll(start({ path: bad }), 1, () => undefined)).rejects.toMatchObject({ code: "FILE_BAD_MAGIC" });
});
