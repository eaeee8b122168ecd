// The leader's work, from the moment it has the lease until it ends. Enters: clients and a configuration. Leaves: objects, plans and statuses that follow from what users ask for.
import type { Registry } from "prom-client";
import { setTimeout as sleep } from "node:timers/promises";
import { Conditions as BusConditions } from "#bus/conditions.ts";
import { configuredAccess } from "#bus/configured.ts";
import { BusConnection } from "#bus/connection.ts";
import type { OperatorConfig } from "#domain/operator-config.ts";
import { operatorInboxPrefix } from "#domain/subjects.ts";
import type { Log, Logs } from "#process/log.ts";
import { asWarning, logChange } from "#process/conditions.ts";
import type { DaemonSet } from "./controllers/agent-pod.ts";
import { FleetListener } from "./fleet/listener.ts";
import { PinningBook } from "./fleet/pinning-book.ts";
import { daemonSets, type FleetNodeKind, fleetNodes, type NodeKind, nodes, type PoolKind, pools, type RuleKind, rules, trimFleetNode, trimNode } from "./kinds.ts"; // biome-ignore format: one list
import { Known, nodeChanged } from "./known.ts";
import { finalizers, Placing } from "./placing.ts";
import { Planner } from "./planner.ts";
import { refusedPods } from "./refused-pods.ts";
import { Applier } from "./runtime/apply.ts";
import type { KubeClient } from "./runtime/client.ts";
import { Controller, specChanged } from "./runtime/controller.ts";
import type { EventRecorder } from "./runtime/events.ts";
import { Finalizer } from "./runtime/finalizers.ts";
import type { OperatorMetrics } from "./runtime/metrics.ts";
import type { KubeObject, Resource } from "./runtime/objects.ts";
import { Reflector } from "./runtime/reflector.ts";
import { signingKey } from "./signing-key.ts";
import { Statuses } from "./statuses.ts";

export interface LeadOptions {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  /** for FleetNodes: it may write at a rate of its own */
  readonly forNodes: KubeClient;
  readonly events: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly registry: Registry;
  readonly logs: Logs;
  readonly ready: () => void;
}

const now = (): number => performance.now();
const wallClock = (): number => Date.now();
/** For nodes to take a rule's end; a dead node holds a deletion up so long. */
const finalizerMs = 60_000;
const stepMs = 500;
const statusMs = 1000;
const placeMs = 2000;
const refusedMs = 10_000;
const lackingMs = 5000;
const askMs = 2000;

export async function lead(options: LeadOptions, signal: AbortSignal): Promise<void> {
  const { config, client, forNodes, events, metrics, logs } = options;
  const log = logs.facility("operator");
  const key = await signingKey(client, config, signal);
  const reflect = <T extends KubeObject>(resource: Resource<T>, more: { namespace?: string; trim?: (object: T) => T } = {}) =>
    new Reflector<T>({ client, resource, metrics, log, ...more }); // biome-ignore format: the signature
  const followed = {
    pools: reflect<PoolKind>(pools),
    rules: reflect<RuleKind>(rules),
    fleetNodes: reflect<FleetNodeKind>(fleetNodes, { trim: trimFleetNode }),
    nodes: reflect<NodeKind>(nodes, { trim: trimNode }),
    daemonSets: reflect<DaemonSet>(daemonSets, { namespace: config.namespace }),
  };
  const stores = {
    pools: followed.pools.store,
    rules: followed.rules.store,
    fleetNodes: followed.fleetNodes.store,
    nodes: followed.nodes.store,
    daemonSets: followed.daemonSets.store,
  };
  const listener = new FleetListener({
    fleet: config.fleet,
    knowsNode: (node) => stores.nodes.get(node) !== undefined,
    knowsPool: (pool) => stores.pools.get(pool) !== undefined,
    now: wallClock,
    monotonic: now,
  });
  const planner = new Planner({ fleet: config.fleet, key, book: listener.relays, log, now, wallClock });
  const pinning = new PinningBook(config.fleet, log);
  const known = new Known({ stores, namespace: config.namespace, planner, listener, pinning });
  const applier = new Applier(client, metrics);
  const finalizer = <T extends KubeObject>(resource: Resource<T>, name: string): Finalizer<T> =>
    new Finalizer({ client, resource, finalizer: name, limitMs: finalizerMs, metrics, overdue: (object, error) => {
      log.warning("let an object go before its end was sure", { object: object.metadata.name, error });
      events.tell({ object, type: "Warning", reason: "EndUnsure", action: "End", note: error.message });
    } }); // biome-ignore format: one object
  const placing = new Placing({
    known,
    client,
    forNodes,
    applier,
    around: { fleet: config.fleet, namespace: config.namespace, nats: config.nats, agents: config.agents, planKey: config.signingKey.publicConfigMap },
    poolFinalizer: finalizer(pools, finalizers.pool),
    ruleFinalizer: finalizer(rules, finalizers.rule),
  }); // biome-ignore format: one object
  const statuses = new Statuses(known, { objects: applier, nodes: new Applier(forNodes, metrics) }, events, log);
  const poolController = new Controller<PoolKind>({ name: "sensorpool", reflector: followed.pools, wanted: specChanged, reconcile: (look) => placing.pool(look), log, metrics }); // biome-ignore format: one call
  const ruleController = new Controller<RuleKind>({ name: "relayrule", reflector: followed.rules, wanted: specChanged, reconcile: (look) => placing.rule(look), log, metrics }); // biome-ignore format: one call

  const bus = new BusConditions(() => BigInt(wallClock()) * 1_000_000n, (told) => logChange(logs.facility("bus"), asWarning(told))); // biome-ignore format: one call
  const connection = new BusConnection({
    ...configuredAccess({ ...config.nats }),
    name: `tapline operator ${config.name ?? ""}`,
    inboxPrefix: operatorInboxPrefix(config.fleet),
    conditions: bus,
    now: () => BigInt(wallClock()) * 1_000_000n,
    signal,
  });
  const running = Object.values(followed).map((reflector) => reflector.run(signal));
  await Promise.race([Promise.all(Object.values(followed).map(({ synced }) => synced)), ended(signal)]);
  if (signal.aborted) return;

  let changed: "nothing" | "pools" | "all" = "all";
  const change = (): void => {
    changed = "all";
  };
  // What the operator or a kubelet writes into a status every few seconds decides nothing.
  stores.pools.onChange((one) => {
    if (specChanged(one) && changed === "nothing") changed = "pools";
  });
  stores.rules.onChange((one) => specChanged(one) && change());
  stores.nodes.onChange((one) => nodeChanged(one) && change());
  listener.relays.onLinks = change;
  const look = (): void => {
    if (changed === "nothing") return;
    const what = changed;
    changed = "nothing";
    const before = known.refusedPools;
    if (what === "all") known.look();
    else known.lookAtPools();
    // A pool that was refused, or is free again, is looked at anew.
    for (const name of new Set([...before.keys(), ...known.refusedPools.keys()]))
      if (before.has(name) !== known.refusedPools.has(name)) poolController.queue.add(name);
  };
  look();
  connection.onSession((session) => {
    listener.listen(session);
    planner.use(session);
  });
  options.ready();
  await Promise.all([
    ...running,
    poolController.run(signal),
    ruleController.run(signal),
    every(stepMs, signal, log, "failed to take a step", async () => {
      look();
      await planner.tick(signal);
    }),
    every(statusMs, signal, log, "failed to look at statuses", () => statuses.look(now(), wallClock(), signal)),
    every(statusMs, signal, log, "failed to look at nodes", () => statuses.lookAtNodes(now(), wallClock(), signal)),
    every(refusedMs, signal, log, "failed to tell of reports", async () => {
      listener.forgetStrangers();
      for (const { reason, reports, nodes: from } of listener.refusals.news()) {
        metrics.add("tapline_operator_reports_refused_total", { reason }, reports);
        log.warning("did not believe reports", { reason, reports, nodes: from.slice(0, 3) });
      }
    }),
    every(askMs, signal, log, "failed to ask about pinning", async () => {
      const { session } = connection;
      if (session) await pinning.look(session, known.reportingSensors(now()), now());
    }),
    every(lackingMs, signal, log, "failed to look for refused pods", async () => {
      known.podsRefused = await refusedPods(client, stores.daemonSets.values(), signal);
    }),
    every(placeMs, signal, log, "failed to place relays", () => placing.relays(now(), signal)),
    every(placeMs, signal, log, "failed to make FleetNodes", () => placing.fleetNodes(signal)),
  ]);
  await connection.drain(1000);
}

const ended = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });

/** One at a time; a failure is told, and tried again with the next. */
async function every(ms: number, signal: AbortSignal, log: Log, failed: string, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) log.warning(failed, { error });
    }
    await sleep(ms, undefined, { signal }).catch(() => undefined); // the loop looks at the signal
  }
} // biome-ignore format: the signature
