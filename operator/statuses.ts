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
/** An object that can be asked for its status. */
interface Asked<T extends Kind> {
  readonly object: T;
  readonly verdict: { readonly holding: readonly Holding[]; readonly figures: object };
}

const wanted = { leastMs: 10_000, minorMs: 60_000 };
export const statusLimits = {
  objects: { ...wanted, perSecond: 3, burst: 20 },
  nodes: { ...wanted, perSecond: 1.5, burst: 10 },
} as const;

export class Statuses {
  readonly #known: Known;
  readonly #applier: Applier;
  readonly #events: EventRecorder;
  readonly #log: Log;
  readonly #gates = {
    objects: new WriteGate<NonNullable<Kind["status"]>>(statusLimits.objects, changeOf),
    nodes: new WriteGate<NonNullable<Kind["status"]>>(statusLimits.nodes, changeOf),
  };
  /** what the gates have been told of */
  readonly #offered = new Map<string, { readonly resource: Resource<Kind>; readonly name: string }>();

  constructor(known: Known, applier: Applier, events: EventRecorder, log: Log) {
    this.#events = events;
    this.#known = known;
    this.#applier = applier;
    this.#log = log;
  }

  /** `now` monotonic, `wall` since 1970; both ms. */
  async look(now: number, wall: number, signal: AbortSignal): Promise<void> {
    const present = new Set<string>();
    for (const one of this.#rules(now)) present.add(this.#offer(rules, one, "objects", now, wall));
    for (const one of this.#pools(now)) present.add(this.#offer(pools, one, "objects", now, wall));
    for (const one of this.#nodes(now)) present.add(this.#offer(fleetNodes, one, "nodes", now, wall));
    for (const key of this.#offered.keys()) {
      if (present.has(key)) continue;
      this.#offered.delete(key);
      this.#gates.objects.forget(key);
      this.#gates.nodes.forget(key);
    }
    for (const gate of Object.values(this.#gates))
      for (const { name, status } of gate.due(now)) if (!signal.aborted) await this.#write(name, status, gate, signal);
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
    for (const name of nodes.keys()) {
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

  #offer<T extends Kind>(resource: Resource<T>, { object, verdict }: Asked<T>, gate: "objects" | "nodes", now: number, wall: number): string {
    const { name, generation = 0 } = object.metadata;
    const key = `${resource.plural}/${name}`;
    const before = object.status?.conditions as readonly Condition[] | undefined;
    const conditions = withConditions(before, verdict.holding, { generation, now: wall });
    const first = !this.#offered.has(key);
    this.#offered.set(key, { resource: resource, name });
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

  async #write(
    key: string,
    status: NonNullable<Kind["status"]>,
    gate: WriteGate<NonNullable<Kind["status"]>>,
    signal: AbortSignal,
  ): Promise<void> {
    const offered = this.#offered.get(key);
    const live = offered && this.#known.object(offered.resource, offered.name);
    if (!offered || !live) return;
    const { resource, name } = offered;
    const wanted = { apiVersion: apiVersionOf(resource), kind: resource.kind, metadata: { name }, status };
    try {
      await this.#applier.applyStatus(resource, wanted, live, signal);
      this.#tellRefusal(live, status);
    } catch (error) {
      gate.failed(key);
      this.#log.warning("failed to write a status", { object: key, error });
    }
  }
}
