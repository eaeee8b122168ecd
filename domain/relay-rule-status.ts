// What a RelayRule's status tells: does it run, is something lost, and between which hops. Few nodes by name; all of them: FleetNode.
import { z } from "zod";
import { atomic, keyed } from "./cel.ts";
import { shortName } from "./config-values.ts";
import { byReason, count, statusHead, timestamp, worstNodes } from "./custom-resource.ts";
import { relayEngines } from "./vocabulary.ts";

export const relayRuleConditions = {
  Accepted: "the rule is sound: no loop, no overlap with another rule, its nodes are there",
  Programmed: "every node has said that it runs this generation",
  Receiving: "packets come in at every hop",
  Lossless: "what one hop sent came in at the next, and left it; if not, the message names the segment",
  Ready: "accepted, programmed, and every output can send",
} as const;
export type RelayRuleCondition = keyof typeof relayRuleConditions;

const hopStatus = z.object({
  name: shortName.describe("the hop's name in spec"),
  nodes: count.describe("nodes that this hop selects"),
  programmed: count.describe("of those, how many run this generation"),
  reporting: count.describe("of those, how many were heard within three intervals"),
  engines: z
    .array(z.enum(relayEngines).describe("xdp, tc, or afpacket"))
    .max(relayEngines.length)
    .meta({ ...atomic, description: "what carries the packets there" }),
  received: count.describe("packets that came for this hop: matched and refused"),
  matched: count.describe("packets that were taken"),
  refused: byReason.describe("packets that came for this hop and were not taken, by reason; those of 0 are left out"),
  sent: count.describe("copies that left, over all outputs"),
  dropped: byReason.describe("copies that were not sent, by reason; those of 0 are left out"),
  lost: count.describe("packets that the network lost between the hops before and this one"),
  pps: count.describe("packets per second now"),
  bps: count.describe("bits per second now"),
  lastPacket: timestamp.optional().describe("when its last packet came; absent: none yet"),
  worst: worstNodes.optional(),
});
export type RelayHopStatus = z.output<typeof hopStatus>;

const segment = z.object({
  from: shortName.describe("the hop that sends"),
  to: shortName.describe("the hop that receives"),
  sent: count.describe("packets that were sent into the tunnels between them"),
  lost: count.describe("of those, how many never came: lost in the network"),
  worst: worstNodes.optional(),
});
export type RelaySegment = z.output<typeof segment>;

export const relayRuleStatus = z.object({
  ...statusHead,
  nodes: count.optional().describe("nodes that the rule selects, over all hops"),
  programmed: count.optional().describe("of those, how many run this generation"),
  received: count.optional().describe("packets taken from the wire, where the rule begins"),
  sent: count.optional().describe("copies that left on the wire, where the rule ends"),
  lost: count.optional().describe("packets that the network lost between hops"),
  dropped: count.optional().describe("copies that the nodes themselves did not send"),
  pps: count.optional().describe("packets per second taken from the wire now"),
  hops: z
    .array(hopStatus)
    .max(16)
    .optional()
    .meta({ ...keyed("name"), description: "each hop, in spec's order" }),
  segments: z
    .array(segment)
    .max(120)
    .optional()
    .meta({ ...atomic, description: "each pair of hops with a tunnel between them" }),
});
export type RelayRuleStatus = z.output<typeof relayRuleStatus>;
