// What the leader knows: the API's objects, the nodes' facts, what was decided of them. One place, so that controllers and statuses speak of the same moment.
import { isDeepStrictEqual } from "node:util";
import type { NodeFacts } from "./controllers/nodes.ts";
import { relayLabel } from "./controllers/relayrule/relay-pods.ts";
import { type PoolRefusal, poolNodes, refusedPools } from "./controllers/sensorpool/claims.ts";
import type { PoolObject } from "./controllers/sensorpool/pool-object.ts";
import { allotPorts, type PoolPorts } from "./controllers/sensorpool/ports.ts";
import type { DaemonSet } from "./controllers/agent-pod.ts";
import type { RuleObject } from "./controllers/relayrule/rule-object.ts";
import type { FleetListener } from "./fleet/listener.ts";
import type { PinningBook } from "./fleet/pinning-book.ts";
import {
  fleetNodes,
  type FleetNodeKind,
  nodeFacts,
  type NodeKind,
  type PoolKind,
  poolObject,
  pools,
  ruleObject,
  type RuleKind,
  rules,
} from "./kinds.ts";
import type { Planner } from "./planner.ts";
import type { Change, ObjectStore } from "./runtime/object-store.ts";
import type { KubeObject, Resource } from "./runtime/objects.ts";

/** A kubelet writes its Node's status every few minutes: of that only addresses decide something. The label that places relays is our own: what was decided does not change by it. */
export function nodeChanged({ type, now, before }: Change<NodeKind>): boolean {
  if (type !== "updated") return true;
  const judged = ({ metadata: { labels, deletionTimestamp }, status }: NodeKind) => [{ ...labels, [relayLabel]: "" }, deletionTimestamp, status?.addresses]; // biome-ignore format: one row
  return !isDeepStrictEqual(judged(now), judged(before));
}

export interface Stores {
  readonly pools: ObjectStore<PoolKind>;
  readonly rules: ObjectStore<RuleKind>;
  readonly fleetNodes: ObjectStore<FleetNodeKind>;
  readonly nodes: ObjectStore<NodeKind>;
  readonly daemonSets: ObjectStore<DaemonSet>;
}

interface KnownParts {
  readonly stores: Stores;
  readonly namespace: string;
  readonly planner: Planner;
  readonly listener: FleetListener;
  readonly pinning: PinningBook;
}

export class Known {
  readonly #stores: Stores;
  readonly namespace: string;
  readonly planner: Planner;
  readonly listener: FleetListener;
  readonly pinning: PinningBook;
  nodes: ReadonlyMap<string, NodeFacts> = new Map();
  refusedPools: ReadonlyMap<string, PoolRefusal> = new Map();
  ports: ReadonlyMap<string, PoolPorts> = new Map();
  /** by DaemonSet: why the apiserver takes no more of its pods */
  podsRefused: ReadonlyMap<string, string> = new Map();

  constructor({ stores, namespace, planner, listener, pinning }: KnownParts) {
    this.#stores = stores;
    this.namespace = namespace;
    this.planner = planner;
    this.listener = listener;
    this.pinning = pinning;
  }

  get pools(): ObjectStore<PoolKind> {
    return this.#stores.pools;
  }
  get rules(): ObjectStore<RuleKind> {
    return this.#stores.rules;
  }
  get fleetNodes(): ObjectStore<FleetNodeKind> {
    return this.#stores.fleetNodes;
  }
  get nodeKinds(): ObjectStore<NodeKind> {
    return this.#stores.nodes;
  }
  get daemonSets(): ObjectStore<DaemonSet> {
    return this.#stores.daemonSets;
  }

  object(resource: Resource, name: string): KubeObject | undefined {
    const stores: Readonly<Record<string, ObjectStore<never>>> = { [pools.plural]: this.#stores.pools as never, [rules.plural]: this.#stores.rules as never, [fleetNodes.plural]: this.#stores.fleetNodes as never }; // biome-ignore format: one table
    return stores[resource.plural]?.get(name);
  }

  poolObjects(): PoolObject[] {
    return [...this.#stores.pools.values()].flatMap((kind) => poolObject(kind) ?? []);
  }
  ruleObjects(): RuleObject[] {
    return [...this.#stores.rules.values()].flatMap((kind) => ruleObject(kind) ?? []);
  }
  poolsByNode(): Map<string, string[]> {
    const found = new Map<string, string[]>();
    for (const pool of this.poolObjects()) {
      if (pool.leaving === true || this.refusedPools.has(pool.name)) continue;
      for (const node of poolNodes(pool, this.nodes.values())) found.set(node, [...(found.get(node) ?? []), pool.name]);
    }
    return found;
  }

  /** Sensors that were heard lately. */
  reportingSensors(now: number): { readonly pool: string; readonly node: string }[] {
    const { sensors } = this.listener;
    return [...this.poolsByNode()].flatMap(([node, names]) =>
      names.flatMap((pool) => (sensors.get(pool, node)?.heard.reporting(now) === true ? [{ pool, node }] : [])),
    );
  }

  /** Something of the API's objects has changed, or a node told its interfaces. */
  look(): void {
    this.#lookAtNodes();
    this.lookAtPools();
    this.planner.look(this.ruleObjects(), this.nodes);
  }

  /** Pools alone have changed: what was decided of rules stays. */
  lookAtPools(): void {
    const all = this.poolObjects();
    this.refusedPools = refusedPools(all, this.nodes);
    this.ports = allotPorts(all, (pool) => this.ports.get(pool) ?? this.#stores.pools.get(pool)?.status?.ports);
  }

  #lookAtNodes(): void {
    const { relays } = this.listener;
    this.nodes = new Map(
      [...this.#stores.nodes.values()].map((node) => {
        const links = relays.get(node.metadata.name)?.links;
        return [node.metadata.name, nodeFacts(node, links && new Map(links.map(({ name, mtu }) => [name, { mtu }])))];
      }),
    );
  }
}
