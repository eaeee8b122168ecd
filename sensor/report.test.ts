import { expect, test } from "vitest";
import type { CaptureFigures } from "#domain/analysis.ts";
import type { ReportedInterface } from "#domain/report.ts";
import { foldRemoved, settledInterfaces } from "./report.ts";

const row = (name: string, state: ReportedInterface["state"], seen: number, since: string): ReportedInterface => ({
  interface: name, state, since, problem: null, seen, ring_drops: 1, in_flight: 0, delivered: seen - 1, decoded: seen - 1, tracked: seen - 3,
  undecodable: {}, untracked: { arp: 2 }, residue: 0, bytes: 100 * seen, super_packets: 0, segments: 0, partial_checksums: 0, ring_full: 0,
  ring_bytes: 0, ring_wanted: 0, ring_locked: true, packets_per_second: 0, bits_per_second: 0, beside: { kernel: { rx_dropped: 3 }, driver: {} },
}); // biome-ignore format: one row

test("interfaces that are watched no more are one row together, and none of their packets is left out", () => {
  const rows = [row("eth0", "watching", 10, "a"), row("v1", "removed", 100, "c"), row("v2", "removed", 1000, "b")];
  const [kept, folded, ...rest] = foldRemoved(rows);
  expect([kept, rest]).toEqual([rows[0], []]);
  expect(folded).toMatchObject({
    interface: "(removed)", state: "removed", since: "c", seen: 1100, ring_drops: 2, delivered: 1098, tracked: 1094, bytes: 110_000, residue: 0,
    untracked: { arp: 4 }, beside: { kernel: { rx_dropped: 6 } },
  }); // biome-ignore format: one row
});

test("a removed interface is settled once nothing of it is counted any more", () => {
  const port = (name: string, state: string, seen: number) => ({ interface: name, state, seen, tracked: seen });
  const figures = (...ledger: object[]) => ({ ledger }) as unknown as CaptureFigures;
  const before = figures(port("up", "watching", 5), port("out", "watching", 5), port("late", "removed", 5), port("gone", "removed", 5)); // biome-ignore format: one row
  const now = figures(port("up", "watching", 5), port("out", "removed", 5), port("late", "removed", 6), port("gone", "removed", 5), port("new", "removed", 0)); // biome-ignore format: one row
  expect([...settledInterfaces(now, before)]).toEqual(["gone"]);
  expect([...settledInterfaces(now, undefined)]).toEqual([]);
});

test("without any the rows stay as they are", () => {
  const rows = [row("eth0", "watching", 10, "a"), row("eth1", "down", 5, "b")];
  expect(foldRemoved(rows)).toEqual(rows);
});
