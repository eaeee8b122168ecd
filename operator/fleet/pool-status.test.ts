// A SensorPool's conditions and sums from its sensors' reports: who is silent, what is in no account, what works less well than asked for.
import { expect, test } from "vitest";
import type { ReportedInterface, SensorReport } from "#domain/report.ts";
import { sensorReport } from "./made-reports.ts";
import { poolVerdict, type PoolVerdict, type PoolView } from "./pool-status.ts";
import { SensorBook } from "./sensor-book.ts";

const port: ReportedInterface = { interface: "eth1", state: "watching", since: "", problem: null, seen: 0, ring_drops: 0, in_flight: 0, delivered: 0, decoded: 0, tracked: 0, undecodable: {}, untracked: {}, residue: 0, bytes: 0, super_packets: 0, segments: 0, partial_checksums: 0, ring_full: 0, ring_bytes: 0, ring_wanted: 0, ring_locked: true, packets_per_second: 0, bits_per_second: 0, beside: { stack_drops: {}, driver_drops: {} } as unknown as ReportedInterface["beside"] }; // biome-ignore format: one object

/** Three sensors that are told of once a second. */
class Lab {
  readonly book = new SensorBook();
  readonly nodes = ["node-1", "node-2", "node-3"];
  readonly silent = new Set<string>();
  readonly ports = new Map(this.nodes.map((node) => [node, { ...port }]));
  readonly more = new Map<string, object>();
  now = 1_000_000;
  clockOffMs = 0;
  ready = 3;
  podsRefused: string | undefined;
  refusal: PoolView["refusal"];
  #sequence = 0;

  /** Each sensor sees so many. */
  second(packets: number): void {
    this.now += 1000;
    this.#sequence++;
    for (const node of this.nodes) {
      const one = this.ports.get(node) ?? port;
      const more = { seen: one.seen + packets, delivered: one.delivered + packets, bytes: one.bytes + 100 * packets, packets_per_second: packets, bits_per_second: 800 * packets }; // biome-ignore format: one object
      this.ports.set(node, { ...one, ...more });
      if (this.silent.has(node)) continue;
      const report = { ...sensorReport, node, sequence: this.#sequence, interfaces: [this.ports.get(node)], ...this.more.get(node) }; // biome-ignore format: one object
      this.book.hear(report as unknown as SensorReport, this.clockOffMs, this.now, this.now);
    }
  }
  change(node: string, more: Partial<ReportedInterface>): void {
    this.ports.set(node, { ...(this.ports.get(node) ?? port), ...more });
  }
  seconds(count: number, packets: number): void {
    for (let i = 0; i < count; i++) this.second(packets);
  }
  get verdict(): PoolVerdict {
    return poolVerdict({ refusal: this.refusal, nodes: this.nodes, ready: this.ready, podsRefused: this.podsRefused, ports: { api: 3001, metrics: 9464 }, sensor: (node) => this.book.get("edge", node), now: this.now }); // biome-ignore format: one call
  }
  says(type: string): string {
    const one = this.verdict.holding.find((condition) => condition.type === type);
    return `${one?.status} ${one?.reason}: ${one?.message}`;
  }
}

test("all well: every sensor is ready and heard, every packet in one account, and the sums are those of the sensors", () => {
  const lab = new Lab();
  lab.seconds(3, 1000);
  expect(lab.verdict.holding.map(({ type, status }) => `${type} ${status}`)).toEqual(["Accepted True", "Ready True", "Accounted True", "Degraded False"]); // biome-ignore format: one row
  expect(lab.verdict.figures).toEqual({ desired: 3, ready: 3, reporting: 3, ports: { api: 3001, metrics: 9464 }, totals: { packets: 9000, bytes: 900_000, pps: 3000, bps: 2_400_000, drops: {}, lost: 0, suspect: 0, flows: 0 } }); // biome-ignore format: one row
  expect(lab.says("Accounted")).toBe("True Accounted: each of 9,000 packets is in one account");
});

test("sensors that start, that are refused, and that no node is there for, are told apart", () => {
  const lab = new Lab();
  lab.second(0);
  lab.ready = 1;
  expect(lab.says("Ready")).toBe("False SensorsStarting: 1 of 3 sensors are ready");
  lab.podsRefused = "2 of 3 pods are refused: quota";
  expect(lab.says("Ready")).toBe("False PodsRefused: 2 of 3 pods are refused: quota");
  lab.nodes.splice(0);
  expect(lab.says("Ready")).toBe("False NoNodes: no node is selected: kubectl get nodes --show-labels");
});

test("a pool that is not accepted is neither ready nor as asked for, with the reason in each", () => {
  const lab = new Lab();
  lab.second(0);
  lab.refusal = { reason: "InterfaceClaimed", message: "another has eth1" };
  expect(lab.says("Accepted")).toBe("False InterfaceClaimed: another has eth1");
  expect(lab.says("Ready")).toBe("False NotAccepted: another has eth1");
  expect(lab.says("Degraded")).toBe("True NotAccepted: another has eth1");
});

test("a sensor that is silent for three intervals is named, its figures are in no sum, and nothing is claimed of its packets", () => {
  const lab = new Lab();
  lab.seconds(2, 1000);
  lab.silent.add("node-2");
  lab.seconds(3, 1000);
  expect(lab.says("Ready")).toMatch(/^True/);
  lab.second(1000);
  expect(lab.says("Ready")).toBe("False NotReporting: not reporting: node-2");
  expect(lab.says("Accounted")).toBe("Unknown NotReporting: not reporting: node-2");
  expect(lab.verdict.figures).toMatchObject({ reporting: 2, totals: { packets: 12_000 }, worst: [{ node: "node-2", reason: "NotReporting" }] }); // biome-ignore format: one row
  for (const node of lab.nodes) lab.silent.add(node);
  lab.seconds(4, 0);
  expect(lab.says("Accounted")).toBe("Unknown NotReporting: no sensor reports");
  lab.silent.clear();
  lab.second(0);
  expect(lab.says("Ready")).toMatch(/^True/);
});

test("a residue counts only where nothing moves, and when it stays for three reports", () => {
  const lab = new Lab();
  lab.second(1000);
  lab.change("node-3", { residue: 7 });
  lab.seconds(5, 1000);
  expect(lab.says("Accounted")).toMatch(/^True/);
  lab.seconds(2, 0);
  expect(lab.says("Accounted")).toMatch(/^True/);
  lab.second(0);
  expect(lab.says("Accounted")).toBe("False Residue: node-3: 7 packets of eth1 are in no account");
  lab.change("node-3", { residue: 0 });
  lab.second(0);
  expect(lab.says("Accounted")).toMatch(/^True/);
});

test("what the rings drop is told for a minute, the worst node first, and stays in the sums", () => {
  const lab = new Lab();
  lab.seconds(2, 1000);
  lab.change("node-1", { ring_drops: 5 });
  lab.change("node-2", { ring_drops: 50 });
  lab.second(1000);
  expect(lab.says("Degraded")).toBe("True RingDrops: node-1: its rings dropped 5 of 3,000; node-2: its rings dropped 50 of 3,000"); // biome-ignore format: one row
  expect(lab.verdict.figures.worst?.map(({ node }) => node)).toEqual(["node-2", "node-1"]);
  lab.seconds(59, 0);
  expect(lab.says("Degraded")).toMatch(/^True RingDrops/);
  lab.second(0);
  expect(lab.says("Degraded")).toBe("False AsAsked: all works as asked for");
  expect(lab.verdict.figures.totals?.drops).toEqual({ ring_drops: 55 });
});

test("drops that were there before the operator looked are no news", () => {
  const lab = new Lab();
  lab.change("node-1", { ring_drops: 5 });
  lab.seconds(2, 1000);
  expect(lab.says("Degraded")).toMatch(/^False/);
});

test.each<[string, object, Partial<ReportedInterface>, string]>([
  ["an interface that is down", {}, { state: "down" }, "InterfaceAbsent: node-1: eth1 is down"],
  ["one that is refused", {}, { problem: { code: "CAPTURE_NOT_ALLOWED", detail: "no CAP_NET_RAW" } }, "InterfaceRefused: node-1: eth1: no CAP_NET_RAW"],
  ["none at all", { interfaces: [] }, {}, "NoInterface: node-1: none of its interfaces is there"],
  ["little memory", { rung: "fewer_flows" }, {}, "MemoryShort: node-1: its memory is short: fewer_flows"],
  ["a condition of its own", { conditions: [{ code: "STORE_FULL", since: "", message: "the disk is full" }] }, {}, "STORE_FULL: node-1: the disk is full"],
])("%s is told with the node's name", (_, report, on, expected) => {
  const lab = new Lab();
  lab.more.set("node-1", report);
  lab.change("node-1", on);
  lab.second(0);
  expect(lab.says("Degraded")).toBe(`True ${expected}`);
}); // biome-ignore format: a table

test("a condition that says what another line says already is not told twice", () => {
  const lab = new Lab();
  lab.more.set("node-1", { conditions: [{ code: "INTERFACE_DOWN", since: "", message: "eth1 is down" }] });
  lab.change("node-1", { state: "down" });
  lab.second(0);
  expect(lab.says("Degraded")).toBe("True InterfaceAbsent: node-1: eth1 is down");
});

test("a clock that is off is told, and of many troubles three, with the count of the others", () => {
  const lab = new Lab();
  lab.clockOffMs = 3_600_000 * 3;
  lab.second(0);
  expect(lab.says("Degraded")).toBe("True ClockOff: node-1: its clock is 3 h fast: its times are not used; node-2: its clock is 3 h fast: its times are not used; node-3: its clock is 3 h fast: its times are not used"); // biome-ignore format: one row
  lab.change("node-1", { state: "down" });
  lab.second(0);
  expect(lab.says("Degraded")).toMatch(/^True InterfaceAbsent: node-1: eth1 is down; .*; and 1 more$/);
});
