// What a relay tells the fleet every second: its ledger at each interface and output, its hops, how it is. Counts are those of the engines: they outlive
// this process as long as the programs stay pinned. Rates and levels are of this second. Unknown fields are dropped, so that an
// older reader understands a newer relay.
import { z } from "zod";
import { planStates } from "./relay-plan.ts";
import { condition } from "./report.ts";
import { relayDrops, relayEngines, relayRefusals } from "./vocabulary.ts";

const count = z.int().min(0);
const rate = z.number().min(0);
const time = z.string().describe("ISO 8601 with nine digits of fraction, UTC");
const keysOf = <Key extends string>(list: Record<Key, string>) => Object.keys(list) as [Key, ...Key[]];
const refused = z.partialRecord(z.enum(keysOf(relayRefusals)), count).describe("by reason; those of 0 are left out");
const dropped = z.partialRecord(z.enum(keysOf(relayDrops)), count).describe("by reason; those of 0 are left out");

const rates = { packets_per_second: rate, bits_per_second: rate };

export const reportedPort = z.object({
  interface: z.string(),
  engine: z.enum(relayEngines),
  received: count.describe("received = passed + matched + refused"),
  bytes: count,
  passed: count.describe("not for any rule"),
  matched: count,
  refused,
  ring_drops: count.describe("afpacket: the ring had no room; in no other number here"),
  residue: z.int(),
  ...rates,
});

/** How a rule stands. */
export const ruleStates = ["active", "partial", "waiting"] as const;

const ruleHead = {
  id: z.string(),
  name: z.string(),
  state: z
    .enum(ruleStates)
    .describe("active: programmed, every output can send; partial: some cannot at the moment; waiting: not programmed"),
  engine: z.enum(relayEngines).nullable().describe("null while it waits"),
  why: z.string().describe("why this engine, or what it waits for"),
  input_interface: z.string().nullable().describe("null for a tunnel"),
  input_vlan: count.nullable(),
  input_group: z.string().nullable().describe("the group or address it takes; null for a tunnel"),
  input_port: count.nullable(),
  input_path: count.nullable().describe("of a tunnel"),
};
const ruleCounts = {
  matched: count,
  bytes: count,
  refused,
  packets_relayed: count.describe("sent, over all outputs"),
  bytes_relayed: count,
  dropped,
  last: time.nullable().describe("when its last packet came"),
  ...rates,
};

export const ruleRow = z.object({ ...ruleHead, ...ruleCounts });
export type RuleRow = z.output<typeof ruleRow>;

export const outputRow = z.object({
  id: z.string(),
  input_group: z.string().nullable(),
  input_port: count.nullable(),
  interface: z.string().nullable().describe("null: it has no route at the moment"),
  destination: z.string().nullable(),
  port: count.nullable(),
  path: count.nullable().describe("of a tunnel"),
  problem: z.string().nullable().describe("why it cannot send at the moment"),
  too_small: z
    .object({
      interface: z.string().describe("where the path leaves this node"),
      mtu: count.describe("what is there"),
      needed: count.describe("for the largest packet that may come in, with the tunnel's headers"),
      fits: count.describe("the largest packet that goes through; larger ones are dropped: mtu"),
    })
    .nullable()
    .describe("of a tunnel whose way is too small for what may come in; null: it is not"),
  wanted: count.describe("wanted = sent + dropped"),
  packets_relayed: count.describe("sent"),
  bytes_relayed: count,
  dropped,
  residue: z.int(),
  ...rates,
});
export type OutputRow = z.output<typeof outputRow>;

export const ruleDetail = ruleRow.extend({ outputs: z.array(outputRow) });
export type RuleDetail = z.output<typeof ruleDetail>;

/** All of a path that has come here: its sending CPUs and its numberings together. */
export const hopRow = z.object({
  path: count,
  rule: z.string(),
  peers: z.array(z.string()),
  streams: count.describe("sending CPUs and numberings"),
  unique: count,
  lost: count,
  pending: count,
  duplicate: count,
  reordered: count,
  late: count,
  latency_us: z
    .object({ p50: count.nullable(), p99: count.nullable(), buckets: z.array(count) })
    .describe(
      "one-way, as the two clocks differ; bucket i holds those of less than 2^i µs. Percentiles are their upper ends; null: none, or beyond the last",
    ),
});
export type HopRow = z.output<typeof hopRow>;

/** What this node sent into a path: the other end's `hops` tell what came of it. */
const tunnelRow = z.object({
  path: count,
  rule: z.string(),
  wanted: count.describe("wanted = sent + dropped"),
  sent: count.describe("taken by the device"),
  dropped,
});
export type TunnelRow = z.output<typeof tunnelRow>;

const linkRow = z.object({ name: z.string(), up: z.boolean(), mtu: count });
export type LinkRow = z.output<typeof linkRow>;

const engineRow = z.object({
  engine: z.enum(relayEngines),
  available: z.boolean(),
  why: z.string(),
});
export type EngineRow = z.output<typeof engineRow>;

export const workerRow = z.object({
  interface: z.string(),
  pid: count.nullable().describe("null while it is not running"),
  state: z.enum(["running", "starting", "backing off", "stopped"]),
  restarts: count,
  detail: z.string(),
});
export type WorkerRow = z.output<typeof workerRow>;

export const reportedRules = 500;
export const reportedHops = 200;
export const reportedLinks = 128;

export const relayReport = z.object({
  v: z.literal(1),
  fleet: z.string(),
  node: z.string(),
  version: z.string(),
  run: z.string().describe("names this process"),
  time,
  started: time,
  sequence: z.int().min(1).describe("of this run's reports: a hole is a report that never left or got lost"),
  interval_ms: z.int().min(1),
  plan: z.object({
    generation: count.describe("of the plan that runs; 0: none. This is the acknowledgement"),
    digest: z.string().nullable(),
    state: z.enum(planStates).describe("refused: the newest notice was; what ran before goes on"),
  }),
  engines: z.array(engineRow),
  pinned: z.boolean().describe("forwarding goes on without this process"),
  interfaces: z.array(reportedPort),
  totals: z.object({
    rules: count,
    active: count,
    partial: count,
    waiting: count,
    matched: count,
    wanted: count,
    sent: count,
    sent_bytes: count,
    refused,
    dropped,
    packets_per_second: rate.describe("sent"),
    bits_per_second: rate,
  }),
  rules: z
    .array(ruleRow)
    .describe(
      `those that changed since they were last told, at most ${reportedRules}, and a few others in turn, so that each is told within a minute; the rest by query`,
    ),
  rules_untold: count.describe("changed, and not in this report; the next ones tell them first"),
  hops: z.array(hopRow).describe(`at most ${reportedHops}; the rest by query`),
  tunnels: z
    .array(tunnelRow)
    .default([])
    .describe(`what was sent into each path, at most ${reportedHops}; the rest by query`),
  links: z
    .array(linkRow)
    .optional()
    .describe(
      `this node's interfaces, all of them; told in every 30th report, and not when there are more than ${reportedLinks}`,
    ),
  workers: z.array(workerRow),
  bus: z.object({ unsent_reports: count, reconnects: count }),
  conditions: z.array(condition),
});
export type RelayReport = z.output<typeof relayReport>;
export type ReportedPort = z.output<typeof reportedPort>;
