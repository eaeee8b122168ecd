// What a sensor tells the fleet every second: its ledger, its flows, how it is. Counts are of this process, from its start, and
// never fall; what is a rate or a level says so. Names as in api/schemas.ts. Unknown fields are dropped, so that an older reader
// understands a newer sensor.
import { z } from "zod";
import { interfaceLossReport, softnetReport } from "./losses.ts";
import { portStates, protocols, rungs, storeStates } from "./vocabulary.ts";

const count = z.int().min(0);
const level = count.describe("at this moment");
const time = z.string().describe("ISO 8601 with nine digits of fraction, UTC");
const counts = z.record(z.string(), count);

export const reportedInterface = z.object({
  interface: z.string(),
  state: z.enum(portStates),
  since: time.describe("when that state began"),
  problem: z
    .object({ code: z.string(), detail: z.string() })
    .nullable()
    .describe("why it is not watched although it is there"),
  seen: count,
  ring_drops: count,
  in_flight: level,
  delivered: count,
  decoded: count,
  tracked: count,
  undecodable: counts,
  untracked: counts,
  residue: z.int(),
  bytes: count,
  super_packets: count.describe("frames that an offload had merged: of their numbers only the first is seen"),
  segments: count.describe("packets in those"),
  partial_checksums: count,
  ring_full: count.describe("times a ring was full"),
  ring_bytes: level,
  ring_wanted: level.describe("more than ring_bytes when memory was short"),
  ring_locked: z.boolean(),
  packets_per_second: z.number().min(0),
  bits_per_second: z.number().min(0),
  beside: interfaceLossReport
    .omit({ interface: true })
    .describe("losses before the rings, as the kernel and the driver tell them; outside the ledger"),
});

export type ReportedInterface = z.output<typeof reportedInterface>;

const reportedProtocol = z.object({
  protocol: z.enum(protocols),
  flows: count,
  packets: count,
  bytes: count,
  gaps: count,
  expected: count,
  unique: count,
  lost: count,
  pending: level,
  reordered: count,
  duplicate: count,
  late: count,
  jumps: count,
  outliers: count,
  restarts: count,
});
export type ReportedProtocol = z.output<typeof reportedProtocol>;

/** A condition as it stands. */
export const condition = z.object({
  code: z.string().describe("a code of the error catalogue"),
  since: time,
  message: z.string(),
});
export type Condition = z.output<typeof condition>;

export const sensorReport = z.object({
  v: z.literal(1),
  fleet: z.string(),
  pool: z.string(),
  node: z.string(),
  version: z.string(),
  run: z.string().describe("names this process: counts start again with the next one"),
  time,
  started: time,
  sequence: z.int().min(1).describe("of this run's reports: a hole is a report that never left or got lost"),
  interval_ms: z.int().min(1),
  interfaces: z.array(reportedInterface),
  softnet: softnetReport.describe("losses in the backlogs of the whole machine"),
  protocols: z.array(reportedProtocol),
  flows: z.object({ live: level, total: count, cap_evictions: count }),
  lost: count,
  gaps: count,
  suspect_gaps: count,
  rung: z.enum(rungs).describe("how far down the ladder of degradation"),
  clock: z
    .object({ steps: count, step_seconds: z.number() })
    .describe("times the wall clock was set since the start, and by how much in all: times of this run do not have it"),
  blinds_dropped: count.describe("blind times that could not be kept"),
  store: z.object({
    state: z.enum(storeStates),
    waiting_bytes: level.describe("results not written yet"),
    dropped: count.describe("results that could not be kept while nothing could be written"),
    bytes: level.describe("size of the database"),
  }),
  bus: z.object({
    accepted: count.describe("findings: accepted = acknowledged + waiting + overflowed"),
    acknowledged: count,
    waiting: level,
    overflowed: count,
    untold: count.describe(
      "gaps beyond what is told one by one in a second: in the sums and the database, not among the findings",
    ),
    unsent_reports: count,
    reconnects: count,
  }),
  conditions: z.array(condition),
});
export type SensorReport = z.output<typeof sensorReport>;
