// Counts of a made-up node → the reports that its sensor and its relay send, whole and of the size that real ones have.
import type { RunningPlan } from "#bus/plan-seal.ts";
import type { RelayPlan } from "#domain/relay-plan.ts";
import type { HopRow, LinkRow, RelayReport, ReportedPort, RuleRow } from "#domain/relay-report.ts";
import type { NamedRule } from "#domain/relay-rule.ts";
import type { ReportedInterface, ReportedProtocol, SensorReport } from "#domain/report.ts";
import { fleet, type FleetShape, nodeName, partOf, poolName, poolOf } from "./made-fleet.ts";
import { bytesPerPacket, flowsPerSensor, type SensorCounts, type Traffic } from "./traffic.ts";

const started = "2026-11-21T10:00:00.000000000Z";
const now = (): string => `${new Date().toISOString().slice(0, -1)}000000Z`;
const head = (node: number, sequence: number) => ({ v: 1, fleet, node: nodeName(node), version: "1.0.0", run: `run-${node}`, time: now(), started, sequence, interval_ms: 1000 }) as const; // biome-ignore format: one row
const half = (count: number, i: number): number => (i === 0 ? Math.floor(count / 2) : count - Math.floor(count / 2));

function reportedInterface(counts: SensorCounts, i: number): ReportedInterface {
  const [seen, ringDrops, arp] = [half(counts.seen, i), half(counts.ringDrops, i), half(counts.arp, i)];
  const delivered = seen - ringDrops;
  return { interface: `eth${i + 1}`, state: "watching", since: started, problem: null, seen, ring_drops: ringDrops, in_flight: 0, delivered, decoded: delivered, tracked: delivered - arp, undecodable: {}, untracked: { arp }, residue: 0, bytes: half(counts.bytes, i), super_packets: 0, segments: 0, partial_checksums: 0, ring_full: ringDrops > 0 ? 1 : 0, ring_bytes: 67_108_864, ring_wanted: 67_108_864, ring_locked: true, packets_per_second: counts.pps / 2, bits_per_second: (counts.pps / 2) * bytesPerPacket * 8, beside: { kernel: { rx_missed_errors: 0, rx_fifo_errors: 0, rx_over_errors: 0, rx_dropped: 0, rx_nohandler: 0, rx_crc_errors: 0 }, driver: { rx_out_of_buffer: 0, rx_discards_phy: 0 } } }; // biome-ignore format: one object
}

/** All packets are of one protocol; the others that a sensor names have none. */
const reportedProtocol = (protocol: ReportedProtocol["protocol"], packets: number, lost: number): ReportedProtocol => ({ protocol, flows: packets === 0 ? 0 : flowsPerSensor, packets, bytes: packets * bytesPerPacket, gaps: lost, expected: packets + lost, unique: packets, lost, pending: 0, reordered: 0, duplicate: 0, late: 0, jumps: 0, outliers: 0, restarts: 0 }); // biome-ignore format: one row

export function sensorReport(node: number, shape: FleetShape, traffic: Traffic, sequence: number): SensorReport {
  const counts = traffic.sensor(node);
  const { seen, ringDrops, arp, lost } = counts;
  return { ...head(node, sequence), pool: poolName(poolOf(node, shape)), interfaces: [reportedInterface(counts, 0), reportedInterface(counts, 1)], softnet: { processed: seen, dropped: 0, time_squeeze: 0, flow_limit: 0, cpus: [] }, protocols: [reportedProtocol("macsec", seen - ringDrops - arp, lost), reportedProtocol("esp", 0, 0), reportedProtocol("ah", 0, 0)], flows: { live: flowsPerSensor, total: flowsPerSensor, cap_evictions: 0 }, lost, gaps: lost, suspect_gaps: 0, rung: "none", clock: { steps: 0, step_seconds: 0 }, blinds_dropped: 0, store: { state: "writing", waiting_bytes: 0, dropped: 0, bytes: 4096 }, bus: { accepted: 0, acknowledged: 0, waiting: 0, overflowed: 0, untold: 0, unsent_reports: 0, reconnects: 0 }, conditions: [] }; // biome-ignore format: one object
}

interface Figures {
  readonly matched: number;
  readonly lost: number;
  readonly dropped: number;
}
function figuresOf(node: number, shape: FleetShape, traffic: Traffic): Figures & { readonly pps: number } {
  const part = partOf(node, shape);
  if (!part) return { matched: 0, lost: 0, dropped: 0, pps: 0 };
  const { rule, hop, edge } = part;
  const [sent, pps] = [traffic.sent(rule), traffic.flows ? traffic.pps(rule) : 0];
  if (hop !== "edge") return { matched: sent, lost: 0, dropped: 0, pps };
  const lost = traffic.lostOnWay(rule, edge);
  return { matched: sent - lost, lost, dropped: traffic.droppedAtEdge(rule, edge), pps };
}

const byReason = (dropped: number) => (dropped === 0 ? {} : { device: dropped });

function ruleRow({ id, from, to }: NamedRule, { matched, dropped }: Figures, pps: number): RuleRow {
  const sent = matched * to.length - dropped;
  const { interface: name = null, group = null, port = null, tunnel } = from;
  return { id, name: id, state: "active", engine: "tc", why: "a tunnel, or several outputs, on an interface that a sensor watches", input_interface: name, input_vlan: null, input_group: group, input_port: port, input_path: tunnel?.path ?? null, matched, bytes: matched * bytesPerPacket, refused: {}, packets_relayed: sent, bytes_relayed: sent * bytesPerPacket, dropped: byReason(dropped), last: matched === 0 ? null : now(), packets_per_second: pps * to.length, bits_per_second: pps * to.length * bytesPerPacket * 8 }; // biome-ignore format: one object
}

const hopRow = (path: number, rule: string, { matched, lost }: Figures): HopRow => ({ path, rule, peers: ["10.0.0.1"], streams: 1, unique: matched, lost, pending: 0, duplicate: 0, reordered: 0, late: 0, latency_us: { p50: 64, p99: 256, buckets: [0, 0, 0, 0, 0, 0, matched] } }); // biome-ignore format: one row
const port = (name: string, { matched }: Figures, pps: number): ReportedPort => ({ interface: name, engine: "tc", received: matched, bytes: matched * bytesPerPacket, passed: 0, matched, refused: {}, ring_drops: 0, residue: 0, packets_per_second: pps, bits_per_second: pps * bytesPerPacket * 8 }); // biome-ignore format: one row
const links: LinkRow[] = ["lo", "eth0", "eth1", "eth2", "eth3"].map((name) => ({ name, up: true, mtu: name === "lo" ? 65_536 : 9000 })); // biome-ignore format: one row
const engines = (["xdp", "tc", "afpacket"] as const).map((engine) => ({ engine, available: true, why: "the kernel has all it needs" })); // biome-ignore format: one row
/** Every so many reports the links are told. */
const linksEvery = 30;

export interface Running extends RunningPlan {
  readonly rules: RelayPlan["rules"];
}

export function relayReport(node: number, shape: FleetShape, traffic: Traffic, running: Running, sequence: number): RelayReport {
  const { pps, ...figures } = figuresOf(node, shape, traffic);
  const rules = running.rules as readonly NamedRule[];
  const rows = rules.map((rule) => ruleRow(rule, figures, pps));
  const hops = rules.flatMap(({ id, from: { tunnel } }) => (tunnel ? [hopRow(tunnel.path, id, figures)] : []));
  const tunnels = rules.flatMap(({ id, to }) => to.flatMap(({ tunnel }) => (tunnel ? [{ path: tunnel.path, rule: id, wanted: figures.matched, sent: figures.matched, dropped: {} }] : []))); // biome-ignore format: one row
  const sent = rows.reduce((sum, row) => sum + row.packets_relayed, 0);
  const dropped = byReason(figures.dropped);
  return { ...head(node, sequence), plan: { generation: running.generation, digest: running.digest, state: running.generation === 0 ? "none" : "applied" }, engines, pinned: true, interfaces: [port("eth1", figures, pps)], totals: { rules: rows.length, active: rows.length, partial: 0, waiting: 0, matched: figures.matched, wanted: sent + figures.dropped, sent, sent_bytes: sent * bytesPerPacket, refused: {}, dropped, packets_per_second: pps, bits_per_second: pps * bytesPerPacket * 8 }, rules: rows, rules_untold: 0, hops, tunnels, ...(sequence % linksEvery === 1 ? { links } : {}), workers: [], bus: { unsent_reports: 0, reconnects: 0 }, conditions: [] }; // biome-ignore format: one object
} // biome-ignore format: the signature
