// A FleetNode's conditions and lists from what its agents tell: who is silent, which plan runs, what is seen of its NICs, what is not where it is wished.
import { expect, test } from "vitest";
import { fleetNodeStatus } from "#domain/fleet-node.ts";
import type { PinningReport } from "#domain/pinning.ts";
import type { RelayReport } from "#domain/relay-report.ts";
import type { SensorReport } from "#domain/report.ts";
import { relayReport, sensorReport } from "./made-reports.ts";
import { type NodeVerdict, nodeVerdict, type NodeView } from "./node-status.ts";
import { pinningView } from "./pinning-view.ts";
import { RelayBook } from "./relay-book.ts";
import { SensorBook } from "./sensor-book.ts";

const now = 1_000_000;
const wall = Date.parse("2026-11-21T10:00:00Z");
const node = "node-1.example";

function relayState(more: object = {}, clockOffMs = 0) {
  const book = new RelayBook();
  book.plan({ rules: new Map([[node, new Set(["feed/core"])]]), paths: new Set() });
  book.hear({ ...relayReport, tunnels: [], ...more } as unknown as RelayReport, clockOffMs, now, wall);
  return book.get(node);
}
function sensorState(more: object = {}, clockOffMs = 0) {
  const book = new SensorBook();
  book.hear({ ...sensorReport, ...more } as unknown as SensorReport, clockOffMs, now, wall);
  return book.get("edge", node);
}
const nothing: NodeView = { info: { kernelVersion: "6.18.0", architecture: "amd64", osImage: "Debian 12" }, cpus: 8, sensors: new Map(), pinning: () => undefined, relayWanted: false, relay: undefined, generation: 0, rules: [], lost: () => 0, now }; // biome-ignore format: one row
const says = (verdict: NodeVerdict, type: string): string => {
  const one = verdict.holding.find((condition) => condition.type === type);
  return `${one?.status} ${one?.reason}: ${one?.message}`;
};
/** What the API would take: every list bounded, every field of its form. */
const valid = ({ figures }: NodeVerdict): unknown => fleetNodeStatus.parse(figures);

test("a node that nothing is asked of is ready, and says what the machine is", () => {
  const verdict = nodeVerdict(nothing);
  expect(verdict.holding.map(({ type, status, reason }) => `${type} ${status} ${reason}`)).toEqual(["Reporting True NothingAsked", "Programmed True Programmed", "Ready True Ready"]); // biome-ignore format: one row
  expect(verdict.figures).toEqual({ kernel: { release: "6.18.0", architecture: "amd64", os: "Debian 12" }, cpus: 8 });
});

test("agents that are wanted and not heard are named, one by one, and again when they fall silent", () => {
  const view: NodeView = { ...nothing, sensors: new Map([["edge", undefined], ["core", sensorState()]]), relayWanted: true }; // biome-ignore format: one object
  expect(says(nodeVerdict(view), "Reporting")).toBe("False NotReporting: not reporting: the sensor of edge, the relay");
  expect(says(nodeVerdict(view), "Ready")).toBe("False NotReporting: not reporting: the sensor of edge, the relay");
  expect(says(nodeVerdict({ ...view, now: now + 3001 }), "Reporting")).toMatch(/the sensor of core, the relay$/);
  const all = { ...view, sensors: new Map([["core", sensorState()]]), relay: relayState() };
  expect(says(nodeVerdict(all), "Reporting")).toBe("True Reporting: every agent reports");
});

test("a plan that does not run yet, or was refused, holds the node up", () => {
  const of = (state: string, generation: number): NodeView => ({ ...nothing, relayWanted: true, generation: 5, relay: relayState({ plan: { generation, digest: null, state } }) }); // biome-ignore format: one row
  expect(says(nodeVerdict(of("applied", 5)), "Programmed")).toBe("True Programmed: plan 5 runs");
  expect(says(nodeVerdict(of("waiting", 4)), "Programmed")).toBe("False Waiting: plan 4 runs; 5 is wanted");
  expect(says(nodeVerdict(of("refused", 4)), "Ready")).toBe("False PlanRefused: plan 4 runs; 5 is wanted");
  expect(nodeVerdict(of("refused", 4)).figures.relay).toMatchObject({ wanted: 5, programmed: 4, plan: "refused", pinned: true }); // biome-ignore format: one row
});

const links = [{ name: "lo", up: true, mtu: 65_536 }, { name: "eth1", up: true, mtu: 9000 }]; // biome-ignore format: one row
const engines = [{ engine: "xdp", available: false, why: "engines.allow has no XDP" }, { engine: "tc", available: true, why: "" }]; // biome-ignore format: one row
const none = { reason: null, not_applicable: null, items: [] };
const irq = { name: "irq 38 eth1-rx-0", desired: "2", actual: "0-7", effective: "5", problem: null };
const pinning: PinningReport = { policy: "NicLocal", irq: "Manage", online_cpus: "0-7", allowed_cpus: "0-7", isolated_cpus: "", numa_nodes: [{ node: 0, cpus: "0-3" }, { node: 1, cpus: "4-7" }], irqbalance: true, interfaces: [
  { interface: "eth1", numa_node: 1, threads: { ...none, items: [{ name: "thread 0", desired: "4", actual: "4", effective: null, problem: null }] }, memory: none, irqs: { ...none, items: [irq, irq, { ...irq, name: "irq 39 eth1-tx-0", desired: null }] }, rps: none, threaded: { ...none, items: [{ name: "thread napi/eth1-8", desired: "4", actual: null, effective: null, problem: "it is gone" }] }, warnings: [] },
  { interface: "a-name-that-no-interface-has", numa_node: 0, threads: none, memory: none, irqs: none, rps: none, threaded: none, warnings: [] },
], drift: [{ interface: "eth1", item: "irq", name: irq.name, desired: "2", actual: "0-7", since: "2026-11-21T09:59:00.123456789Z" }], drift_cause: "irqbalance runs", drifts: 1, reapplied: 0, restored_at_start: [] }; // biome-ignore format: one object

test("its NICs are those that its agents see: MTU by the relay, state by the sensor, NUMA node by what it says of pinning", () => {
  const interfaces = [{ interface: "eth1", state: "watching", problem: null }, { interface: "eth9", state: "absent", problem: null }].map((one) => ({ seen: 0, ring_drops: 0, undecodable: {}, untracked: {}, residue: 0, bytes: 0, packets_per_second: 0, bits_per_second: 0, ...one })); // biome-ignore format: one row
  const verdict = nodeVerdict({ ...nothing, relayWanted: true, relay: relayState({ links, engines }), sensors: new Map([["edge", sensorState({ interfaces })]]), pinning: () => pinningView(pinning) }); // biome-ignore format: one call
  expect(verdict.figures.interfaces).toEqual([
    { name: "eth1", mtu: 9000, state: "watching", numaNode: 1 },
    { name: "eth9", state: "absent" },
    { name: "lo", mtu: 65_536 },
  ]);
  expect(verdict.figures.numaNodes).toEqual([{ node: 0, cpus: "0-3" }, { node: 1, cpus: "4-7" }]); // biome-ignore format: one row
  expect(verdict.figures.engines).toEqual(engines);
  valid(verdict);
});

test("what is wished for is told with where it is, once each; what is not there is drift, with who is likely to have moved it", () => {
  const verdict = nodeVerdict({ ...nothing, sensors: new Map([["edge", sensorState()]]), pinning: () => pinningView(pinning) }); // biome-ignore format: one call
  expect(verdict.figures.sensors?.[0]?.pinning).toEqual({
    policy: "NicLocal",
    irq: "Manage",
    cause: "irqbalance runs",
    items: [
      { interface: "eth1", item: "thread", name: "thread 0", desired: "4", actual: "4" },
      { interface: "eth1", item: "irq", name: irq.name, desired: "2", actual: "0-7", effective: "5" },
      { interface: "eth1", item: "napi", name: "thread napi/eth1-8", desired: "4", problem: "it is gone" },
    ],
    itemsLeftOut: 0,
    drift: [{ interface: "eth1", item: "irq", name: irq.name, desired: "2", actual: "0-7", since: "2026-11-21T09:59:00Z" }], // biome-ignore format: one row
  });
  expect(says(verdict, "Pinned")).toBe("False Drift: eth1: irq 38 eth1-rx-0 is on 0-7, wished on 2; irqbalance runs");
  expect(says(verdict, "Ready")).toMatch(/^True/);
  valid(verdict);
  const quiet = nodeVerdict({ ...nothing, sensors: new Map([["edge", sensorState()]]), pinning: () => pinningView({ ...pinning, drift: [] }) }); // biome-ignore format: one call
  expect(says(quiet, "Pinned")).toBe("True AsWished: all that is wished for is so");
});

test("more than the object takes is left out, and counted", () => {
  const many = Array.from({ length: 600 }, (_, i) => ({ ...irq, name: `irq ${i}` }));
  const [first] = pinning.interfaces;
  const told = pinningView({ ...pinning, interfaces: first ? [{ ...first, irqs: { ...none, items: many } }] : [] });
  expect(told.pinning).toMatchObject({ itemsLeftOut: 90 });
  expect(told.pinning.items).toHaveLength(512);
});

const placed = (hop: string, id: string) => ({ owner: "feed", node, hop, rule: { id, engine: "Auto", deliverLocal: false, from: { protocol: "UDP", sources: [] }, to: [] } }) as unknown as NodeView["rules"][number]; // biome-ignore format: one row
const row = { id: "feed/core", name: "", state: "active", engine: "tc", why: "several outputs", input_interface: "eth1", input_vlan: null, input_group: null, input_port: null, input_path: null, matched: 10, bytes: 0, refused: { ttl: 2 }, packets_relayed: 20, bytes_relayed: 0, dropped: { mtu: 1 }, last: "2026-11-21T09:59:59.5Z", packets_per_second: 0, bits_per_second: 0 }; // biome-ignore format: one row

test("a rule's row has what the relay counted and what the network lost before it", () => {
  const view: NodeView = { ...nothing, relayWanted: true, relay: relayState({ rules: [row] }), rules: [placed("core", "feed/core")], lost: () => 3 }; // biome-ignore format: one row
  expect(nodeVerdict(view).figures.rules).toEqual([{ rule: "feed", hop: "core", state: "active", engine: "tc", why: "several outputs", received: 12, matched: 10, refused: { ttl: 2 }, sent: 20, dropped: { mtu: 1 }, lost: 3, lastPacket: "2026-11-21T09:59:59Z" }]); // biome-ignore format: one row
  valid(nodeVerdict(view));
  const untold = { ...view, relay: relayState() };
  expect(nodeVerdict(untold).figures.rules).toBeUndefined();
});

test("of more rules than the object takes the rest is counted", () => {
  const rules = Array.from({ length: 502 }, (_, i) => placed(`h${i}`, `feed/h${i}`));
  expect(nodeVerdict({ ...nothing, rules }).figures.rulesLeftOut).toBe(2);
});

test("an agent whose clock is off is told first, and none of its times is used", () => {
  const view: NodeView = { ...nothing, relayWanted: true, relay: relayState({ rules: [row], conditions: [{ code: "RELAY_WAITING", since: "", message: "no eth9" }] }, -3_600_000 * 2), rules: [placed("core", "feed/core")], sensors: new Map([["edge", sensorState({}, 600_000)]]) }; // biome-ignore format: one row
  const { relay, sensors, rules } = nodeVerdict(view).figures;
  expect(relay).toMatchObject({ problems: ["its clock is 2 h slow", "RELAY_WAITING: no eth9"], started: "2026-11-21T10:00:00Z" }); // biome-ignore format: one row
  expect(sensors?.[0]).toMatchObject({ problems: ["its clock is 10 min fast"], lastReport: "2026-11-21T10:00:00Z" });
  expect(rules?.[0]).not.toHaveProperty("lastPacket");
});
