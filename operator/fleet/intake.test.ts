// Reports that are not believed, and statuses that are not written for nothing.
import fc from "fast-check";
import { expect, test } from "vitest";
import { reportSubject, relayReportSubject } from "#domain/subjects.ts";
import { Heard } from "./heard.ts";
import { type Intake, takeReport } from "./intake.ts";
import { relayReport, sensorReport } from "./made-reports.ts";
import { changeOf } from "./meaning.ts";
import { Refusals } from "./refusals.ts";
import { WriteGate } from "./write-gate.ts";
import { about } from "./words.ts";

const at = Date.parse("2026-11-21T10:00:00Z");
const intake: Intake = { fleet: "prod", knowsNode: (node) => node === "node-1.example", knowsPool: (pool) => pool === "edge", now: () => at }; // biome-ignore format: one row
const relay = { fleet: "prod", node: "node-1.example" };
const sensor = { ...relay, pool: "edge" };
const bytes = (value: unknown): Uint8Array => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const take = (subject: string, value: unknown) => takeReport(subject, bytes(value), intake);
const hop = { path: 7, rule: "a", peers: [], streams: 1, unique: 1, lost: 0, pending: 0, duplicate: 0, reordered: 0, late: 0, latency_us: { p50: 1, p99: 1, buckets: [] } }; // biome-ignore format: one row
const protocol = { protocol: "esp", flows: 1, packets: 1, bytes: 1, gaps: 0, expected: 9, unique: 1, lost: 0, pending: 0, reordered: 0, duplicate: 0, late: 0, jumps: 0, outliers: 0, restarts: 0 }; // biome-ignore format: one row

test("reports of both kinds are taken, an older relay's among them; a clock that is an hour off is told", () => {
  expect(take(relayReportSubject(relay), relayReport)).toMatchObject({ kind: "relay", clockOffMs: 0, report: { tunnels: [] } }); // biome-ignore format: one row
  expect(take(reportSubject(sensor), { ...sensorReport, time: "2026-11-21T11:00:00.000000000Z" })).toMatchObject({ kind: "sensor", clockOffMs: 3_600_000 }); // biome-ignore format: one row
});

test.each<[string, string, unknown, string]>([
  ["no JSON", relayReportSubject(relay), "{", "malformed"],
  ["bytes that are no text", relayReportSubject(relay), Buffer.from([0xff, 0xfe]).toString("latin1"), "malformed"],
  ["a missing field", relayReportSubject(relay), { ...relayReport, totals: undefined }, "malformed"],
  ["a negative count", reportSubject(sensor), { ...sensorReport, lost: -1 }, "malformed"],
  ["a count that no number holds", reportSubject(sensor), { ...sensorReport, lost: 1e300 }, "malformed"],
  ["a time that is none", relayReportSubject(relay), { ...relayReport, time: "yesterday" }, "malformed"],
  ["another node's name", relayReportSubject(relay), { ...relayReport, node: "node-2" }, "sender"],
  ["another pool's name", reportSubject(sensor), { ...sensorReport, pool: "other" }, "sender"],
  ["a node that is not there", relayReportSubject({ ...relay, node: "ghost" }), relayReport, "unknown_node"],
  ["a pool that is not there", reportSubject({ ...sensor, pool: "ghost" }), sensorReport, "unknown_pool"],
  ["another fleet", relayReportSubject({ ...relay, fleet: "other" }), relayReport, "subject"],
  ["a subject of nobody", "tapline.prod.report.relay.a.b.c", relayReport, "subject"],
  ["an interval of a day", relayReportSubject(relay), { ...relayReport, interval_ms: 86_400_000 }, "impossible"],
  ["rules that do not add up", relayReportSubject(relay), { ...relayReport, totals: { ...relayReport.totals, rules: 5 } }, "impossible"],
  ["a path twice", relayReportSubject(relay), { ...relayReport, hops: [hop, hop] }, "impossible"],
  ["a rate of 10^30", relayReportSubject(relay), { ...relayReport, totals: { ...relayReport.totals, packets_per_second: 1e30 } }, "impossible"],
  ["books of a protocol that do not balance", reportSubject(sensor), { ...sensorReport, protocols: [protocol] }, "impossible"],
  ["a megabyte", relayReportSubject(relay), " ".repeat(1_100_000), "too_large"],
])("%s is refused under its reason", (_, subject, value, reason) => {
  expect(take(subject, value)).toMatchObject({ refused: reason });
}); // biome-ignore format: a table

test("whatever bytes come, they are refused and nothing is thrown", () => {
  fc.assert(
    fc.property(fc.json(), (text) => void expect(take(relayReportSubject(relay), text)).toHaveProperty("refused")),
  );
  fc.assert(fc.property(fc.uint8Array(), (data) => void expect(takeReport(relayReportSubject(relay), data, intake)).toHaveProperty("refused"))); // biome-ignore format: one row
});

test("refusals are counted all, and named as far as there is room", () => {
  const refusals = new Refusals();
  for (let i = 0; i < 1000; i++) refusals.add({ refused: "unknown_node", node: `ghost-${i}`, detail: "" });
  const [row] = refusals.rows();
  expect([row?.reports, row?.nodes.length, row?.nodes[0]?.node]).toEqual([1000, 16, "ghost-999"]);
});

test("an agent is silent after three of its own intervals; a report that comes late or again does not count", () => {
  const heard = new Heard();
  const report = { run: "a", sequence: 5, interval_ms: 1000 };
  expect([heard.reporting(0), heard.hear(report, 0), heard.reporting(3000), heard.reporting(3001)]).toEqual([false, true, true, false]); // biome-ignore format: one row
  expect([heard.hear(report, 4000), heard.hear({ ...report, sequence: 4 }, 4000), heard.reporting(4000)]).toEqual([false, false, false]); // biome-ignore format: one row
  expect([heard.hear({ ...report, sequence: 9 }, 4000), heard.missed, heard.hear({ ...report, run: "b", sequence: 1 }, 5000)]).toEqual([true, 3, true]); // biome-ignore format: one row
});

test("what means something new: conditions, losses, a flow that begins or ends; not counters that count, nor rates that waver", () => {
  const condition = { type: "Ready", status: "True", reason: "Ready", message: "2 of 2", lastTransitionTime: "t" };
  const status = { conditions: [condition], received: 100, lost: 0, pps: 1000, hops: [{ name: "a", dropped: { device: 1 } }] }; // biome-ignore format: one row
  expect(changeOf(status, structuredClone(status))).toBe("none");
  expect(changeOf(status, { ...status, received: 200, pps: 1050 })).toBe("minor");
  expect(changeOf(status, { ...status, conditions: [{ ...condition, message: "other words" }] })).toBe("minor");
  for (const more of [{ lost: 1 }, { pps: 0 }, { pps: 2000 }, { received: 50 }, { conditions: [{ ...condition, status: "False" }] }, { hops: [{ name: "a", dropped: { device: 2 } }] }]) // biome-ignore format: one row
    expect(changeOf(status, { ...status, ...more })).toBe("major");
});

test("an object is written at most every ten seconds, what matters most first, and all together no faster than allowed", () => {
  const gate = new WriteGate<{ lost: number; received: number }>({ leastMs: 10_000, minorMs: 60_000, perSecond: 5, burst: 5 }, changeOf); // biome-ignore format: one row
  for (let i = 0; i < 100; i++) gate.offer(`o${i}`, { lost: 0, received: 1 }, 0);
  expect(gate.due(0)).toHaveLength(5);
  let written = 5;
  for (let s = 1; s <= 25; s++) written += gate.due(s * 1000).length;
  expect(written).toBe(100);
  gate.offer("o1", { lost: 0, received: 2 }, 30_000);
  gate.offer("o2", { lost: 7, received: 2 }, 30_000);
  expect(gate.due(30_000).map(({ name }) => name)).toEqual(["o2"]);
  gate.offer("o2", { lost: 8, received: 2 }, 31_000);
  expect(gate.due(39_000)).toEqual([]);
  expect(gate.due(40_000).map(({ name }) => name)).toEqual(["o2"]);
  expect(gate.due(70_000).map(({ name }) => name)).toEqual(["o1"]);
});

test("large counts are told so that they do not change with every packet", () => {
  expect([999_999, 9_100_000, 9_199_999, 2.5e12].map(about)).toEqual(["999,999", "9.1 M", "9.1 M", "2.5 T"]);
});
