// RelayRules' conditions from reports: who is waited for, what is lost and where, in words that name the segment.
import { expect, test } from "vitest";
import type { RelayReport, RuleRow } from "#domain/relay-report.ts";
import type { Layout, PlacedRule } from "../controllers/relayrule/lay-out.ts";
import { RelayBook } from "./relay-book.ts";
import { type RuleVerdict, ruleVerdict } from "./rule-status.ts";

const placed = (node: string, hop: string, id: string, tunnels: number[], input?: number): PlacedRule => ({
  node,
  hop,
  rule: { id, engine: "Auto", deliverLocal: false, from: { protocol: "UDP", sources: [], ...(input === undefined ? { interface: "eth1", group: "239.1.1.1", port: 1 } : { tunnel: { path: input, key: "", peers: [] } }) }, to: tunnels.length > 0 ? tunnels.map((path) => ({ tunnel: { path, key: "", to: "" } })) : [{ interface: "eth2" }] },
}); // biome-ignore format: one object
const layout: Layout = {
  rules: [placed("core-1", "core", "a/core", [7, 8]), placed("edge-1", "edge", "a/edge/7", [], 7), placed("edge-2", "edge", "a/edge/8", [], 8)],
  paths: [7, 8].map((path) => ({ path, rule: "a", from: { hop: "core", node: "core-1", id: "a/core" }, to: { hop: "edge", node: `edge-${path - 6}`, id: `a/edge/${path}` } })),
  hops: new Map([["core", ["core-1"]], ["edge", ["edge-1", "edge-2"]]]),
}; // biome-ignore format: a table

/** Three relays under traffic, told of once a second. */
class Lab {
  readonly book = new RelayBook();
  now = 1_000_000;
  sequence = 0;
  sent = 0;
  readonly came = [0, 0];
  readonly lost = [0, 0];
  readonly device = [0, 0];
  readonly silent = new Set<string>();
  readonly late = new Set<string>();
  state: RuleRow["state"] = "active";
  podsRefused: string | undefined;

  constructor() {
    const rules = Map.groupBy(layout.rules, ({ node }) => node);
    this.book.plan({ rules: new Map([...rules].map(([node, own]) => [node, new Set(own.map(({ rule }) => rule.id))])), paths: new Set([7, 8]) }); // biome-ignore format: one call
  }

  second(packets: number, lose: readonly [number, number] = [0, 0], device: readonly [number, number] = [0, 0]): void {
    this.now += 1000;
    this.sequence++;
    this.sent += packets;
    for (const i of [0, 1] as const) {
      const came = packets - lose[i] - device[i];
      this.device[i] = (this.device[i] ?? 0) + device[i];
      this.came[i] = (this.came[i] ?? 0) + came;
      // A window knows of a hole when something comes after it.
      if (came > 0) this.lost[i] = this.sent - (this.came[i] ?? 0);
    }
    const dropped = this.device.reduce((a, b) => a + b, 0);
    const wanted = [7, 8].map((path, i) => ({ path, rule: "a/core", wanted: this.sent, sent: this.sent - (this.device[i] ?? 0), dropped: { device: this.device[i] ?? 0 } })); // biome-ignore format: one row
    this.tell("core-1", [this.row("a/core", this.sent, this.sent * 2 - dropped, packets * 2, { device: dropped })], { tunnels: wanted }); // biome-ignore format: one call
    for (const i of [0, 1]) {
      const path = 7 + i;
      const came = this.came[i] ?? 0;
      this.tell(`edge-${i + 1}`, [this.row(`a/edge/${path}`, came, came, packets, {})], { hops: [{ path, rule: `a/edge/${path}`, peers: [], streams: 1, unique: came, lost: this.lost[i] ?? 0, pending: 0, duplicate: 0, reordered: 0, late: 0, latency_us: { p50: null, p99: null, buckets: [] } }] }); // biome-ignore format: one call
    }
  }
  seconds(count: number, ...of: Parameters<Lab["second"]>): void {
    for (let i = 0; i < count; i++) this.second(...of);
  }
  row(id: string, matched: number, sent: number, pps: number, dropped: object): RuleRow {
    return { id, name: id, state: this.state, engine: "tc", why: "no address for eth9", input_interface: "eth1", input_vlan: null, input_group: null, input_port: null, input_path: null, matched, bytes: 0, refused: {}, packets_relayed: sent, bytes_relayed: 0, dropped, last: "2026-11-21T10:00:00.123456789Z", packets_per_second: pps, bits_per_second: 0 }; // biome-ignore format: one row
  }
  tell(node: string, rules: RuleRow[], more: Partial<RelayReport>): void {
    if (this.silent.has(node)) return;
    const report = { v: 1, fleet: "prod", node, version: "1", run: "r", time: "", started: "2026-11-21T09:00:00.000000000Z", sequence: this.sequence, interval_ms: 1000, plan: { generation: 1, digest: null, state: "applied" }, engines: [], pinned: true, interfaces: [], totals: {}, rules, rules_untold: 0, hops: [], tunnels: [], workers: [], bus: {}, conditions: [], ...more }; // biome-ignore format: one object
    this.book.hear(report as unknown as RelayReport, 0, this.now, 0);
  }
  get verdict(): RuleVerdict {
    return ruleVerdict({ layout, relay: (node) => this.book.get(node), path: (path) => this.book.path(path), programmed: (node) => !this.late.has(node), waitsFor: () => [], podsRefused: this.podsRefused, now: this.now }); // biome-ignore format: one call
  }
  says(type: string): string {
    const one = this.verdict.holding.find((condition) => condition.type === type);
    return `${one?.status} ${one?.reason}: ${one?.message}`;
  }
}

test("all well: every condition holds, and the figures are those of the ends", () => {
  const lab = new Lab();
  lab.seconds(20, 1000);
  expect(lab.verdict.holding.map(({ type, status }) => `${type} ${status}`)).toEqual(["Accepted True", "Programmed True", "Receiving True", "Lossless True", "Ready True"]); // biome-ignore format: one row
  expect(lab.verdict.figures).toMatchObject({ nodes: 3, programmed: 3, received: 20_000, sent: 40_000, lost: 0, dropped: 0, pps: 1000, segments: [{ from: "core", to: "edge", sent: 40_000, lost: 0 }] }); // biome-ignore format: one row
  expect(lab.verdict.figures.hops?.[1]).toMatchObject({ name: "edge", nodes: 2, reporting: 2, matched: 40_000, engines: ["tc"], lastPacket: "2026-11-21T10:00:00Z" }); // biome-ignore format: one row
});

test("one in a hundred lost on the way to one node: the segment and the number, and after a minute it is over", () => {
  const lab = new Lab();
  lab.seconds(10, 100_000);
  lab.seconds(10, 100_000, [0, 1000]);
  lab.seconds(3, 0);
  expect(lab.says("Lossless")).toBe("False Losing: core → edge-2: 10,000 of 2 M, in the network");
  expect(lab.verdict.figures).toMatchObject({ lost: 10_000, segments: [{ lost: 10_000, worst: [{ node: "edge-2", lost: 10_000 }] }] }); // biome-ignore format: one row
  expect(lab.says("Ready")).toMatch(/^True/);
  lab.seconds(61, 10);
  expect(lab.says("Lossless")).toBe("True LosslessNow: nothing was lost in the last 60 s; before: core → edge-2: 10,000 of 2 M, in the network"); // biome-ignore format: one row
});

test("a link that is cut: named within 15 s, with all that was sent into it", () => {
  const lab = new Lab();
  lab.seconds(10, 1000);
  lab.seconds(12, 1000, [1000, 0]);
  expect(lab.says("Lossless")).toMatch(/^False Losing: core → edge-1: (9|10|11),000 of 22,000, in the network: nothing arrives any more$/); // biome-ignore format: one row
  lab.seconds(4, 0);
  expect(lab.says("Lossless")).toBe("False Losing: core → edge-1: 12,000 of 22,000, in the network");
});

test("what a node drops is its own, not the network's", () => {
  const lab = new Lab();
  lab.seconds(10, 1000);
  lab.seconds(5, 1000, [0, 0], [0, 30]);
  lab.seconds(4, 0);
  expect(lab.says("Lossless")).toBe("False Losing: core: 150 of 30,000, dropped there: device");
  expect(lab.verdict.figures).toMatchObject({ lost: 0, dropped: 150 });
});

test("a node that is silent for three intervals is named, and nothing is claimed of what it receives", () => {
  const lab = new Lab();
  lab.seconds(10, 1000);
  lab.silent.add("edge-2");
  lab.seconds(3, 1000);
  expect(lab.says("Ready")).toMatch(/^True/);
  lab.second(1000);
  expect(lab.says("Ready")).toBe("False NotReporting: not reporting: edge-2");
  expect(lab.says("Lossless")).toBe("Unknown NotReporting: not reporting: edge-2");
  expect(lab.verdict.figures.hops?.[1]).toMatchObject({ reporting: 1, worst: [{ node: "edge-2", reason: "NotReporting" }] }); // biome-ignore format: one row
  lab.silent.clear();
  lab.seconds(4, 1000);
  expect(lab.says("Ready")).toMatch(/^True/);
  expect(lab.says("Lossless")).toMatch(/^True Lossless:/);
});

test("before traffic: ready, and not receiving; a hop behind which nothing arrives is named", () => {
  const lab = new Lab();
  lab.seconds(5, 0);
  expect(lab.says("Ready")).toMatch(/^True/);
  expect(lab.says("Receiving")).toBe("False NoPackets: no packets come in at hop core, where the rule begins");
});

test("what is not programmed, and what waits, is told by node with the reason", () => {
  const lab = new Lab();
  lab.late.add("edge-2");
  lab.seconds(3, 0);
  expect(lab.says("Programmed")).toBe("False Waiting: not yet run by edge-2");
  lab.late.clear();
  lab.state = "waiting";
  lab.second(0);
  expect(lab.says("Ready")).toBe("False RuleWaits: core-1: no address for eth9; and 2 more");
});

test("relays whose pods are refused: that is said instead of their silence, of rules that wait for one", () => {
  const lab = new Lab();
  lab.seconds(10, 1000);
  lab.podsRefused = "1 of 3 pods are refused: quota";
  expect(lab.says("Ready")).toMatch(/^True/);
  lab.silent.add("edge-2");
  lab.late.add("edge-2");
  lab.seconds(4, 1000);
  expect(lab.says("Programmed")).toBe("False PodsRefused: 1 of 3 pods are refused: quota");
  expect(lab.says("Ready")).toBe("False PodsRefused: 1 of 3 pods are refused: quota");
});

test("a rule that is not accepted says so in every condition", () => {
  const { holding } = ruleVerdict({ layout: { reason: "Loop", message: "it is in a loop" }, relay: () => undefined, path: () => undefined, programmed: () => false, waitsFor: () => [], podsRefused: undefined, now: 0 }); // biome-ignore format: one call
  expect(holding[0]).toEqual({ type: "Accepted", status: "False", reason: "Loop", message: "it is in a loop" });
  expect(holding.slice(1).every(({ status, reason }) => status === "False" && reason === "NotAccepted")).toBe(true);
});
