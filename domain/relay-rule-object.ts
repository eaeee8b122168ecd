// RelayRule: a feed's way over nodes, as people write it. From it the operator makes the rules of each node (relay-rule.ts), whose keys it shares.
import { z } from "zod";
import { asSet, atomic, keyed } from "./cel.ts";

import { interfaceName, shortName } from "./config-values.ts";
import { type CustomResource, labelSelector, nodeName } from "./custom-resource.ts";
import {
  address,
  deliverLocal,
  dscp,
  engine,
  group,
  limit,
  mostOutputs,
  protocol,
  storm,
  ttl,
  udpPort,
  vlan,
} from "./relay-fields.ts";
import { relayRuleConditions, relayRuleStatus } from "./relay-rule-status.ts";

/** A packet may pass as many tunnels at most (semantics.md). */
export const mostHops = 16;

const nodes = z.object({
  names: z
    .array(nodeName.describe("name of a node"))
    .min(1)
    .max(mostOutputs)
    .optional()
    .meta({ ...asSet, description: "these nodes" }),
  selector: labelSelector.optional().describe("in place of names: the nodes with these labels"),
});

const from = z.object({
  interface: interfaceName.describe("where packets come in; waited for when it is not there"),
  vlan: vlan.optional().describe("tag of those packets; absent: untagged ones"),
  group: group.optional().describe("the multicast group they are sent to"),
  address: address.optional().describe("in place of a group: the node's address that they are sent to"),
  protocol: protocol.describe("ESP is relayed as it is, unopened"),
  port: udpPort.optional().describe("UDP port they are sent to; none for ESP"),
  sources: z
    .array(address.describe("an address"))
    .max(64)
    .optional()
    .meta({ ...asSet, description: "only from these addresses; absent: any source" }),
});

const to = z.object({
  hop: shortName.optional().describe("a later hop of this rule: copies go to each of its nodes, by a tunnel"),
  interface: interfaceName.optional().describe("in place of a hop: where copies leave"),
  group: group.optional().describe("the multicast group they are sent to; absent: as they came"),
  address: address.optional().describe("in place of a group: the address they are sent to"),
  port: udpPort.optional().describe("UDP port they are sent to; absent: as they came"),
  ttl: ttl.optional().describe("TTL they start with; absent: the one they came with, less one"),
  dscp: dscp.optional().describe("DSCP they leave with; absent: as they came"),
  source: address.optional().describe("source address they leave with; absent: as they came"),
});

const hop = z.object({
  name: shortName.describe("what `to`, status and messages call this hop"),
  nodes: nodes.describe("where this hop is: one of names, selector. With `from` and a tunnel it is one node"),
  from: from.optional().describe("which packets come in from the wire; absent: those that earlier hops' tunnels bring"),
  to: z
    .array(to)
    .min(1)
    .max(mostOutputs)
    .meta({ ...atomic, description: "where copies go: to the wire, or to later hops" }),
});

export const relayRuleSpec = z.object({
  hops: z
    .array(hop)
    .min(1)
    .max(mostHops)
    .meta({ ...keyed("name"), description: "the way of the packets, in order: a hop sends only to later ones" }),
  engine,
  deliverLocal,
  limit: limit.optional(),
  storm: storm.optional(),
});
export type RelayRuleSpec = z.output<typeof relayRuleSpec>;
export type RelayHop = RelayRuleSpec["hops"][number];
export type RelayHopInput = NonNullable<RelayHop["from"]>;
export type RelayHopOutput = RelayHop["to"][number];

export const relayRuleResource: CustomResource = {
  kind: "RelayRule",
  plural: "relayrules",
  short: "rrule",
  description: "The way of a feed over nodes: where packets come in, by which hops they go, where copies leave.",
  spec: relayRuleSpec,
  status: relayRuleStatus,
  conditions: relayRuleConditions,
  columns: [],
};
