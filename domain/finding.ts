// What a sensor tells the fleet when it happens: a gap in a flow, or a condition of its own. Names as in api/schemas.ts.
import { z } from "zod";
import { protocols } from "./vocabulary.ts";

const count = z.int().min(0);
const time = z.string().describe("ISO 8601 with nine digits of fraction, UTC");

/** Which flow it was: what is not in its protocol is left out. */
const flowOfFinding = z.object({
  flow_id: z.string(),
  protocol: z.enum(protocols),
  source: z.string(),
  destination: z.string(),
  sci: z.string().optional(),
  an: count.optional(),
  spi: count.optional(),
  source_port: count.optional(),
  destination_port: count.optional(),
  outer_vlan: count.optional(),
  inner_vlan: count.optional(),
});

const gapFinding = z.object({
  v: z.literal(1),
  kind: z.literal("gap"),
  flow: flowOfFinding,
  first: count,
  last: count,
  size: count,
  noticed: time,
  confirmed: time,
  jump: z.boolean(),
  suspect: z
    .boolean()
    .describe("the sensor itself was losing packets or not looking: not the network's fault as far as we know"),
  interface: z.string().optional(),
});

const conditionFinding = z.object({
  v: z.literal(1),
  kind: z.literal("condition"),
  code: z.string().describe("a code of the error catalogue"),
  severity: z.enum(["info", "warning", "error"]),
  state: z.enum(["raised", "cleared"]),
  message: z.string(),
  since: time,
});

export const finding = z.discriminatedUnion("kind", [gapFinding, conditionFinding]);
export type Finding = z.output<typeof finding>;

/**
 * One message. `run` names the sensor's process, `batch` counts its messages from 1: the pair occurs once, and is the message's
 * Nats-Msg-Id as `<run>-<batch>`. The findings of all batches up to this one and `overflowed` make up all there were.
 */
export const findingBatch = z.object({
  v: z.literal(1),
  run: z.string(),
  batch: z.int().min(1),
  overflowed: count.describe("findings of this run that did not fit into the sensor's buffer, up to here"),
  findings: z.array(finding).min(1),
});
export type FindingBatch = z.output<typeof findingBatch>;
