// SensorPool: which nodes watch which interfaces, and how. Its sections are those of the sensor's configuration (sensor-config.ts), as far as the
// operator does not decide them itself. Durations stay text.
import { z } from "zod";
import { atomic, rules } from "./cel.ts";
import { claimName, cpuQuantity, durationField, durationForm, endpoint, nodePath, share } from "./crd-values.ts";
import {
  ageColumn,
  byReason,
  type CustomResource,
  conditionPath,
  count,
  labelSelector,
  readyColumns,
  shortObjectName,
  statusHead,
  tolerations,
  worstNodes,
} from "./custom-resource.ts";
import {
  analysisTimes,
  capture,
  interfaceEntry,
  maxFlows,
  memoryMiB,
  pinning,
  retention,
  ring,
} from "./sensor-config.ts";

/** What a pool's sensors write to when the object names no place: a folder of the pool's own. */
export const poolFolder = (pool: string): string => `/var/lib/tapline/pools/${pool}`;

const nodes = z.object({
  selector: labelSelector.optional().describe("labels of the nodes; absent: every node"),
  tolerations: tolerations.optional().meta({ ...atomic, description: "taints that do not keep the sensors away" }),
});

const sameOf = (key: string): string =>
  `has(self.${key}) == has(oldSelf.${key}) && (!has(self.${key}) || self.${key} == oldSelf.${key})`;
const samePlace = ["path", "emptyDir", "claim"].map(sameOf).join(" && ");
const store = rules(
  z.object({
    path: nodePath
      .optional()
      .describe("folder on each node, below /var/lib/tapline; absent: a folder with the pool's name there"),
    emptyDir: z
      .boolean()
      .optional()
      .describe("true, in place of a path: findings end with the pod; for a try, or when NATS has them all"),
    claim: claimName
      .optional()
      .describe(
        "in place of a path: a PersistentVolumeClaim in the operator's namespace; each node has a folder in it",
      ),
    retention: retention.prefault({}).describe("when findings are deleted"),
  }),
  {
    rule: "[has(self.path), has(self.emptyDir) && self.emptyDir, has(self.claim)].filter(given, given).size() <= 1",
    message: "has more than one of path, emptyDir, claim: keep one",
  },
  {
    rule: samePlace,
    message:
      "findings stay where they are: path, emptyDir and claim cannot change. Make another pool, and delete this one when it is no longer asked",
  },
);

const rollout = z.object({
  maxUnavailable: share
    .default("10%")
    .describe("sensors that may be away at once while they are replaced: a number, or a share of all"),
});

const exports = z.object({
  prometheus: z
    .object({
      enabled: z
        .boolean()
        .default(true)
        .describe("true: /metrics on the node's address; false: on its loopback address only"),
    })
    .prefault({})
    .describe("figures for Prometheus"),
  otlp: z
    .object({ endpoint: endpoint.describe("an OpenTelemetry collector, OTLP over HTTP") })
    .optional()
    .describe("traces of start-up, queries and flushes; absent: none"),
});

export const sensorPoolSpec = rules(
  z.object({
    nodes: nodes.prefault({}).describe("which nodes"),
    interfaces: z
      .array(interfaceEntry)
      .min(1)
      .max(64)
      .meta({ ...atomic, description: "where to capture: entries with one of name, glob, driver" }),
    capture: capture
      .extend({ ring: ring.prefault({}).describe("the packet ring of each thread") })
      .prefault({})
      .describe("how packets are taken"),
    pinning: pinning.prefault({}).describe("which CPUs do the work"),
    analysis: rules(
      z.object({
        settle: durationField(analysisTimes.settle),
        idleTimeout: durationField(analysisTimes.idleTimeout),
        maxFlows,
      }),
      {
        rule: `![self.settle, self.idleTimeout].all(time, time.matches('${durationForm}')) || duration(self.idleTimeout) >= duration(self.settle)`,
        fieldPath: ".idleTimeout",
        message: "must not be shorter than settle: a flow would end before its gaps are known",
      },
    )
      .prefault({})
      .describe("when a packet counts as lost, and how many flows are followed"),
    store: store.prefault({}).describe("where findings are kept on each node, and how long"),
    budget: z
      .object({
        memoryMiB,
        cpu: cpuQuantity.optional().describe("CPUs that each sensor may use, as 2 or 500m; absent: no limit"),
      })
      .prefault({})
      .describe("what each sensor may use of its node"),
    rollout: rollout.prefault({}).describe("how sensors are replaced"),
    export: exports.prefault({}).describe("where figures and traces go, beside NATS"),
  }),
  {
    rule: "self.interfaces.all(one, !has(one.name) || self.interfaces.filter(other, has(other.name) && other.name == one.name).size() == 1)",
    fieldPath: ".interfaces",
    message: "names an interface twice",
  },
  {
    rule: "self.capture.threads * self.capture.ring.blockKiB * self.capture.ring.blocks < self.budget.memoryMiB * 1024",
    fieldPath: ".capture.ring",
    message: "is as large as budget.memoryMiB, or larger, over all threads",
    messageExpression:
      "'is %d MiB for each of %d threads, which leaves nothing of budget.memoryMiB %d'.format(" +
      "[self.capture.ring.blockKiB * self.capture.ring.blocks / 1024, self.capture.threads, self.budget.memoryMiB])",
  },
);
export type SensorPoolSpec = z.output<typeof sensorPoolSpec>;

const conditions = {
  Accepted: "the object is sound, and no other pool has its interfaces",
  Ready: "every sensor that is wanted runs, watches, and reports",
  Accounted: "the books of every sensor balance: each packet is in one account",
  Degraded: "True is bad: something works, but not as asked for",
} as const;
export type SensorPoolCondition = keyof typeof conditions;

export const sensorPoolStatus = z.object({
  ...statusHead,
  desired: count.optional().describe("nodes that should have a sensor"),
  ready: count.optional().describe("sensors that run and are ready"),
  reporting: count.optional().describe("sensors that were heard within three intervals"),
  ports: z
    .object({
      api: count.describe("for the sensors' API"),
      metrics: count.describe("of /metrics, /healthz and /readyz"),
    })
    .optional()
    .describe("ports on the node that this pool's sensors have: two pools on one node must differ"),
  totals: z
    .object({
      packets: count.describe("packets seen, by all sensors since each one's start"),
      bytes: count.describe("bytes of those"),
      pps: count.describe("packets per second now"),
      bps: count.describe("bits per second now"),
      drops: byReason.describe("packets that were seen and not followed, by reason; those of 0 are left out"),
      lost: count.describe("sequence numbers that never came: lost before the sensors"),
      suspect: count.describe("gaps that may be the sensors' own doing"),
      flows: count.describe("flows alive now"),
    })
    .optional()
    .describe("sums over the sensors that report"),
  worst: worstNodes.optional(),
});
export type SensorPoolStatus = z.output<typeof sensorPoolStatus>;

export const sensorPool: CustomResource = {
  kind: "SensorPool",
  plural: "sensorpools",
  short: "spool",
  description:
    "A group of nodes whose interfaces are watched alike: a sensor on each, which tells where packets get lost.",
  spec: sensorPoolSpec,
  status: sensorPoolStatus,
  conditions,
  rules: [shortObjectName],
  columns: [
    ...readyColumns,
    { name: "Desired", type: "integer", path: ".status.desired", description: "nodes that should have a sensor" },
    { name: "Reporting", type: "integer", path: ".status.reporting", description: "sensors that are heard" },
    { name: "Accounted", type: "string", path: conditionPath("Accounted"), description: conditions.Accounted },
    { name: "Lost", type: "integer", path: ".status.totals.lost", description: "sequence numbers that never came" },
    ageColumn,
    { name: "Degraded", type: "string", path: conditionPath("Degraded"), description: conditions.Degraded, wide: true },
    { name: "Pps", type: "integer", path: ".status.totals.pps", description: "packets per second", wide: true },
    { name: "Flows", type: "integer", path: ".status.totals.flows", description: "flows alive", wide: true },
    {
      name: "Metrics",
      type: "integer",
      path: ".status.ports.metrics",
      description: "port of /metrics on each node",
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
