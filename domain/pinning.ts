// What is told about pinning: for each interface what is wished and what is, and where the two differ. The API's /api/v1/pinning and
// the agent's report speak by this schema.
import { z } from "zod";

const keysOf = <Key extends string>(list: Record<Key, string>) => Object.keys(list) as [Key, ...Key[]];
const count = z.int().min(0);
const cpus = z.string().describe('CPUs as the kernel lists them: "0-3,8"');
const time = z.string().describe("ISO 8601 with nine digits of fraction, UTC");

export const pinningPolicies = ["None", "NicLocal", "Explicit"] as const;
export const irqPolicies = ["Observe", "Manage"] as const;

/** What can be pinned, each by a way of its own. */
export const pinnedItems = {
  thread: "a capture thread: the CPU it runs on",
  memory: "the ring's memory: its NUMA node",
  irq: "an interrupt of one of the NIC's queues: the CPUs it may go to",
  rps: "a receive queue's RPS: the CPUs that take over its packets",
  threaded: "whether NAPI runs in threads of its own",
  napi: "such a thread: the CPUs it may run on",
} as const;
export type PinnedItem = keyof typeof pinnedItems;

/** What became of a setting when the old state was put back. */
export const restoreResults = {
  restored: "the old value was written back",
  unchanged: "it had its old value already",
  foreign: "somebody else has changed it since: left as it is",
  gone: "the interrupt, interface or thread is no more",
  failed: "the kernel refused; it is tried again at the next start",
} as const;

const pinned = z.object({
  name: z.string().describe("irq 38 virtio2-input.0, rps eth1/rx-0, thread 0"),
  desired: z.string().nullable().describe("CPUs, a node, 0 or 1; null when nothing is wished"),
  actual: z.string().nullable().describe("the same now; null when it cannot be told"),
  effective: cpus.nullable().describe("where the interrupt controller sends an interrupt; null for other items"),
  problem: z.string().nullable().describe("why it could not be read or set"),
});

const part = z.object({
  reason: z.string().nullable().describe("why this is wished"),
  not_applicable: z.string().nullable().describe("why there is nothing to wish here, in words"),
  items: z.array(pinned),
});

export const pinningDrift = z.object({
  interface: z.string(),
  item: z.enum(keysOf(pinnedItems)),
  name: z.string(),
  desired: z.string(),
  actual: z.string().nullable(),
  since: time.describe("when it was first noticed"),
});

const restored = z.object({
  interface: z.string(),
  item: z.enum(keysOf(pinnedItems)),
  name: z.string(),
  result: z.enum(keysOf(restoreResults)),
  detail: z.string().nullable(),
});

export const pinningReport = z.object({
  policy: z.enum(pinningPolicies),
  irq: z.enum(irqPolicies),
  online_cpus: cpus,
  allowed_cpus: cpus.describe("what this process may use: its affinity and its cgroup's cpuset"),
  isolated_cpus: cpus,
  numa_nodes: z.array(z.object({ node: count, cpus })),
  irqbalance: z.boolean().nullable().describe("whether it runs; null when this process cannot see all others"),
  interfaces: z.array(
    z.object({
      interface: z.string(),
      numa_node: count.nullable().describe("of the NIC; null when it is virtual or does not say"),
      threads: part,
      memory: part,
      irqs: part,
      rps: part,
      threaded: part,
      warnings: z.array(z.string()),
    }),
  ),
  drift: z
    .array(pinningDrift)
    .describe("what differs from what is wished; under Observe also what never was as wished"),
  drift_cause: z.string().nullable().describe("who is likely to have changed it"),
  drifts: count.describe("how often something was found to differ, since start"),
  reapplied: count.describe("settings written again, since start; at most once a minute"),
  restored_at_start: z.array(restored).describe("what an earlier agent that did not end cleanly had left"),
});

export type PinningReport = z.infer<typeof pinningReport>;
export type PinningPart = z.infer<typeof part>;
export type PinningDrift = z.infer<typeof pinningDrift>;
export type Restored = z.infer<typeof restored>;
