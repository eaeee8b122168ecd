// A SensorPool → its ConfigMap and DaemonSet. Pure. Capabilities, folders and memory follow from the spec; nothing is granted that it does not need.
import { apiVersion } from "#domain/custom-resource.ts";
import { poolFolder, sensorPool, type SensorPoolSpec } from "#domain/sensor-pool.ts";
import {
  addressVariable,
  agentNats,
  type AgentPod,
  type ConfigMap,
  configMap,
  daemonSet,
  type DaemonSet,
  hostFolder,
  type Mount,
  nodeVariable,
  ownerOf,
  type Surroundings,
} from "../agent-pod.ts";
import type { PoolObject } from "./pool-object.ts";
import type { PoolPorts } from "./ports.ts";

/** Label of a pool's pods: its name. */
export const poolLabel = "tapline.dev/pool";
export const sensorsName = (pool: string): string => `tapline-sensor-${pool}`;

/** Beside the budget: what lies outside the process's own memory, and short peaks before it degrades. The budget is steered by, this one kills. */
const roomMiB = 64;
const roomShare = 0.25;

export function sensorPods(
  pool: PoolObject,
  ports: PoolPorts,
  around: Surroundings,
): { readonly configMap: ConfigMap; readonly daemonSet: DaemonSet } {
  const { name, uid, spec } = pool;
  const folder = storeFolder(name, spec);
  const irqs = spec.pinning.irq === "Manage";
  const pod: AgentPod = {
    kind: "sensor",
    name: sensorsName(name),
    labels: { ...around.agents.labels, "app.kubernetes.io/component": "sensor", [poolLabel]: name },
    owner: ownerOf(sensorPool, apiVersion, name, uid),
    configuration: sensorConfiguration(pool, ports, folder, around),
    capabilities: sensorCapabilities(spec),
    mounts: [
      storeMount(name, spec),
      // runc mounts /proc/irq read-only.
      ...(irqs ? [hostFolder("irq", "/proc/irq", "/host/irq", "Directory")] : []),
    ],
    ...(irqs ? { environment: [{ name: "TAPLINE_IRQ", value: "/host/irq" }] } : {}),
    resources: resources(spec),
    ...placement(spec),
    tolerations: spec.nodes.tolerations ?? [],
    updateStrategy: {
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: spec.rollout.maxUnavailable, maxSurge: 0 }, // two would want one port
    },
    metricsPort: ports.metrics,
    ...(spec.export.prometheus.enabled ? {} : { metricsHost: loopback }),
    graceSeconds: 45,
  };
  return { configMap: configMap(pod, around.namespace), daemonSet: daemonSet(pod, around) };
}

/**
 *  NET_RAW    packet sockets
 *  NET_ADMIN  promiscuous mode; the NIC's features by ethtool's netlink; a ring larger than the kernel's usual limit
 *  BPF        the fanout program that keeps a flow on one thread: with one thread there is none
 *  IPC_LOCK   rings locked in memory
 *  SYS_NICE   moves the kernel's threads of a NIC, for irq: Manage
 */
export const sensorCapabilities = ({ capture, pinning }: Pick<SensorPoolSpec, "capture" | "pinning">): string[] => [
  ...(capture.threads > 1 ? ["BPF"] : []),
  "IPC_LOCK",
  "NET_ADMIN",
  "NET_RAW",
  ...(pinning.irq === "Manage" ? ["SYS_NICE"] : []),
];

const loopback = "127.0.0.1";
const storeFolder = (pool: string, { store }: SensorPoolSpec): string => store.path ?? poolFolder(pool);

function storeMount(pool: string, spec: SensorPoolSpec): Mount {
  const mountPath = storeFolder(pool, spec);
  if (spec.store.emptyDir === true) return { name: "store", mountPath, source: { emptyDir: { sizeLimit: `${2 * spec.store.retention.MiB + 64}Mi` } } }; // biome-ignore format: one row
  if (spec.store.claim !== undefined) return { name: "store", mountPath, subPathExpr: "$(TAPLINE_NODE)", source: { persistentVolumeClaim: { claimName: spec.store.claim } } }; // biome-ignore format: one row
  return hostFolder("store", mountPath);
}

function sensorConfiguration({ name, spec }: PoolObject, ports: PoolPorts, folder: string, around: Surroundings): object {
  const { cpu: _, ...budget } = spec.budget;
  return {
    name: nodeVariable,
    interfaces: spec.interfaces,
    capture: spec.capture,
    pinning: spec.pinning,
    analysis: spec.analysis,
    store: { path: `${folder}/sensor.db`, retention: spec.store.retention },
    budget,
    nats: { ...agentNats(around), pool: name },
    // Under hostNetwork loopback is no boundary: questions come over NATS.
    api: { enabled: false, port: ports.api },
    metrics: { host: spec.export.prometheus.enabled ? addressVariable : loopback, port: ports.metrics },
    log: { format: "json" },
    ...(spec.export.otlp === undefined ? {} : { export: { otlp: spec.export.otlp } }),
  };
} // biome-ignore format: one object

function resources({ budget, capture }: SensorPoolSpec): object {
  const { memoryMiB, cpu } = budget;
  const limit = `${memoryMiB + Math.max(roomMiB, Math.ceil(memoryMiB * roomShare))}Mi`;
  return {
    requests: { cpu: cpu === undefined ? `${capture.threads * 100}m` : String(cpu), memory: `${memoryMiB}Mi` },
    limits: { memory: limit, ...(cpu === undefined ? {} : { cpu: String(cpu) }) },
  };
}

function placement({ nodes: { selector } }: SensorPoolSpec): Pick<AgentPod, "nodeSelector" | "affinity"> {
  if (selector === undefined) return {};
  const { matchLabels = {}, matchExpressions = [] } = selector;
  const terms = matchExpressions.map(({ key, operator, values }) => ({
    key,
    operator,
    ...(values === undefined ? {} : { values }),
  }));
  return {
    ...(Object.keys(matchLabels).length === 0 ? {} : { nodeSelector: matchLabels }),
    ...(terms.length === 0
      ? {}
      : {
          affinity: {
            nodeAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions: terms }] },
            },
          },
        }),
  };
}
