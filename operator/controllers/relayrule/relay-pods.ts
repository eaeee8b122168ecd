// The relays: one ConfigMap and one DaemonSet, whose template does not change when rules do. Which nodes have a relay is said by a label of the node, which this controller sets. Pure.
import {
  addressVariable,
  agentNats,
  type AgentPod,
  type ConfigMap,
  configMap,
  daemonSet,
  type DaemonSet,
  hostFolder,
  nodeVariable,
  type Surroundings,
} from "../agent-pod.ts";

/** Of a node that shall have a relay. */
export const relayLabel = "tapline.dev/relay";
export const relaysName = "tapline-relay";
const metricsPort = 9465;
const apiPort = 3002;
export const relayState = "/var/lib/tapline/relay";
/** Here the agent looks for it. Of the node's own only this fleet's folder is there. */
const bpffs = "/bpf";
const pins = (fleet: string): string => `tapline/${fleet}`;

/** As of deploy/systemd/tapline-relay.service. */
const capabilities = ["BPF", "IPC_LOCK", "NET_ADMIN", "NET_RAW", "PERFMON"];

export function relayPods(around: Surroundings): { readonly configMap: ConfigMap; readonly daemonSet: DaemonSet } {
  const { relay, labels } = around.agents;
  const pod: AgentPod = {
    kind: "relay",
    name: relaysName,
    labels: { ...labels, "app.kubernetes.io/component": "relay" },
    owner: undefined,
    configuration: {
      name: nodeVariable,
      state: { path: relayState },
      control: { socket: "/run/tapline/relay/control.sock" },
      engines: { bpffs },
      nats: { ...agentNats(around), plan: { publicKeyFile: "/plan-key/operator.pem" } },
      api: { enabled: false, port: apiPort },
      metrics: { host: addressVariable, port: metricsPort },
      log: { format: "json" },
    },
    capabilities,
    mounts: [
      hostFolder("state", relayState),
      // Pins outlive the pod; so does what they forward.
      hostFolder("pins", `/sys/fs/bpf/${pins(around.fleet)}`, `${bpffs}/${pins(around.fleet)}`),
      { name: "run", mountPath: "/run/tapline", source: { emptyDir: { medium: "Memory", sizeLimit: "64Mi" } } },
      { name: "plan-key", mountPath: "/plan-key", readOnly: true, source: { configMap: { name: around.planKey } } },
    ],
    resources: {
      requests: { cpu: `${Math.round(relay.cpu * 1000)}m`, memory: `${Math.ceil(relay.memoryMiB / 2)}Mi` },
      limits: { memory: `${relay.memoryMiB}Mi` },
    },
    nodeSelector: { [relayLabel]: "true" },
    tolerations: relay.tolerations,
    // Forwarding goes on while a relay is away: several at once may be.
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "10%", maxSurge: 0 } },
    metricsPort,
    graceSeconds: 30,
  };
  return { configMap: configMap(pod, around.namespace), daemonSet: daemonSet(pod, around) };
}

/** Nodes whose label is to change. A relay stays until it has taken the plan that leaves it nothing to do. */
export function relayLabels(
  nodes: Iterable<{ readonly name: string; readonly labels: Readonly<Record<string, string>> }>,
  wanted: (node: string) => boolean,
): Map<string, boolean> {
  const changes = new Map<string, boolean>();
  for (const { name, labels } of nodes) {
    const has = labels[relayLabel] === "true";
    if (has !== wanted(name)) changes.set(name, !has);
  }
  return changes;
}
