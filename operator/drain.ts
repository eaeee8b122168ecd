// `tapline operator --drain`: before the operator goes for good. Enters: its configuration. Leaves: the fleet taken back (take-back.ts), or DRAIN_INCOMPLETE with the nodes that
// did not come clean in time. The operator's Deployment is scaled to 0 and its Lease taken first: two that reconcile against each other have no end.
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { Registry } from "prom-client";
import { TaplineError } from "#domain/errors.ts";
import { operatorConfig, type OperatorConfig } from "#domain/operator-config.ts";
import { loadConfig } from "#process/config.ts";
import { createLogs, type Log } from "#process/log.ts";
import { deployments } from "./kinds.ts";
import type { OperatorArguments } from "./main.ts";
import { again } from "./patience.ts";
import { type Access, kubeconfigAccess, podAccess } from "./runtime/access.ts";
import { hasCode } from "./runtime/api-error.ts";
import { KubeClient } from "./runtime/client.ts";
import { LeaderElection, leases } from "./runtime/lease.ts";
import { OperatorMetrics } from "./runtime/metrics.ts";
import { takeBack } from "./take-back.ts";

const now = (): number => performance.now();
const fieldManager = "tapline-operator";

/** Gives the fleet's name. */
export async function runDrain({ config: path, kubeconfig }: OperatorArguments): Promise<string> {
  const config = await loadConfig(path, operatorConfig);
  const logs = createLogs(config.log);
  const ending = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => ending.abort());
  const access = kubeconfig === undefined ? podAccess({ env: process.env, now }) : kubeconfigAccess(kubeconfig, now);
  try {
    await drain(config, access, logs.facility("operator"), ending.signal);
  } finally {
    await logs.close();
  }
  return config.fleet;
}

async function drain(config: OperatorConfig, access: Access, log: Log, signal: AbortSignal): Promise<void> {
  const { namespace, lease, drain: limits } = config;
  const late = AbortSignal.timeout(limits.timeout / 1e6);
  const metrics = new OperatorMetrics(new Registry());
  const plain = new KubeClient({ access, fieldManager, metrics, timeoutMs: 5000 });
  const { deployment } = limits;
  if (deployment !== undefined)
    await again({ log, late }, "the operator ends", signal, () => scaleToNone(plain, { namespace, name: deployment }, signal)); // biome-ignore format: one call
  const identity = `${config.name ?? hostname()}_${randomUUID()}`;
  const election = new LeaderElection({ client: plain, namespace, name: lease, identity, log, metrics });
  const client = new KubeClient({ access, fieldManager, metrics, fence: election.fence });
  const waiting = new AbortController();
  const giveUp = (): void => waiting.abort();
  late.addEventListener("abort", giveUp);
  let unclean: ReadonlyMap<string, string> | undefined;
  try {
    await election.run(AbortSignal.any([signal, waiting.signal]), async (leading) => {
      late.removeEventListener("abort", giveUp); // from here on the steps look at it themselves
      unclean = await takeBack({ config, client, metrics, log, late }, leading);
    });
    if (unclean) await plain.delete(leases, { namespace, name: lease }, { signal });
  } catch (cause) {
    if (!signal.aborted) throw cause;
    throw new TaplineError("DRAIN_INCOMPLETE", { detail: "it was interrupted" }, { cause });
  } finally {
    client.close();
    plain.close();
  }
  if (!unclean) throw new TaplineError("DRAIN_INCOMPLETE", { detail: signal.aborted ? "it was interrupted" : `another operator still leads, as Lease ${lease} says` }); // biome-ignore format: one row
  if (unclean.size === 0) return;
  const named = [...unclean].map(([node, why]) => `${node} (${why})`).sort();
  throw new TaplineError("DRAIN_INCOMPLETE", { detail: named.join("; ") });
}

async function scaleToNone(client: KubeClient, name: { namespace: string; name: string }, signal: AbortSignal): Promise<void> {
  try {
    await client.scale(deployments, name, 0, signal);
  } catch (error) {
    if (!hasCode(error, "KUBE_NOT_FOUND")) throw error;
  }
} // biome-ignore format: the signature
