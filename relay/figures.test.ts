// Figures of the engines become rows, the report, metrics and conditions: rates from differences, idle rules for nothing, everything bounded.
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import type { RuleRow } from "#domain/relay-report.ts";
import { relayDrops, relayRefusals } from "#domain/vocabulary.ts";
import type { RelayFigures, RelayOutputFigures, RelayPortFigures, RelayRuleFigures } from "#native/relay.ts";
import { holding, type Standing } from "./holding.ts";
import { able, madeNear, noEngines } from "./made-near.ts";
import { hopRows, percentile, portRows, tunnelRows } from "./port-rows.ts";
import { Programme, type Stand } from "./programme.ts";
import { ChangedRows } from "./report.ts";
import { bytesOf, find } from "./resolve.ts";
import { readRules } from "./rule-input.ts";
import { RelayMetrics } from "./show-figures.ts";
import type { Surroundings } from "./surroundings.ts";
import { Tallies } from "./tallies.ts";
import { tooSmall } from "./tunnel-room.ts";

const zeros = <Reason extends string>(list: Readonly<Record<Reason, string>>): Record<Reason, number> =>
  Object.fromEntries(Object.keys(list).map((reason) => [reason, 0])) as Record<Reason, number>;
const ruleFigures = (id: string, matched: number, refused = {}): RelayRuleFigures => ({
  id, matched, bytes: matched * 100, refused: { ...zeros(relayRefusals), ...refused }, lastNs: matched === 0 ? 0n : 1_000_000_000n,
}); // biome-ignore format: one row
const outputFigures = (rule: string, id: string, sent: number, dropped = {}): RelayOutputFigures => {
  const all = { ...zeros(relayDrops), ...dropped };
  return { rule, id, wanted: sent + Object.values(all).reduce((a, b) => a + b, 0), sent, sentBytes: sent * 128, dropped: all }; // biome-ignore format: one row
};
const portFigures = (received: number, matched: number, refused = {}): RelayPortFigures => {
  const all = { ...zeros(relayRefusals), ...refused };
  const passed = received - matched - Object.values(all).reduce((a, b) => a + b, 0);
  return { ifindex: 1, engine: "tc", received, bytes: received * 100, passed, matched, refused: all, ringDrops: 0 };
};
const figures = (more: Partial<RelayFigures>): RelayFigures => ({
  ports: [],
  rules: [],
  outputs: [],
  hops: [],
  ...more,
});

const near = madeNear({ links: [{ name: "eth0" }, { name: "eth1" }], addresses: { eth1: "192.0.2.1" }, ways: { "192.0.2.2": ["eth1", "192.0.2.2"] }, neighbours: { "192.0.2.2": 2 } }); // biome-ignore format: one table
const available = { ...noEngines("none"), states: () => (["xdp", "tc", "afpacket"] as const).map((engine) => ({ engine, available: true, why: "" })) }; // biome-ignore format: one list
const programmeOf = (around: Surroundings): Programme =>
  new Programme({ engines: available, epoch: 1, carried: new Map(), applied: () => {} }, around);
async function standing(...values: object[]): Promise<ReadonlyMap<string, Stand>> {
  const programme = programmeOf(near);
  programme.set(await readRules("it", values));
  return programme.stands;
}
const from = { interface: "eth0", group: "239.1.1.1", port: 5000 };
const to = [{ id: "x", interface: "eth1" }];
const second = 1_000_000_000n;

const still: Standing = {
  stands: [], near, engines: available.states(), pinned: { ok: true, why: "" }, workers: [], ports: [], portsBefore: [], hops: [], hopsBefore: [], dropped: new Map(), groups: [], failures: [],
}; // biome-ignore format: one row

test("the first look has counts and no rates; the second has both; a quiet rule keeps its row", async () => {
  const stands = await standing({ id: "a", from, to }, { id: "b", from: { ...from, port: 1 }, to });
  const tallies = new Tallies();
  const told: [string, number][] = [];
  const look = (at: bigint, matched: number): RuleRow[] => {
    const now = figures({
      rules: [ruleFigures("a", matched)],
      outputs: [outputFigures("a", "x", matched, { device: 3 })],
    });
    tallies.update(now, stands, at * second, (more) => void told.push([more.stand.rule.id, more.sent]));
    return [...tallies.rows];
  };
  const [first, idle] = look(1n, 500);
  expect(first).toMatchObject({ id: "a", matched: 500, packets_relayed: 500, bytes_relayed: 64_000, packets_per_second: 0, dropped: { device: 3 }, input_group: "239.1.1.1", input_port: 5000, state: "active" }); // biome-ignore format: one row
  expect(idle).toMatchObject({ id: "b", matched: 0, last: null });
  const [next, same] = look(3n, 700);
  expect(next).toMatchObject({ packets_per_second: 100, bits_per_second: 100 * 128 * 8, last: "1970-01-01T00:00:01.000000000Z" }); // biome-ignore format: one row
  expect(tallies.detail("a")?.outputs).toMatchObject([{ id: "x", wanted: 703, packets_relayed: 700, residue: 0, packets_per_second: 100, input_group: "239.1.1.1", interface: "eth1" }]); // biome-ignore format: one row
  const [quiet, still] = look(4n, 700);
  expect(quiet?.packets_per_second).toBe(0);
  expect(look(5n, 700)[0]).toBe(quiet);
  expect([same, still].every((row) => row === same)).toBe(true);
  expect(told.filter(([id]) => id === "a")).toEqual([["a", 500], ["a", 200]]); // biome-ignore format: one row
});

test("a counter that began anew adds what it has, and takes nothing away", async () => {
  const stands = await standing({ id: "a", from, to });
  const registry = new Registry();
  const metrics = new RelayMetrics(registry, 10);
  const tallies = new Tallies();
  for (const [i, sent] of [100, 150, 20].entries())
    tallies.update(figures({ rules: [ruleFigures("a", sent)], outputs: [outputFigures("a", "x", sent)] }), stands, BigInt(i) * second, (more) => metrics.rule(more)); // biome-ignore format: one call
  const text = await registry.metrics();
  expect(text).toContain('tapline_relay_rule_sent_packets_total{rule="a"} 170');
  expect(text).toContain('tapline_relay_sent_packets_total{engine="xdp"} 170');
});

test("10,000 rules make as many series as were allowed, and none of their packets is left out", async () => {
  const stands = await standing(...Array.from({ length: 10_000 }, (_, i) => ({ id: `r${i}`, from: { ...from, interface: "eth0", group: `239.1.${i >> 8}.${i & 255}` }, to }))); // biome-ignore format: one list
  const registry = new Registry();
  const metrics = new RelayMetrics(registry, 100);
  const tallies = new Tallies();
  const rules = [...stands.keys()].map((id) => ruleFigures(id, 3));
  const outputs = [...stands.keys()].map((id) => outputFigures(id, "x", 3));
  tallies.update(figures({ rules, outputs }), stands, second, (more) => metrics.rule(more));
  const text = await registry.metrics();
  const series = text.match(/^tapline_relay_rule_sent_packets_total\{.*$/gm) ?? [];
  expect(series).toHaveLength(101);
  expect(series.at(-1)).toBe('tapline_relay_rule_sent_packets_total{rule="other"} 29700');
  // And the looks after it, when nothing comes, are cheap.
  tallies.update(figures({ rules, outputs }), stands, 2n * second, () => undefined);
  const since = process.cpuUsage();
  tallies.update(figures({ rules, outputs }), stands, 3n * second, () => undefined);
  expect(process.cpuUsage(since).user / 1000).toBeLessThan(200);
});

test("a report tells at most 500 changed rules, and in the next ones those that it passed over", () => {
  const changed = new ChangedRows();
  const row = (i: number): RuleRow => ({ id: `r${String(i).padStart(5, "0")}` }) as RuleRow; // a new object: it changed
  let rows = Array.from({ length: 1200 }, (_, i) => row(i));
  const take = (): [number, number, string | undefined] => {
    const { rows: told, untold } = changed.take(rows);
    return [told.length, untold, told[0]?.id];
  };
  expect(take()).toEqual([500, 700, "r00000"]);
  expect(take()).toEqual([500, 200, "r00500"]);
  expect(take()).toEqual([220, 0, "r01000"]);
  // And some that did not change, in turn: within a minute each is told.
  expect(take()).toEqual([20, 0, "r00020"]);
  const again = new Set(Array.from({ length: 59 }, () => changed.take(rows).rows.map(({ id }) => id)).flat());
  expect(again.size).toBeGreaterThanOrEqual(1180);
  // All change all the time: each has its turn.
  const seen = new Set<string>();
  for (let turn = 0; turn < 3; turn++) {
    rows = rows.map((_, i) => row(i));
    for (const { id } of changed.take(rows).rows) seen.add(id);
  }
  expect(seen.size).toBe(1200);
});

test("what was sent into each path stands beside what came out of others", async () => {
  const to = [1, 2].map((path) => ({ id: `t${path}`, tunnel: { path, key: "00".repeat(16), to: "192.0.2.2" } }));
  const stands = await standing({ id: "a", from, to });
  const outputs = [outputFigures("a", "t2", 90, { device: 10 })];
  expect(tunnelRows(figures({ outputs }), stands.values())).toEqual([
    { path: 1, rule: "a", wanted: 0, sent: 0, dropped: {} },
    { path: 2, rule: "a", wanted: 100, sent: 90, dropped: { device: 10 } },
  ]);
});

test("an interface's ledger closes, and a hop's latency is told by its buckets", async () => {
  const before = figures({ ports: [portFigures(100, 60, { ttl: 5 })] });
  const now = figures({ ports: [{ ...portFigures(300, 200, { ttl: 9 }), passed: 90 }] });
  expect(portRows(now, before, 2e9, () => "eth0")).toMatchObject([{ interface: "eth0", received: 300, refused: { ttl: 9 }, residue: 1, packets_per_second: 100 }]); // biome-ignore format: one row
  const stands = await standing({ id: "in", from: { tunnel: { path: 7, key: "00".repeat(16), peers: ["192.0.2.2"] } }, to: [{ interface: "eth0", group: "239.1.1.2", port: 1 }] }); // biome-ignore format: one rule
  const stream = { path: 7, epoch: 1, unique: 50, lost: 2, pending: 0, duplicate: 1, reordered: 3, late: 0, latency: [0, 0, 40, 10] }; // biome-ignore format: one row
  const hops = [
    { ...stream, stream: 0 },
    { ...stream, stream: 1 },
    { ...stream, path: 9, stream: 0 },
  ];
  expect(hopRows(figures({ hops }), stands.values())).toMatchObject([
    { path: 7, rule: "in", peers: ["192.0.2.2"], streams: 2, unique: 100, lost: 4, latency_us: { p50: 4, p99: null, buckets: [0, 0, 80, 20] } }, // biome-ignore format: one row
  ]);
  const rows = hopRows(figures({ hops }), stands.values());
  const fewer = hopRows(figures({ hops: [{ ...stream, stream: 0, lost: 1 }] }), stands.values());
  expect(holding({ ...still, hops: rows, hopsBefore: fewer })).toMatchObject([{ code: "RELAY_HOP_LOST", details: { path: 7, peers: "192.0.2.2", packets: 3 } }]); // biome-ignore format: one row
  expect(holding({ ...still, hops: rows, hopsBefore: rows })).toEqual([]);
  expect(percentile([0, 99, 1, 0], 0.99)).toBe(2);
  expect(percentile([0, 98, 2, 0], 0.99)).toBe(4);
  expect(percentile([0, 0], 0.5)).toBeNull();
});

const codes = (more: Partial<Standing>): string[] => holding({ ...still, ...more }).map(({ code, subject }) => `${code} ${subject}`); // biome-ignore format: one line

test("nothing wrong, nothing told", async () => {
  const stands = await standing({ id: "a", from, to });
  expect(codes({ stands: stands.values() })).toEqual([]);
});

test("rules that wait for one thing are one condition, however many they are", async () => {
  const many = Array.from({ length: 300 }, (_, i) => ({ id: `w${i}`, from: { interface: "late", group: "239.1.1.1", port: i + 1 }, to }));
  const stands = await standing(...many, { id: "o", from, to: [{ interface: "eth9" }, ...to] });
  const told = holding({ ...still, stands: stands.values() });
  expect(told.map(({ code, subject, details }) => [code, subject, details["count"]])).toEqual([
    ["RELAY_WAITING", "late", 300],
    ["RELAY_OUTPUT_UNREADY", "eth9 is not there", 1],
  ]);
}); // biome-ignore format: a short story

test("a tunnel whose way is too small for what may come in is named, with the sizes", async () => {
  const stands = await standing({
    id: "t",
    from,
    to: [{ tunnel: { path: 7, key: "00".repeat(16), to: "192.0.2.2" } }],
  });
  const [told] = holding({ ...still, stands: stands.values() });
  expect(told).toMatchObject({ code: "RELAY_TUNNEL_MTU", details: { path: 7, mtu: 1500, wanted: 1500, overhead: 60, needed: 1560, fits: 1440 } }); // biome-ignore format: one row
});

test("of what comes by a tunnel there is as much less to wrap as that tunnel's headers", async () => {
  const relayed = (peer: string) => standing({
    id: "on",
    from: { tunnel: { path: 6, key: "00".repeat(16), peers: [peer] } },
    to: [{ tunnel: { path: 7, key: "00".repeat(16), to: "192.0.2.2" } }],
  }); // biome-ignore format: one rule
  const around = { ...near, way: (to: Uint8Array, ifindex?: number) => near.way(to, ifindex) ?? near.way(bytesOf("192.0.2.2")) }; // biome-ignore format: one row
  const told = (stands: Awaited<ReturnType<typeof relayed>>, mtu: number) => {
    const link = near.link("eth0");
    const linkAt = (ifindex: number) => (ifindex === link?.index ? { ...link, mtu } : near.linkAt(ifindex));
    return [...stands.values()].flatMap(({ rule }) => tooSmall(rule, [link?.index ?? 0], find(rule, around).outputs, { linkAt })); // biome-ignore format: one line
  };
  const stands = await relayed("192.0.2.9");
  expect(told(stands, 1500)).toEqual([]);
  expect(told(stands, 9000)).toMatchObject([{ path: 7, output: expect.any(String) as string, wanted: 8940, needed: 9000, mtu: 1500, fits: 1440 }]); // biome-ignore format: one row
});

test("loops, intruders, drops, residues, workers, programs of others", async () => {
  const ports = (refused: object, more: Partial<RelayPortFigures> = {}) =>
    portRows(figures({ ports: [{ ...portFigures(100, 0, refused), ...more }] }), undefined, 0, () => "eth0");
  expect(codes({ ports: ports({ loop: 5, tag: 1, ttl: 9 }), portsBefore: ports({}) })).toEqual(["RELAY_LOOPING eth0 loop", "RELAY_INTRUDERS eth0 tag"]); // biome-ignore format: one row
  expect(codes({ ports: ports({ loop: 5 }), portsBefore: ports({ loop: 5 }) })).toEqual([]);
  expect(codes({ ports: ports({ loop: 5 }) })).toEqual([]); // what was there before this process
  expect(codes({ ports: ports({}, { passed: 99 }), portsBefore: ports({}, { passed: 99 }) })).toEqual(["LEDGER_RESIDUE eth0"]); // biome-ignore format: one row
  expect(codes({ ports: ports({}, { passed: 99 }), portsBefore: ports({}, { received: 90 }) })).toEqual([]);
  expect(codes({ dropped: new Map([["device", { packets: 7, rule: "a" }]]) })).toEqual(["RELAY_DROPPING device"]);
  expect(codes({ workers: [{ interface: "eth0", pid: null, state: "backing off", restarts: 3, detail: "SIGSEGV" }] })).toEqual(["RELAY_WORKER_DOWN eth0"]); // biome-ignore format: one row
  expect(codes({ engines: noEngines("no rights").states() })).toHaveLength(3);
  const foreign = { ...near, probe: (ifindex: number) => ({ ifindex, ...able, foreignXdp: true }) };
  const taken = programmeOf(near);
  taken.set(await readRules("it", [{ id: "a", from, to }, { id: "b", from: { ...from, port: 1 }, to }])); // biome-ignore format: one list
  const [hidden] = holding({ ...still, stands: taken.stands.values(), near: { ...near, isWatched: () => true } });
  expect(hidden).toMatchObject({ code: "RELAY_HIDES_PACKETS", subject: "eth0", details: { count: 2, rule: "a" } });
  taken.set(await readRules("it", [{ id: "a", from, to }, { id: "u", engine: "AFPacket", from: { ...from, port: 1 }, to }])); // biome-ignore format: one list
  expect(codes({ stands: taken.stands.values(), near: { ...near, isWatched: () => true } })).toEqual([]);
  const programme = programmeOf(foreign);
  programme.set(await readRules("it", [{ id: "a", from, to }]));
  const stands = [...programme.stands.values()];
  expect(codes({ stands, near: foreign })).toEqual(["RELAY_FOREIGN_PROGRAM eth0"]);
  expect(codes({ stands, pinned: { ok: false, why: "no bpffs" } })).toEqual(["RELAY_NOT_PINNED pins"]);
});
