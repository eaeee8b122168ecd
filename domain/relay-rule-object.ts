// RelayRule: a feed's way over nodes, as people write it. From it the operator makes the rules of each node (relay-rule.ts), whose keys it shares.
import { z } from "zod";
import { asSet, atomic, keyed, rules } from "./cel.ts";

import { interfaceName, shortName } from "./config-values.ts";
import {
  ageColumn,
  conditionPath,
  type CustomResource,
  labelSelector,
  nodeName,
  readyColumns,
  shortObjectName,
} from "./custom-resource.ts";
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
import { hopRules, inputRules, nodesRules, outputRules, outputsMeaning, ruleRules } from "./relay-rule-cel.ts";
import { relayRuleConditions, relayRuleStatus } from "./relay-rule-status.ts";

/** A packet may pass as many tunnels at most (semantics.md). */
export const mostHops = 16;

const nodes = rules(
  z.object({
    names: z
      .array(nodeName.describe("name of a node"))
      .min(1)
      .max(mostOutputs)
      .optional()
      .meta({ ...asSet, description: "these nodes" }),
    selector: labelSelector.optional().describe("in place of names: the nodes with these labels"),
  }),
  ...nodesRules,
);

const from = rules(
  z.object({
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
  }),
  ...inputRules,
);

const to = rules(
  z.object({
    hop: z
      .string()
      .max(40)
      .meta({ form: "name of a hop" })
      .optional()
      .describe("a later hop of this rule: copies go to each of its nodes, by a tunnel"),
    interface: interfaceName.optional().describe("in place of a hop: where copies leave"),
    group: group.optional().describe("the multicast group they are sent to; absent: as they came"),
    address: address.optional().describe("in place of a group: the address they are sent to"),
    port: udpPort.optional().describe("UDP port they are sent to; absent: as they came"),
    ttl: ttl.optional().describe("TTL they start with; absent: the one they came with, less one"),
    dscp: dscp.optional().describe("DSCP they leave with; absent: as they came"),
    source: address.optional().describe("source address they leave with; absent: as they came"),
  }),
  ...outputRules,
);

const hop = rules(
  z.object({
    name: shortName.describe("what `to`, status and messages call this hop"),
    nodes: nodes.describe("where this hop is: one of names, selector. With `from` and a tunnel it is one node"),
    from: from
      .optional()
      .describe("which packets come in from the wire; absent: those that earlier hops' tunnels bring"),
    to: z
      .array(to)
      .min(1)
      .max(mostOutputs)
      .meta({ ...atomic, description: outputsMeaning }),
  }),
  ...hopRules,
);

export const relayRuleSpec = rules(
  z.object({
    hops: z
      .array(hop)
      .min(1)
      .max(mostHops)
      .meta({ ...keyed("name"), description: "the way of the packets, in order: a hop sends only to later ones" }),
    engine,
    deliverLocal,
    limit: limit.optional(),
    storm: storm.optional(),
  }),
  ...ruleRules,
);
export type RelayRuleSpec = z.output<typeof relayRuleSpec>;
export type RelayHop = RelayRuleSpec["hops"][number];
export type RelayHopInput = NonNullable<RelayHop["from"]>;
export type RelayHopOutput = RelayHop["to"][number];

export const relayRuleResource: CustomResource = {
  kind: "RelayRule",
  plural: "relayrules",
  short: "rrule",
  description: "The way of a feed over nodes: where packets come in, by which hops they go, where copies leave.",
  rules: [shortObjectName],
  spec: relayRuleSpec,
  status: relayRuleStatus,
  conditions: relayRuleConditions,
  columns: [
    ...readyColumns,
    { name: "Receiving", type: "string", path: conditionPath("Receiving"), description: relayRuleConditions.Receiving },
    { name: "Lossless", type: "string", path: conditionPath("Lossless"), description: relayRuleConditions.Lossless },
    { name: "Lost", type: "integer", path: ".status.lost", description: "packets that the network lost between hops" },
    { name: "Nodes", type: "integer", path: ".status.nodes", description: "nodes that the rule selects" },
    {
      name: "Programmed",
      type: "integer",
      path: ".status.programmed",
      description: "of those, how many run this generation",
    },
    ageColumn,
    { name: "Pps", type: "integer", path: ".status.pps", description: "packets per second from the wire", wide: true },
    {
      name: "Dropped",
      type: "integer",
      path: ".status.dropped",
      description: "copies that the nodes did not send",
      wide: true,
    },
    { name: "Engine", type: "string", path: ".spec.engine", description: "the engine that is asked for", wide: true },
    {
      name: "Where",
      type: "string",
      path: conditionPath("Lossless", "message"),
      description: "the segment that loses packets",
      wide: true,
    },
  ],
};
