// What the API takes and gives. The same objects validate, make the types and make the OpenAPI document.
import { z } from "zod";
import { sortFields } from "#domain/flow-fields.ts";
import { reportedInterface } from "#domain/report.ts";
import { type BlindReason, blindReasons, flowEnds, linkKinds, protocols } from "#domain/vocabulary.ts";

const count = z.int().min(0);
const figure = z.number();
const time = z.string().describe("ISO 8601 with nine digits of fraction, UTC");
const ns = z.string().describe("nanoseconds since 1970, as text: a JSON number would lose digits");

const limit = z.coerce.number().int().min(1).max(1000).default(100).describe("how many to return, at most 1000");
const cursor = z.string().max(500).optional().describe("next_cursor of the page before");
const run = z
  .union([z.literal("all"), z.coerce.number().int().min(1)])
  .optional()
  .describe('number of a run, or "all"; the newest when left out');

export const nothing = z.strictObject({});
export const runQuery = z.strictObject({ run });
export const pageQuery = z.strictObject({ limit, cursor });
export const gapsQuery = z.strictObject({ run, limit, cursor });
export const flowsQuery = z.strictObject({
  run,
  limit,
  cursor,
  filter: z
    .string()
    .max(4000)
    .optional()
    .describe("terms joined by spaces, for example: proto=macsec lost>0 bytes>1e6 src=10.0.0.0/8"),
  sort: z
    .enum([...sortFields, ...sortFields.map((name) => `-${name}` as const)])
    .default("packet")
    .describe('a leading "-" puts the largest first'),
  min_bytes: z.coerce.number().min(0).optional(),
  max_bytes: z.coerce.number().min(0).optional(),
  min_bandwidth_mbps: z.coerce.number().min(0).optional(),
  max_bandwidth_mbps: z.coerce.number().min(0).optional(),
});
export const flowParams = z.strictObject({
  id: z.string().regex(/^[1-9]\d{0,14}-[1-9]\d{0,14}$/, "a flow is named <run>-<packet>"),
});

/** docs/semantics.md, "Counters of a flow". */
const counters = {
  expected: count,
  unique: count,
  reordered: count,
  duplicate: count,
  late: count,
  lost: count,
  pending: count,
  jumps: count,
  outliers: count,
  restarts: count,
  invariant_residue: z.int().describe("expected - unique - lost - pending: 0 unless there is a bug"),
};

export const health = z.object({ status: z.literal("ok"), version: z.string() });

export const summary = z.object({
  runs: z.array(count),
  total_flows: count,
  total_packets_received: count,
  total_gaps_detected: count,
  total_lost_packets: count,
  max_gap_size: count,
  total_bytes: count,
  avg_bandwidth_mbps: figure.describe("all bytes over the time from first to last packet, summed over the runs"),
  ...counters,
});

export const flow = z.object({
  flow_id: z.string().describe("<run>-<packet>: the number of its first packet in the capture"),
  run: count,
  protocol: z.enum(protocols),
  source: z.string(),
  destination: z.string(),
  sci: z.string().nullable(),
  an: count.nullable(),
  spi: count.nullable(),
  source_port: count.nullable(),
  destination_port: count.nullable(),
  outer_vlan: count.nullable(),
  inner_vlan: count.nullable(),
  ipv6: z.boolean(),
  natt: z.boolean(),
  wrapped: z.boolean().describe("its number passed 2^32 (XPN, ESN)"),
  ended: z.enum(flowEnds),
  packets_received: count,
  gaps_detected: count,
  total_lost_packets: count,
  first_sequence: count.nullable(),
  last_sequence: count.nullable(),
  min_gap: count,
  max_gap: count,
  total_bytes: count,
  first_timestamp: time,
  last_timestamp: time,
  first_timestamp_ns: ns,
  last_timestamp_ns: ns,
  duration_seconds: figure,
  bandwidth_mbps: figure,
  min_inter_arrival_ms: figure,
  max_inter_arrival_ms: figure,
  avg_inter_arrival_ms: figure,
  ...counters,
});

export const flowDetail = flow.extend({
  continues: z
    .array(z.object({ flow_id: z.string(), kind: z.enum(linkKinds) }))
    .describe("earlier flows that this one continues"),
});

export const flowList = z.object({
  count: count.describe("flows in this answer"),
  total: count.nullable().describe("flows that match, on all pages; null without an index"),
  indexed: z.boolean().describe("false when every flow of the run had to be read"),
  note: z.string().optional().describe("why it was not indexed"),
  next_cursor: z.string().nullable(),
  flows: z.array(flow),
});

export const gap = z.object({
  flow_id: z.string(),
  segment: count.describe("restarts of the flow before it"),
  first: count,
  last: count,
  size: count,
  noticed: time,
  noticed_ns: ns,
  confirmed: time,
  confirmed_ns: ns,
  jump: z.boolean(),
  suspect: z.boolean(),
});
export const gapList = z.object({ count, next_cursor: z.string().nullable(), gaps: z.array(gap) });

export const blind = z.object({
  run: count,
  interface: z.string(),
  since: time,
  since_ns: ns,
  until: time,
  until_ns: ns,
  duration_seconds: figure,
  reason: z.enum(Object.keys(blindReasons) as [BlindReason, ...BlindReason[]]),
});
export const blindList = z.object({ count, next_cursor: z.string().nullable(), blind: z.array(blind) });

const maybe = count.nullable();
export const runItem = z.object({
  run: count,
  source: z.string(),
  options: z.unknown(),
  complete: z.boolean(),
  finished: z.boolean().describe("false while it is written, or when its writer died"),
  started: time,
  ended: time.nullable(),
  checkpoint: time.nullable().describe("when the figures of a run that has not finished were last stored"),
  looped: count.describe("times the capture was read; above 1 the figures are no measurement"),
  format: z.string().nullable(),
  bytes_read: maybe,
  packets: maybe,
  time_reversed: maybe,
  first_timestamp: time.nullable(),
  last_timestamp: time.nullable(),
  flows: maybe,
  gaps: maybe,
  cap_evictions: maybe,
  tombstones_dropped: maybe,
  links_dropped: maybe,
  settled_early: maybe,
  threads: maybe,
  engine_ns: maybe,
  waited_ns: maybe,
  peak_flows: maybe,
  file_error: z.object({ code: z.string(), offset: maybe }).nullable(),
  pruned_flows: count.describe("flows that were deleted to keep to the retention; the sums still hold them"),
  pruned_gaps: count,
});
export const runList = z.object({ count, next_cursor: z.string().nullable(), runs: z.array(runItem) });

export const protocolList = z.object({
  runs: z.array(count),
  protocols: z.array(
    z.object({
      protocol: z.enum(protocols),
      flows: count,
      packets: count,
      bytes: count,
      gaps: count,
      max_gap: count,
      ...counters,
    }),
  ),
});

export const ledger = z.object({
  residue: z.int().describe("summed over the interfaces: 0 unless there is a bug"),
  interfaces: z.array(
    z.object({
      run: count,
      interface: z.string(),
      link_type: count,
      seen: count,
      ring_drops: count,
      in_flight: count,
      delivered: count,
      decoded: count,
      tracked: count,
      undecodable: z.record(z.string(), count),
      untracked: z.record(z.string(), count),
      residue: z.int(),
      live: reportedInterface
        .omit({
          interface: true,
          seen: true,
          ring_drops: true,
          in_flight: true,
          delivered: true,
          decoded: true,
          tracked: true,
          undecodable: true,
          untracked: true,
          residue: true,
        })
        .optional()
        .describe("of an interface that is watched now: its state, and what stands beside the ledger"),
    }),
  ),
});

/** RFC 9457, with the catalogue's code and hint. */
export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string(),
  hint: z.string(),
  instance: z.string(),
  where: z.string().optional().describe("the filter with a caret under the place"),
});
