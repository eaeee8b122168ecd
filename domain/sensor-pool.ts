// SensorPool: which nodes watch which interfaces, and how. Its sections are those of the sensor's configuration (sensor-config.ts), as far as the
// operator does not decide them itself. Durations stay text.
import { z } from "zod";
import { atomic } from "./cel.ts";
import { claimName, cpuQuantity, durationField, endpoint, nodePath } from "./crd-values.ts";
import {
  byReason,
  type CustomResource,
  count,
  labelSelector,
  share,
  statusHead,
  tolerations,
  worstNodes,
} from "./custom-resource.ts";
import { analysisTimes, capture, interfaceEntry, maxFlows, memoryMiB, pinning, retention } from "./sensor-config.ts";

/** What a pool's sensors write to when the object names no place: a folder of the pool's own. */
export const poolFolder = (pool: string): string => `/var/lib/tapline/pools/${pool}`;

const nodes = z.object({
  selector: labelSelector.optional().describe("labels of the nodes; absent: every node"),
  tolerations: tolerations.optional().meta({ ...atomic, description: "taints that do not keep the sensors away" }),
});

const store = z.object({
  path: nodePath
    .optional()
    .describe("folder on each node, below /var/lib/tapline; absent: a folder with the pool's name there"),
  emptyDir: z
    .boolean()
    .optional()
    .describe("true, in place of a path: findings end with the pod; for a try, or when NATS has them all"),
  claim: claimName
    .optional()
    .describe("in place of a path: a PersistentVolumeClaim in the operator's namespace; each node has a folder in it"),
  retention: retention.prefault({}).describe("when findings are deleted"),
});

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

export const sensorPoolSpec = z.object({
  nodes: nodes.prefault({}).describe("which nodes"),
  interfaces: z
    .array(interfaceEntry)
    .min(1)
    .max(64)
    .meta({ ...atomic, description: "where to capture: entries with one of name, glob, driver" }),
  capture: capture.prefault({}).describe("how packets are taken"),
  pinning: pinning.prefault({}).describe("which CPUs do the work"),
  analysis: z
    .object({
      settle: durationField(analysisTimes.settle),
      idleTimeout: durationField(analysisTimes.idleTimeout),
      maxFlows,
    })
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
});
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
  columns: [],
};
