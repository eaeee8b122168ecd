// Statuses, once a second computed and seldom written. Enters: what the controllers decided and what the fleet told. Leaves: statuses of pools, rules and nodes, through a gate each:
// nodes have one of their own, since there are many.
import type { ObjectCondition } from "#domain/custom-resource.ts";
import type { Log } from "#process/log.ts";
import { nodeVerdict } from "./fleet/node-status.ts";
import { poolVerdict } from "./fleet/pool-status.ts";
import { type Holding, ruleVerdict } from "./fleet/rule-status.ts";
import { changeOf } from "./fleet/meaning.ts";
import { WriteGate } from "./fleet/write-gate.ts";
import { poolNodes } from "./controllers/sensorpool/claims.ts";
import { relaysName } from "./controllers/relayrule/relay-pods.ts";
import { sensorsName } from "./controllers/sensorpool/sensor-pods.ts";
import { fleetNodes, type FleetNodeKind, poolObject, pools, rules } from "./kinds.ts";
import type { Known } from "./known.ts";
import type { Applier } from "./runtime/apply.ts";
import type { EventRecorder } from "./runtime/events.ts";
import { type Condition, withConditions } from "./runtime/conditions.ts";
import { apiVersionOf, keyOf, type KubeObject, type Resource } from "./runtime/objects.ts";

interface Kind extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly ObjectCondition[] | undefined;
    readonly observedGeneration?: number | undefined;
  };
}
interface Offered {
  readonly resource: Resource<Kind>;
  readonly name: string;
}
/** An object that can be asked for its status. */
interface Asked<T extends Kind> {
  readonly object: T;
  readonly verdict: { readonly holding: readonly Holding[]; readonly figures: object };
}

/** Calls in which each node is looked at once: half of the time between two writes. */
const nodeTurns = 5;
type GateName = "objects" | "nodes";
const wanted = { leastMs: 10_000, minorMs: 60_000 };
export const statusLimits = {
  objects: { ...wanted, perSecond: 3, burst: 20 },
  nodes: { ...wanted, perSecond: 1.5, burst: 10 },
} as const;

export class Statuses {
  readonly #known: Known;
  readonly #appliers: Readonly<Record<GateName, Applier>>;
  readonly #events: EventRecorder;
  readonly #log: Log;
  readonly #gates = {
    objects: new WriteGate<NonNullable<Kind["status"]>>(statusLimits.objects, changeOf),
    nodes: new WriteGate<NonNullable<Kind["status"]>>(statusLimits.nodes, changeOf),
  };
  /** what the gates have been told of */
  readonly #offered = { objects: new Map<string, Offered>(), nodes: new Map<string, Offered>() };

  #turn = 0;

  constructor(known: Known, appliers: Readonly<Record<GateName, Applier>>, events: EventRecorder, log: Log) {
    this.#events = events;
    this.#known = known;
    this.#appliers = appliers;
    this.#log = log;
  }

  /** Pools and rules. `now` monotonic, `wall` since 1970; both ms. */
  async look(now: number, wall: number, signal: AbortSignal): Promise<void> {
    const present = new Set<string>();
    for (const one of this.#rules(now)) present.add(this.#offer(rules, one, "objects", now, wall));
    for (const one of this.#pools(now)) present.add(this.#offer(pools, one, "objects", now, wall));
    await this.#writeDue("objects", (key) => present.has(key), now, signal);
  }

  /** Apart, since there are many: nobody's status waits for theirs, and each call looks at some of them. */
  async lookAtNodes(now: number, wall: number, signal: AbortSignal): Promise<void> {
    for (const one of this.#nodes(now)) this.#offer(fleetNodes, one, "nodes", now, wall);
    const { nodes, fleetNodes: objects } = this.#known;
    await this.#writeDue("nodes", (_, name) => nodes.has(name) && objects.get(name) !== undefined, now, signal);
  }

  async #writeDue(
    gate: GateName,
    stays: (key: string, name: string) => boolean,
    now: number,
    signal: AbortSignal,
  ): Promise<void> {
    for (const [key, { name }] of this.#offered[gate]) {
      if (stays(key, name)) continue;
      this.#offered[gate].delete(key);
      this.#gates[gate].forget(key);
    }
    for (const { name, status } of this.#gates[gate].due(now))
      if (!signal.aborted) await this.#write(name, status, gate, signal);
  }

  *#rules(now: number): Generator<Asked<Kind>> {
    const { planner, listener, podsRefused } = this.#known;
    for (const object of this.#known.rules.values()) {
      const { name } = object.metadata;
      const accepted = planner.decision.accepted.get(name);
      const refusal = planner.decision.refused.get(name);
      const layout = accepted?.layout ?? refusal;
      if (!layout) continue; // leaving, or not looked at yet
      const verdict = ruleVerdict({
        layout,
        relay: (node) => listener.relays.get(node),
        path: (path) => listener.relays.path(path),
        programmed: (node, id) => planner.programmed(node, id),
        waitsFor: (node) => planner.waitsFor(node),
        podsRefused: podsRefused.get(relaysName),
        now,
      });
      yield { object, verdict };
    }
  }

  *#pools(now: number): Generator<Asked<Kind>> {
    const { listener, nodes, daemonSets, refusedPools, podsRefused, ports, namespace } = this.#known;
    for (const object of this.#known.pools.values()) {
      const pool = poolObject(object);
      if (!pool || pool.leaving === true) continue;
      const live = daemonSets.get(keyOf({ namespace, name: sensorsName(pool.name) }));
      const verdict = poolVerdict({
        refusal: refusedPools.get(pool.name),
        nodes: poolNodes(pool, nodes.values()),
        ready: live?.status?.numberReady ?? 0,
        podsRefused: podsRefused.get(sensorsName(pool.name)),
        ports: ports.get(pool.name),
        sensor: (node) => listener.sensors.get(pool.name, node),
        now,
      });
      yield { object, verdict };
    }
  }

  *#nodes(now: number): Generator<Asked<FleetNodeKind>> {
    const { listener, planner, pinning, nodes, nodeKinds, fleetNodes: objects } = this.#known;
    const placed = Map.groupBy(
      [...planner.decision.accepted].flatMap(([owner, { layout }]) => layout.rules.map((one) => ({ ...one, owner }))),
      ({ node }) => node,
    );
    const into = new Map(planner.decision.paths.map(({ path, to }) => [`${to.node} ${to.id}`, path]));
    const poolsOf = this.#known.poolsByNode();
    const turn = this.#turn++ % nodeTurns;
    let at = 0;
    for (const name of nodes.keys()) {
      if (at++ % nodeTurns !== turn) continue;
      const object = objects.get(name);
      if (!object) continue; // made in a moment
      const status = nodeKinds.get(name)?.status;
      const cpus = Number(status?.capacity?.cpu);
      const verdict = nodeVerdict({
        info: status?.nodeInfo,
        cpus: Number.isInteger(cpus) ? cpus : undefined,
        sensors: new Map((poolsOf.get(name) ?? []).map((pool) => [pool, listener.sensors.get(pool, name)])),
        pinning: (pool) => pinning.get({ pool, node: name }),
        relayWanted: planner.wantsRelay(name),
        relay: listener.relays.get(name),
        generation: planner.generation(name),
        rules: placed.get(name) ?? [],
        lost: ({ node, rule }) => listener.relays.path(into.get(`${node} ${rule.id}`) ?? 0)?.lost ?? 0,
        now,
      });
      yield { object, verdict };
    }
  }

  #offer<T extends Kind>(resource: Resource<T>, { object, verdict }: Asked<T>, gate: GateName, now: number, wall: number): string {
    const { name, generation = 0 } = object.metadata;
    const key = `${resource.plural}/${name}`;
    const before = object.status?.conditions as readonly Condition[] | undefined;
    const conditions = withConditions(before, verdict.holding, { generation, now: wall });
    const first = !this.#offered[gate].has(key);
    this.#offered[gate].set(key, { resource, name });
    // An operator that begins need not write again what is there.
    if (first && object.status !== undefined) this.#gates[gate].known(key, object.status);
    this.#gates[gate].offer(key, { observedGeneration: generation, conditions, ...verdict.figures }, now);
    return key;
  } // biome-ignore format: the signature

  /** Once for each: who applied the object looks at it with `kubectl describe`. */
  #tellRefusal(live: Kind, status: Kind["status"] & object): void {
    const of = (from: Kind["status"]) => from?.conditions?.find(({ type }) => type === "Accepted");
    const [before, now] = [of(live.status), of(status)];
    if (now?.status !== "False" || (before?.status === "False" && before.message === now.message)) return;
    this.#events.tell({ object: live, type: "Warning", reason: now.reason, action: "Accept", note: now.message });
  }

  async #write(key: string, status: NonNullable<Kind["status"]>, gate: GateName, signal: AbortSignal): Promise<void> {
    const offered = this.#offered[gate].get(key);
    const live = offered && this.#known.object(offered.resource, offered.name);
    if (!offered || !live) return;
    const { resource, name } = offered;
    const wanted = { apiVersion: apiVersionOf(resource), kind: resource.kind, metadata: { name }, status };
    try {
      await this.#appliers[gate].applyStatus(resource, wanted, live, signal);
      this.#tellRefusal(live, status);
    } catch (error) {
      this.#gates[gate].failed(key);
      this.#log.warning("failed to write a status", { object: key, error });
    }
  }
}
