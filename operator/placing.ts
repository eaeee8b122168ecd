// What is made in the API: DaemonSets and their configurations, labels that place relays, a FleetNode for each node; and what is taken away before a pool or rule may go.
// Enters: what is known. Leaves: objects, applied on the server; each look makes what is missing and changes what differs.
import type { Surroundings } from "./controllers/agent-pod.ts";
import { relayLabel, relayLabels, relayPods } from "./controllers/relayrule/relay-pods.ts";
import { poolLabel, sensorPods, sensorsName } from "./controllers/sensorpool/sensor-pods.ts";
import { configMaps, daemonSets, fleetNodes, nodes, pods, poolObject, type PoolKind, type RuleKind } from "./kinds.ts";
import type { Known } from "./known.ts";
import type { Applier } from "./runtime/apply.ts";
import type { KubeClient } from "./runtime/client.ts";
import type { Looked, Look } from "./runtime/controller.ts";
import type { Finalizer } from "./runtime/finalizers.ts";
import { apiVersionOf, keyOf } from "./runtime/objects.ts";

export interface PlacingOptions {
  readonly known: Known;
  readonly client: KubeClient;
  readonly forNodes: KubeClient;
  readonly applier: Applier;
  readonly around: Surroundings;
  readonly poolFinalizer: Finalizer<PoolKind>;
  readonly ruleFinalizer: Finalizer<RuleKind>;
}

export const finalizers = { pool: "tapline.dev/sensors", rule: "tapline.dev/relays" } as const;
/** A look at something that only time changes. */
const againMs = 1000;

/** Until a ConfigMap that nobody follows is applied again, in case that somebody changed it. */
const anewMs = 60_000;

export class Placing {
  readonly #options: PlacingOptions;
  #applied: { readonly text: string; readonly at: number } | undefined;

  constructor(options: PlacingOptions) {
    this.#options = options;
  }

  async pool({ object, name, signal }: Look<PoolKind>): Promise<Looked | undefined> {
    const { known, client, applier, around, poolFinalizer } = this.#options;
    if (!object) return undefined;
    if (object.metadata.deletionTimestamp !== undefined) {
      await poolFinalizer.end(object, (late) => this.#endSensors(name.name, late), signal);
      return undefined;
    }
    const pool = poolObject(object);
    const ports = known.ports.get(name.name);
    if (!pool) return undefined; // of a later version: left as it is
    if (!ports) return { againMs };
    if (known.refusedPools.has(pool.name)) {
      // What it had runs no more: another pool has its interfaces.
      await client.delete(daemonSets, { namespace: around.namespace, name: sensorsName(pool.name) }, { signal });
      return undefined;
    }
    await poolFinalizer.put(object, signal);
    const made = sensorPods(pool, ports, around);
    await applier.apply(configMaps, made.configMap, undefined, signal);
    const key = keyOf(made.daemonSet.metadata);
    await applier.apply(daemonSets, made.daemonSet, known.daemonSets.get(key), signal);
    return undefined;
  }

  /** Sensors put back what they changed when they are ended. */
  async #endSensors(pool: string, signal: AbortSignal): Promise<void> {
    const { client, around } = this.#options;
    const { namespace } = around;
    await client.delete(daemonSets, { namespace, name: sensorsName(pool) }, { signal });
    const { items } = await client.list(pods, { namespace, labels: `${poolLabel}=${pool}`, signal });
    if (items.length > 0) throw new Error(`${items.length} sensors of ${pool} have not ended yet`);
    await client.delete(configMaps, { namespace, name: sensorsName(pool) }, { signal });
  }

  async rule({ object, name, signal }: Look<RuleKind>): Promise<Looked | undefined> {
    const { known, ruleFinalizer } = this.#options;
    if (!object) return undefined;
    if (object.metadata.deletionTimestamp === undefined) {
      await ruleFinalizer.put(object, signal);
      return undefined;
    }
    await ruleFinalizer.end(object, async () => {
      if (!known.planner.connected) throw new Error("NATS is away: what runs there cannot be ended");
      const left = known.planner.remains(`${name.name}/`);
      if (left.length > 0) throw new Error(`it still runs on ${left.slice(0, 5).join(", ")}`);
    }, signal); // biome-ignore format: one call
    return undefined;
  }

  /** The relays' objects, and which nodes have one. `now` monotonic, ms. */
  async relays(now: number, signal: AbortSignal): Promise<void> {
    const { known, client, applier, around } = this.#options;
    const live = [...known.nodeKinds.values()].map(({ metadata: { name, labels = {} } }) => ({ name, labels }));
    const changes = relayLabels(live, (node) => known.planner.wantsRelay(node));
    const wanted = [...known.nodes.values()].some(({ name }) => known.planner.wantsRelay(name));
    if (wanted) {
      const made = relayPods(around);
      const text = JSON.stringify(made.configMap);
      if (text !== this.#applied?.text || now - this.#applied.at >= anewMs) {
        await applier.apply(configMaps, made.configMap, undefined, signal);
        this.#applied = { text, at: now };
      }
      await applier.apply(daemonSets, made.daemonSet, known.daemonSets.get(keyOf(made.daemonSet.metadata)), signal);
    }
    for (const [name, on] of changes) {
      if (signal.aborted) return;
      await client.merge(nodes, { name }, { metadata: { labels: { [relayLabel]: on ? "true" : null } } }, signal);
    }
  }

  /** One for each node, owned by it. */
  async fleetNodes(signal: AbortSignal): Promise<void> {
    const { known, forNodes } = this.#options;
    for (const { metadata } of known.nodeKinds.values()) {
      const { name, uid = "" } = metadata;
      if (known.fleetNodes.get(name) || signal.aborted) continue;
      const owner = { apiVersion: "v1", kind: "Node", name, uid, controller: false, blockOwnerDeletion: false };
      const made = { apiVersion: apiVersionOf(fleetNodes), kind: fleetNodes.kind, metadata: { name, ownerReferences: [owner] } }; // biome-ignore format: one object
      await forNodes.apply(fleetNodes, made, { force: true, signal });
    }
  }
}
