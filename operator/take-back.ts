// Takes back all that the operator has made, on nodes and in the API. Enters: a configuration, the API, NATS, relays' acknowledgements, a moment from which nothing is waited for
// any more. Leaves: SensorPools and RelayRules without our finalizers, free to stay or go; and the names of nodes that did not come clean. Each step may be done twice: what fails is
// tried again.
import type { ObjectCondition } from "#domain/custom-resource.ts";
import type { OperatorConfig } from "#domain/operator-config.ts";
import type { NodeFacts } from "./controllers/nodes.ts";
import { relayLabel, relaysName } from "./controllers/relayrule/relay-pods.ts";
import { sensorsName } from "./controllers/sensorpool/sensor-pods.ts";
import { emptyPlans } from "./empty-plans.ts";
import { configMaps, daemonSets, fleetNodes, nodeFacts, nodes, pods, pools, rules, secrets } from "./kinds.ts";
import { again, type Patience, pause } from "./patience.ts";
import { finalizers } from "./placing.ts";
import { hasCode } from "./runtime/api-error.ts";
import type { KubeClient, ListAsked } from "./runtime/client.ts";
import { type Condition, withConditions } from "./runtime/conditions.ts";
import { Finalizer } from "./runtime/finalizers.ts";
import type { OperatorMetrics } from "./runtime/metrics.ts";
import { apiVersionOf, type KubeObject, type Resource } from "./runtime/objects.ts";
import { keptKey } from "./signing-key.ts";

interface TakeBackOptions extends Patience {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  readonly metrics: OperatorMetrics;
}
/** Of a node, why it is not known to be clean. */
type Unclean = ReadonlyMap<string, string>;

interface Pod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
}
interface Asked extends KubeObject {
  readonly status?: { readonly conditions?: readonly ObjectCondition[] | undefined };
}
const podKind: Resource<Pod> = pods;
/** More than a pod's longest grace. */
const podsMs = 60_000;
const wallClock = (): number => Date.now();

export async function takeBack(options: TakeBackOptions, signal: AbortSignal): Promise<Unclean> {
  const { client, config, log } = options;
  const all = await again(options, "nodes are known", signal, () => client.list(nodes, { signal }));
  const facts = new Map(all.items.map((node) => [node.metadata.name, nodeFacts(node, undefined)]));
  const { namespace } = config;
  const of = (component: string): ListAsked => ({ namespace, labels: selector(config, component), signal });
  const endPods = (component: string): Promise<void> =>
    again(options, `${component}s end`, signal, async () => {
      const { items } = await client.list(daemonSets, of(component));
      for (const { metadata } of items) await client.delete(daemonSets, metadata, { signal });
    });
  const podsOf = async (...components: string[]): Promise<readonly Pod[]> =>
    again(options, "pods are known", signal, async () => (await Promise.all(components.map((one) => client.list(podKind, of(one))))).flatMap(({ items }) => items)); // biome-ignore format: one call

  await endPods("sensor");
  // A node that has no pod of a relay has nobody who could be told anything.
  const relaying = new Set((await podsOf("relay")).flatMap(({ spec }) => spec?.nodeName ?? []));
  const busy = await endRelaying(options, new Map([...facts].filter(([node]) => relaying.has(node))), signal);
  await endPods("relay");
  await again(options, "labels go", signal, async () => {
    for (const { name, labels } of facts.values())
      if (labels[relayLabel] !== undefined)
        await client.merge(nodes, { name }, { metadata: { labels: { [relayLabel]: null } } }, signal);
  });
  // Sensors put back what they changed, and relays take away what they pinned, before they end. Who is named already is not waited for.
  const ending = AbortSignal.any([signal, AbortSignal.timeout(podsMs)]);
  const staying = async (): Promise<[string, string][]> =>
    (await podsOf("sensor", "relay")).flatMap(({ metadata, spec: { nodeName = "" } = {} }) => (nodeName === "" || busy.has(nodeName) ? [] : [[nodeName, `pod ${metadata.name} has not ended`]])); // biome-ignore format: one expression
  let left = await staying();
  for (; left.length > 0 && !ending.aborted; left = await staying()) await pause(ending);
  const unclean = new Map([...left, ...busy]);
  log.notice("took the nodes back", { nodes: facts.size, unclean: unclean.size });
  await again(options, "the API is clean", signal, () => clearApi(options, signal));
  return unclean;
}

/** Pods and DaemonSets of agents, as the operator labels them. */
const selector = ({ agents: { labels } }: OperatorConfig, component: string): string =>
  Object.entries({ ...labels, "app.kubernetes.io/component": component }).map(([key, value]) => `${key}=${value}`).join(); // biome-ignore format: one expression

/** Of these nodes those whose relay is not known to run nothing any more. */
async function endRelaying(options: TakeBackOptions, relaying: ReadonlyMap<string, NodeFacts>, signal: AbortSignal): Promise<Unclean> {
  const { client, config } = options;
  if (relaying.size === 0) return new Map();
  const key = await again(options, "the key is known", signal, () => keptKey(client, config, signal));
  if (key) return emptyPlans({ ...options, key }, relaying, signal);
  return new Map([...relaying.keys()].map((node) => [node, "its relay takes no plan: the key that signs them is gone"]));
} // biome-ignore format: the signature

async function clearApi({ config, client, metrics }: TakeBackOptions, signal: AbortSignal): Promise<void> {
  const { namespace, signingKey } = config;
  const release = async (resource: Resource<Asked>, finalizer: string): Promise<readonly Asked[]> => {
    const ours = new Finalizer<Asked>({ client, resource, finalizer, limitMs: 0, metrics, overdue: () => undefined });
    const all = await everyOne(client, resource, signal);
    for (const object of all) {
      await ours.takeOff(object, signal);
      if (object.metadata.deletionTimestamp === undefined) await tellOff(client, resource, object, signal);
    }
    return all;
  };
  const poolObjects = await release(pools, finalizers.pool);
  await release(rules, finalizers.rule);
  for (const { metadata } of await everyOne(client, fleetNodes, signal)) await client.delete(fleetNodes, metadata, { signal }); // biome-ignore format: one row
  const maps = [
    ...poolObjects.map(({ metadata }) => sensorsName(metadata.name)),
    relaysName,
    signingKey.publicConfigMap,
  ];
  for (const name of maps) await client.delete(configMaps, { namespace, name }, { signal });
  await client.delete(secrets, { namespace, name: signingKey.secret }, { signal });
}

/** None of a kind that the API does not know any more. */
async function everyOne<T extends KubeObject>(client: KubeClient, resource: Resource<T>, signal: AbortSignal): Promise<readonly T[]> {
  try {
    return (await client.list(resource, { signal })).items;
  } catch (error) {
    if (hasCode(error, "KUBE_NOT_FOUND")) return [];
    throw error;
  }
} // biome-ignore format: the signature

/** What its status said was of agents that are no more. */
async function tellOff(client: KubeClient, resource: Resource<Asked>, { metadata, status }: Asked, signal: AbortSignal): Promise<void> {
  const { name, generation = 0 } = metadata;
  const before = status?.conditions?.filter(({ type }) => type === "Ready") as readonly Condition[] | undefined;
  const off = { type: "Ready", status: "False", reason: "Uninstalled", message: "there is no operator: nothing of this runs" } as const;
  const conditions = withConditions(before, [off], { generation, now: wallClock() });
  await client.applyStatus(resource, { apiVersion: apiVersionOf(resource), kind: resource.kind, metadata: { name }, status: { observedGeneration: generation, conditions } } as KubeObject, signal); // biome-ignore format: one call
} // biome-ignore format: the signature
