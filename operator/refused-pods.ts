// Why a DaemonSet has fewer pods than it wants: the apiserver refuses them, and only an Event of the DaemonSet's controller says so. Enters: DaemonSets, the Events of those that lack
// pods. Leaves: by DaemonSet, a sentence with what to do.
import type { DaemonSet } from "./controllers/agent-pod.ts";
import { coreEvents, type EventKind } from "./kinds.ts";
import type { KubeClient } from "./runtime/client.ts";

const mostText = 1000;

/** By name; none of one that has all its pods, or that nobody refuses any. */
export async function refusedPods(client: KubeClient, daemonSets: Iterable<DaemonSet>, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { metadata, status = {} } of daemonSets) {
    const { desiredNumberScheduled: wanted = 0, currentNumberScheduled: there = 0 } = status;
    if (there >= wanted) continue;
    const { name, namespace = "" } = metadata;
    const fields = `reason=FailedCreate,involvedObject.kind=DaemonSet,involvedObject.name=${name}`;
    const { items } = await client.list(coreEvents, { namespace, fields, signal });
    const newest = items.toSorted((a, b) => momentOf(a).localeCompare(momentOf(b))).at(-1);
    if (newest) found.set(name, refusalText(newest.message ?? "", namespace, { wanted, there }));
  }
  return found;
} // biome-ignore format: the signature

const momentOf = ({ lastTimestamp, eventTime, series, metadata }: EventKind): string =>
  series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? "";

/** `violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true), …` */
const podSecurity = /violates PodSecurity "(\w+):[^"]*": (.*)/s;

export function refusalText(message: string, namespace: string, { wanted, there }: { readonly wanted: number; readonly there: number }): string {
  const lacking = `${wanted - there} of ${wanted} pods are refused`;
  const [, level, what = ""] = podSecurity.exec(message) ?? [];
  if (level === undefined) return `${lacking}: ${message}`.slice(0, mostText);
  return `${lacking}: namespace ${namespace} enforces the pod-security level ${level}, which forbids what agents need (${what.slice(0, mostText)}). Allow it: kubectl label --overwrite namespace ${namespace} pod-security.kubernetes.io/enforce=privileged`;
} // biome-ignore format: the signature
