// FleetNode: one per node, named as the node and written only by the operator: what the machine is, what our agents may and do there, what is programmed.
// It has no spec: nothing is asked for by it.
import { z } from "zod";
import { atomic, keyed, asSet } from "./cel.ts";
import { shortName } from "./config-values.ts";
import {
  ageColumn,
  byReason,
  conditionPath,
  type CustomResource,
  count,
  readyColumns,
  statusHead,
  timestamp,
} from "./custom-resource.ts";
import { irqPolicies, pinnedItems, pinningPolicies } from "./pinning.ts";
import { planStates } from "./relay-plan.ts";
import { ruleStates } from "./relay-report.ts";
import { portStates, relayEngines, rungs } from "./vocabulary.ts";

const short = z.string().max(128);
const sentence = z.string().max(512);
const cpus = z.string().max(1024);
const interfaceText = z.string().min(1).max(15);
const keysOf = <Key extends string>(list: Record<Key, string>) => Object.keys(list) as [Key, ...Key[]];

/** What does not fit is counted beside the list: a node has one object, and etcd takes 1.5 MiB. */
export const mostPinned = 512;
export const mostNodeRules = 500;
export const mostDrift = 64;

const conditions = {
  Reporting: "every agent that is wanted on this node was heard within three intervals",
  Permitted: "the agents have the capabilities that they need",
  Programmed: "the relay runs the newest plan",
  Pinned: "threads, memory and interrupts are where they are wished",
  Ready: "all of these hold, as far as anything is asked of this node",
} as const;
export type FleetNodeCondition = keyof typeof conditions;

const kernel = z.object({
  release: short.describe("as `uname -r` shows it"),
  architecture: short.describe("as amd64"),
  os: short.optional().describe("the system's name for people"),
  btf: z.boolean().optional().describe("whether the kernel describes its own types, which the relay's programs need"),
});

const nic = z.object({
  name: interfaceText.describe("the interface's name"),
  driver: short.optional().describe("its kernel driver; absent: unknown"),
  numaNode: count.optional().describe("NUMA node that it is at; absent: virtual, or it does not say"),
  mtu: count.optional().describe("largest packet, in bytes"),
  speedMbps: count.optional().describe("speed, in Mb/s; absent: virtual, or no link"),
  queues: count.optional().describe("receive queues"),
  state: z.enum(portStates).optional().describe("how a sensor watches it; absent: none does"),
  xdp: z.enum(["native", "generic", "none"]).optional().describe("whether XDP runs in its driver; absent: not probed"),
});

const pinned = z.object({
  interface: interfaceText.describe("the interface that it belongs to"),
  item: z.enum(keysOf(pinnedItems)).describe("what is pinned"),
  name: short.describe("which one: irq 38 virtio2-input.0, rps eth1/rx-0, thread 0"),
  desired: cpus.optional().describe("CPUs, a NUMA node, 0 or 1; absent: nothing is wished"),
  actual: cpus.optional().describe("the same now; absent: it cannot be told"),
  effective: cpus.optional().describe("where the interrupt controller sends an interrupt"),
  problem: sentence.optional().describe("why it could not be read or set"),
});

const drift = z.object({
  interface: interfaceText.describe("the interface that it belongs to"),
  item: z.enum(keysOf(pinnedItems)).describe("what has moved"),
  name: short.describe("which one"),
  desired: cpus.describe("where it is wished"),
  actual: cpus.optional().describe("where it is; absent: it cannot be told"),
  since: timestamp.describe("when this was first noticed"),
});

const pinning = z.object({
  policy: z.enum(pinningPolicies).describe("the pool's policy"),
  irq: z.enum(irqPolicies).describe("whether interrupts are moved, or only looked at"),
  cause: sentence.optional().describe("who is likely to move what was pinned"),
  items: z
    .array(pinned)
    .max(mostPinned)
    .meta({ ...keyed("interface", "item", "name"), description: "wished and actual, one by one" }),
  itemsLeftOut: count.describe(`items beyond the ${mostPinned} that are told`),
  drift: z
    .array(drift)
    .max(mostDrift)
    .meta({ ...keyed("interface", "item", "name"), description: "what is not where it is wished" }),
});

const sensor = z.object({
  pool: shortName.describe("the SensorPool"),
  version: short.describe("the sensor's version"),
  run: short.describe("names this start of the sensor"),
  started: timestamp.describe("when it started; before that this node was not watched"),
  lastReport: timestamp.describe("when it was last heard"),
  rung: z.enum(rungs).describe("what the memory budget has made it give up"),
  packets: count.describe("packets seen since its start"),
  lost: count.describe("sequence numbers that never came"),
  drops: byReason.describe("packets that were seen and not followed, by reason; those of 0 are left out"),
  problems: z
    .array(sentence.describe("a condition of the sensor: its code, and what it says"))
    .max(32)
    .meta({ ...atomic, description: "what the sensor says is wrong" }),
  pinning: pinning.optional().describe("pinning, wished and actual"),
});

const relayEngine = z.object({
  engine: z.enum(relayEngines).describe("xdp, tc, or afpacket"),
  available: z.boolean().describe("whether it can work on this node"),
  why: sentence.describe("why not, or what it rests on"),
});

const relay = z.object({
  version: short.describe("the relay's version"),
  run: short.describe("names this start of the relay"),
  started: timestamp.describe("when it started; forwarding may be older"),
  lastReport: timestamp.describe("when it was last heard"),
  pinned: z.boolean().describe("whether forwarding goes on without the relay's process"),
  wanted: count.describe("generation of the plan that this node was given; 0: none"),
  programmed: count.describe("generation of the plan that runs; 0: none"),
  plan: z.enum(planStates).describe("what became of the newest plan"),
  problems: z
    .array(sentence.describe("a condition of the relay: its code, and what it says"))
    .max(32)
    .meta({ ...atomic, description: "what the relay says is wrong" }),
});

const rule = z.object({
  rule: shortName.describe("the RelayRule"),
  hop: shortName.describe("the hop that this node is"),
  state: z.enum(ruleStates).describe("active: every output can send; partial: some cannot; waiting: not programmed"),
  engine: z.enum(relayEngines).optional().describe("what carries it; absent while it waits"),
  why: sentence.describe("why this engine, or what it waits for"),
  received: count.describe("packets that came for it: matched and refused"),
  matched: count.describe("packets that were taken"),
  refused: byReason.describe("packets that were not taken, by reason; those of 0 are left out"),
  sent: count.describe("copies that left"),
  dropped: byReason.describe("copies that were not sent, by reason; those of 0 are left out"),
  lost: count.describe("packets that the network lost on the way from the hops before"),
  lastPacket: timestamp.optional().describe("when its last packet came; absent: none yet"),
});

const capability = z.string().min(1).max(32).describe("a capability, as CAP_NET_RAW");

export const fleetNodeStatus = z.object({
  ...statusHead,
  kernel: kernel.optional().describe("the kernel"),
  cpus: count.optional().describe("CPUs that are online"),
  numaNodes: z
    .array(z.object({ node: count.describe("number of the NUMA node"), cpus: cpus.describe('its CPUs, as "0-3,8"') }))
    .max(64)
    .optional()
    .meta({ ...keyed("node"), description: "NUMA nodes" }),
  interfaces: z
    .array(nic)
    .max(256)
    .optional()
    .meta({ ...keyed("name"), description: "NICs and other interfaces that the agents see" }),
  capabilities: z
    .object({
      granted: z
        .array(capability)
        .max(64)
        .meta({ ...asSet, description: "what the agents have" }),
      needed: z
        .array(capability)
        .max(64)
        .meta({ ...asSet, description: "what they need for what is asked of them" }),
    })
    .optional()
    .describe("rights of the agents on this node"),
  engines: z
    .array(relayEngine)
    .max(relayEngines.length)
    .optional()
    .meta({ ...atomic, description: "what can carry relayed packets here" }),
  sensors: z
    .array(sensor)
    .max(64)
    .optional()
    .meta({ ...atomic, description: "the sensors on this node, one for each pool" }),
  relay: relay.optional().describe("the relay on this node"),
  rules: z
    .array(rule)
    .max(mostNodeRules)
    .optional()
    .meta({ ...keyed("rule", "hop"), description: "what the relay is programmed with" }),
  rulesLeftOut: count.optional().describe(`rules beyond the ${mostNodeRules} that are told`),
});
export type FleetNodeStatus = z.output<typeof fleetNodeStatus>;
export type FleetSensor = NonNullable<FleetNodeStatus["sensors"]>[number];
export type FleetRelay = NonNullable<FleetNodeStatus["relay"]>;
export type FleetRule = NonNullable<FleetNodeStatus["rules"]>[number];

export const fleetNode: CustomResource = {
  kind: "FleetNode",
  plural: "fleetnodes",
  short: "fnode",
  description:
    "A node as Tapline finds it: what it is, what our agents may and do there. Written by the operator alone.",
  status: fleetNodeStatus,
  conditions,
  columns: [
    ...readyColumns,
    {
      name: "Wanted",
      type: "integer",
      path: ".status.relay.wanted",
      description: "generation of the plan that the node was given",
    },
    {
      name: "Programmed",
      type: "integer",
      path: ".status.relay.programmed",
      description: "generation of the plan that runs",
    },
    { name: "Pinned", type: "string", path: conditionPath("Pinned"), description: conditions.Pinned },
    { name: "Permitted", type: "string", path: conditionPath("Permitted"), description: conditions.Permitted },
    ageColumn,
    { name: "Kernel", type: "string", path: ".status.kernel.release", description: "the kernel's release", wide: true },
    {
      name: "Relay",
      type: "date",
      path: ".status.relay.lastReport",
      description: "time since the relay was heard",
      wide: true,
    },
    {
      name: "Message",
      type: "string",
      path: conditionPath("Ready", "message"),
      description: "what is wrong",
      wide: true,
    },
  ],
};
