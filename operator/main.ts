// `tapline operator`: its configuration, and the operator that it becomes: one of several, of which one leads.
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { operatorConfig, type OperatorConfig } from "#domain/operator-config.ts";
import { type AgentContext, runAgent, type RunningAgent } from "#process/agent.ts";
import { lead } from "./lead.ts";
import { type Access, kubeconfigAccess, podAccess } from "./runtime/access.ts";
import { KubeClient } from "./runtime/client.ts";
import { EventRecorder } from "./runtime/events.ts";
import { LeaderElection } from "./runtime/lease.ts";
import { OperatorMetrics } from "./runtime/metrics.ts";

export interface OperatorArguments {
  readonly config: string;
  /** absent: the pod's service account */
  readonly kubeconfig?: string | undefined;
}

const now = (): number => performance.now();

export const runOperator = ({ config, kubeconfig }: OperatorArguments): Promise<never> =>
  runAgent({
    kind: "operator",
    config,
    schema: operatorConfig,
    releaseUnused: () => 0,
    start: (first, context) => startOperator(first, context, kubeconfig === undefined ? podAccess({ env: process.env, now }) : kubeconfigAccess(kubeconfig, now)), // biome-ignore format: one call
  });

/** Of the leader: never 20 in any second, however much there is to do. */
const writes = { perSecond: 12, burst: 4 };
/** FleetNodes apart: there are as many as nodes, and nobody waits for them. */
const nodeWrites = { perSecond: 18, burst: 5 };
const fieldManager = "tapline-operator";

export async function startOperator(
  config: OperatorConfig,
  { logs, health, registry, shutdown }: AgentContext,
  access: Access,
): Promise<RunningAgent<OperatorConfig>> {
  const metrics = new OperatorMetrics(registry);
  const instance = config.name ?? hostname();
  const log = logs.facility("operator");
  // Nothing else may delay the lease's renewal.
  const forLease = new KubeClient({ access, fieldManager, metrics, timeoutMs: 5000 });
  const election = new LeaderElection({ client: forLease, namespace: config.namespace, name: config.lease, identity: `${instance}_${randomUUID()}`, log, metrics }); // biome-ignore format: one call
  const client = new KubeClient({ access, fieldManager, metrics, writes, fence: election.fence });
  const forNodes = new KubeClient({ access, fieldManager, metrics, writes: nodeWrites, fence: election.fence });
  const forEvents = new KubeClient({ access, fieldManager, metrics, fence: election.fence, writes: { perSecond: 1, burst: 20 } }); // biome-ignore format: one call
  const events = new EventRecorder({ client: forEvents, controller: "tapline.dev/operator", instance, metrics, log });
  let leading: "not yet" | "fills its stores" | "leads" = "not yet";
  health.ready("lead", () => {
    if (leading !== "not yet") return { ok: leading === "leads", detail: leading };
    // One that waits is of use as soon as it knows whom it waits for.
    return election.known ? { ok: true, detail: "waits to lead" } : { ok: false, detail: "has not seen the Lease yet" };
  });

  const ending = new AbortController();
  const ready = (): void => {
    leading = "leads";
  };
  const led = election
    .run(ending.signal, (signal) => {
      leading = "fills its stores";
      return lead({ config, client, forNodes, events, metrics, registry, logs, ready }, signal);
    })
    .then(
      () => shutdown.stop("ended leading"),
      // Two must never lead: this process ends, and its successor waits its turn.
      (error: unknown) => shutdown.stop("lost the lease", error),
    );
  shutdown.part({
    name: "leading",
    deadlineMs: 15_000,
    close: async (signal) => {
      ending.abort();
      await led;
      await events.close(signal);
      for (const one of [client, forNodes, forEvents, forLease]) one.close();
    },
  });
  return { change: async () => undefined, stages: () => ({ leading }) };
}
