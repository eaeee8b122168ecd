// The kinds that the operator follows and writes, and its own from the domain in the words of the controllers.
import { apiGroup, type CustomResource } from "#domain/custom-resource.ts";
import { fleetNode, type FleetNodeStatus } from "#domain/fleet-node.ts";
import { relayRuleResource, relayRuleSpec, type RelayRuleSpec } from "#domain/relay-rule-object.ts";
import type { RelayRuleStatus } from "#domain/relay-rule-status.ts";
import { sensorPool, sensorPoolSpec, type SensorPoolSpec, type SensorPoolStatus } from "#domain/sensor-pool.ts";
import type { ConfigMap, DaemonSet } from "./controllers/agent-pod.ts";
import type { NodeFacts } from "./controllers/nodes.ts";
import type { RuleObject } from "./controllers/relayrule/rule-object.ts";
import type { PoolObject } from "./controllers/sensorpool/pool-object.ts";
import type { KubeObject, Resource } from "./runtime/objects.ts";

export interface PoolKind extends KubeObject {
  readonly spec: SensorPoolSpec;
  readonly status?: SensorPoolStatus;
}
export interface RuleKind extends KubeObject {
  readonly spec: RelayRuleSpec;
  readonly status?: RelayRuleStatus;
}
export interface FleetNodeKind extends KubeObject {
  readonly status?: FleetNodeStatus;
}
/** What is not named here is not kept: trimNode. */
export interface NodeKind extends KubeObject {
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly nodeInfo?: { readonly kernelVersion: string; readonly architecture: string; readonly osImage?: string };
    readonly capacity?: { readonly cpu?: string };
  };
}
export interface SecretKind extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

const own = <T extends KubeObject>({ kind, plural }: CustomResource): Resource<T> => ({ group: apiGroup, version: "v1alpha1", kind, plural, namespaced: false }); // biome-ignore format: one row
export const pools = own<PoolKind>(sensorPool);
export const rules = own<RuleKind>(relayRuleResource);
export const fleetNodes = own<FleetNodeKind>(fleetNode);
export const nodes: Resource<NodeKind> = { group: "", version: "v1", kind: "Node", plural: "nodes", namespaced: false };
export const configMaps: Resource<ConfigMap> = { group: "", version: "v1", kind: "ConfigMap", plural: "configmaps", namespaced: true }; // biome-ignore format: one row
export const secrets: Resource<SecretKind> = { group: "", version: "v1", kind: "Secret", plural: "secrets", namespaced: true }; // biome-ignore format: one row
export const pods: Resource = { group: "", version: "v1", kind: "Pod", plural: "pods", namespaced: true };
export const daemonSets: Resource<DaemonSet> = { group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets", namespaced: true }; // biome-ignore format: one row

export const deployments: Resource = { group: "apps", version: "v1", kind: "Deployment", plural: "deployments", namespaced: true }; // biome-ignore format: one row

/** Of core/v1, as the cluster's own controllers tell them. */
export interface EventKind extends KubeObject {
  readonly reason?: string;
  readonly message?: string;
  readonly lastTimestamp?: string | null;
  readonly eventTime?: string | null;
  readonly series?: { readonly lastObservedTime?: string };
}
export const coreEvents: Resource<EventKind> = { group: "", version: "v1", kind: "Event", plural: "events", namespaced: true }; // biome-ignore format: one row

/** A Node is large, most of it images and who wrote what; there are thousands, and all are held. */
export const trimNode = ({ apiVersion, kind, metadata, status }: NodeKind): NodeKind => {
  const { name, uid, resourceVersion, labels, creationTimestamp, deletionTimestamp } = metadata;
  const { addresses, nodeInfo, capacity } = status ?? {};
  return {
    apiVersion,
    kind,
    metadata: given({ name, uid, resourceVersion, labels, creationTimestamp, deletionTimestamp }),
    status: given({
      addresses,
      nodeInfo: nodeInfo && { kernelVersion: nodeInfo.kernelVersion, architecture: nodeInfo.architecture, ...given({ osImage: nodeInfo.osImage }) }, // biome-ignore format: one row
      capacity: capacity && given({ cpu: capacity.cpu }),
    }),
  };
};
/** Whoever wrote its status is the operator itself. */
export const trimFleetNode = ({ metadata: { managedFields: _managedFields, ...metadata }, ...node }: FleetNodeKind): FleetNodeKind => ({ ...node, metadata }); // biome-ignore format: one row

type Given<T> = { [Key in keyof T]: Exclude<T[Key], undefined> };
const given = <T extends object>(fields: T): Given<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;

const headOf = ({ metadata }: KubeObject) => ({
  name: metadata.name,
  uid: metadata.uid ?? "",
  created: metadata.creationTimestamp ?? "",
  generation: metadata.generation ?? 0,
  leaving: metadata.deletionTimestamp !== undefined,
});

/** Undefined when the object is of a later version than this operator: what it does not understand it does not touch. */
export function ruleObject(kind: RuleKind): RuleObject | undefined {
  const { data } = relayRuleSpec.safeParse(kind.spec);
  return data && { ...headOf(kind), spec: data };
}
export function poolObject(kind: PoolKind): PoolObject | undefined {
  const { data } = sensorPoolSpec.safeParse(kind.spec);
  return data && { ...headOf(kind), spec: data };
}

export const nodeFacts = ({ metadata, status }: NodeKind, interfaces: NodeFacts["interfaces"]): NodeFacts => ({
  name: metadata.name,
  labels: metadata.labels ?? {},
  addresses: (status?.addresses ?? []).filter(({ type }) => type === "InternalIP").map(({ address }) => address),
  interfaces,
});
