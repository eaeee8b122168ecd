// What the pods of sensors and relays have in common: on the node's own network, with named capabilities and nothing else. Pure: objects in, objects out.
import { createHash } from "node:crypto";
import { stringify } from "yaml";
import type { OperatorConfig } from "#domain/operator-config.ts";
import type { KubeObject, ObjectMeta, OwnerReference } from "../runtime/objects.ts";

export type AgentSettings = OperatorConfig["agents"];

/** What agents have to know of the operator's own configuration. */
export interface Surroundings {
  readonly fleet: string;
  readonly namespace: string;
  readonly nats: Pick<OperatorConfig["nats"], "url">;
  readonly agents: AgentSettings;
  /** ConfigMap with the key that plans are signed with: its public half */
  readonly planKey: string;
}

export interface ConfigMap extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}
export interface DaemonSet extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    /** pods that there are, whatever they do */
    readonly currentNumberScheduled?: number;
    readonly numberReady?: number;
    readonly updatedNumberScheduled?: number;
  };
}

export interface Mount {
  readonly name: string;
  readonly mountPath: string;
  readonly readOnly?: boolean;
  readonly subPathExpr?: string;
  /** the volume's source */
  readonly source: object;
}

export interface AgentPod {
  readonly kind: "sensor" | "relay";
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly owner: OwnerReference | undefined;
  /** becomes the file that the agent reads */
  readonly configuration: object;
  /** CAP_… without the prefix, as Kubernetes writes them */
  readonly capabilities: readonly string[];
  readonly mounts: readonly Mount[];
  readonly environment?: readonly { readonly name: string; readonly value: string }[];
  readonly resources: object;
  readonly nodeSelector?: object;
  readonly affinity?: object;
  readonly tolerations: readonly object[];
  readonly updateStrategy: object;
  readonly metricsPort: number;
  /** absent: the node's address */
  readonly metricsHost?: string;
  /** until it is killed */
  readonly graceSeconds: number;
}

const logins = { user: "userFile", creds: "credentialsFile", token: "tokenFile", nkey: "nkeySeedFile" } as const;

/** The section `nats` of an agent: as the operator's servers, with its own login. Names in ${} are the pod's own: see `identity`. */
export const agentNats = ({ fleet, nats, agents }: Surroundings): object => ({
  url: nats.url,
  fleet,
  [logins[agents.nats.login]]: `/nats/login/${agents.nats.login}`,
  ...(agents.nats.caSecret === undefined ? {} : { tls: { caFile: "/nats/ca/ca.crt" } }),
});
/** The node's own name and address: filled in by the agent, from its pod's environment. */
const variable = (name: string): string => `\${${name}}`;
export const nodeVariable = variable("TAPLINE_NODE");
export const addressVariable = variable("TAPLINE_ADDRESS");
const identity = [
  { name: "TAPLINE_NODE", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "spec.nodeName" } } },
  { name: "TAPLINE_ADDRESS", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "status.hostIP" } } },
];

export function configMap({ name, labels, owner, configuration, kind }: AgentPod, namespace: string): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: metadata({ name, labels, owner }, namespace), data: { [`${kind}.yaml`]: stringify(configuration) } }; // biome-ignore format: one object
}

const metadata = ({ name, labels, owner }: Pick<AgentPod, "name" | "labels" | "owner">, namespace: string): ObjectMeta => ({
  name,
  namespace,
  labels,
  ...(owner === undefined ? {} : { ownerReferences: [owner] }),
}); // biome-ignore format: one object

export function daemonSet(pod: AgentPod, around: Surroundings): DaemonSet {
  const { kind, labels, mounts } = pod;
  const { agents } = around;
  const volumes: readonly Mount[] = [...fixedMounts(pod, around), ...mounts];
  const digest = createHash("sha256").update(stringify(pod.configuration)).digest("hex").slice(0, 16);
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: metadata(pod, around.namespace),
    spec: {
      selector: { matchLabels: selectorOf(labels) },
      updateStrategy: pod.updateStrategy,
      template: {
        // A changed configuration needs new pods.
        metadata: { labels, annotations: { "tapline.dev/configuration": digest } },
        spec: {
          serviceAccountName: kind === "sensor" ? agents.sensorAccount : agents.relayAccount,
          automountServiceAccountToken: false,
          hostNetwork: true,
          dnsPolicy: "ClusterFirstWithHostNet",
          priorityClassName: agents.priorityClass,
          terminationGracePeriodSeconds: pod.graceSeconds,
          ...(agents.pullSecrets.length === 0 ? {} : { imagePullSecrets: agents.pullSecrets.map((one) => ({ name: one })) }), // biome-ignore format: one field
          ...(pod.nodeSelector === undefined ? {} : { nodeSelector: pod.nodeSelector }),
          ...(pod.affinity === undefined ? {} : { affinity: pod.affinity }),
          ...(pod.tolerations.length === 0 ? {} : { tolerations: pod.tolerations }),
          securityContext: { seccompProfile: { ...agents.seccomp } },
          containers: [
            {
              name: kind,
              image: agents.image,
              imagePullPolicy: agents.pullPolicy,
              args: [kind, "--config", `/etc/tapline/${kind}.yaml`],
              env: [...identity, ...(pod.environment ?? [])],
              ports: [{ name: "metrics", containerPort: pod.metricsPort, hostPort: pod.metricsPort, protocol: "TCP" }],
              ...probes(pod.metricsHost),
              resources: pod.resources,
              securityContext: {
                runAsUser: 0, // of files on the node, and of sockets; what root may do beyond any user is in the list below
                allowPrivilegeEscalation: false,
                privileged: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ["ALL"], add: [...pod.capabilities].sort() },
              },
              volumeMounts: volumes.map(({ source: _source, ...mount }) => mount),
            },
          ],
          volumes: volumes.map(({ name: volume, source }) => ({ name: volume, ...source })),
        },
      },
    },
  };
}

/** Names and instance decide whose pods they are; what a new version of the chart changes must not. */
const selectorOf = (labels: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).filter(([key]) => /^(app\.kubernetes\.io\/(name|instance|component)|tapline\.dev\/)/.test(key))); // biome-ignore format: one expression

const fixedMounts = ({ kind, name }: AgentPod, { agents }: Surroundings): Mount[] => [
  { name: "configuration", mountPath: "/etc/tapline", readOnly: true, source: { configMap: { name } } },
  {
    name: "login",
    mountPath: "/nats/login",
    readOnly: true,
    source: { secret: { secretName: kind === "sensor" ? agents.nats.sensorSecret : agents.nats.relaySecret, defaultMode: 0o400 } }, // biome-ignore format: one field
  },
  ...(agents.nats.caSecret === undefined
    ? []
    : [
        {
          name: "authority",
          mountPath: "/nats/ca",
          readOnly: true,
          source: { secret: { secretName: agents.nats.caSecret, items: [{ key: "ca.crt", path: "ca.crt" }] } },
        },
      ]),
  { name: "scratch", mountPath: "/tmp", source: { emptyDir: { medium: "Memory", sizeLimit: "16Mi" } } },
];

/** By the port's name; the kubelet asks the node's address, where it listens. */
const probe = (path: string, host: string | undefined, periodSeconds: number, failureThreshold: number): object => ({
  httpGet: { path, port: "metrics", scheme: "HTTP", ...(host === undefined ? {} : { host }) },
  periodSeconds,
  failureThreshold,
  timeoutSeconds: 5,
});
const probes = (host: string | undefined): object => ({
  startupProbe: probe("/healthz", host, 2, 60),
  livenessProbe: probe("/healthz", host, 10, 6),
  readinessProbe: probe("/readyz", host, 5, 3),
});

/** A folder of the node: only ever below /var/lib/tapline, in bpffs, and /proc/irq. */
export const hostFolder = (
  name: string,
  path: string,
  mountPath = path,
  type: "DirectoryOrCreate" | "Directory" = "DirectoryOrCreate",
): Mount => ({ name, mountPath, source: { hostPath: { path, type } } });

export const ownerOf = (resource: { readonly kind: string }, apiVersion: string, name: string, uid: string): OwnerReference => ({
  apiVersion,
  kind: resource.kind,
  name,
  uid,
  controller: true,
  blockOwnerDeletion: true,
}); // biome-ignore format: one object
