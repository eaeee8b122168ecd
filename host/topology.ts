// What this machine computes with: its CPUs, which of them share a core, NUMA nodes and the way between them, and what this process may use.
// Enters: sysfs, /proc/self. Leaves: plain sets of numbers, for the plan in pinning.ts.
import { TaplineError } from "#domain/errors.ts";
import { intersection, parseCpuList } from "./cpu-list.ts";
import type { HostFiles } from "./files.ts";

export interface NumaNode {
  readonly id: number;
  readonly cpus: readonly number[];
  /** by node, in the order of `nodes`; 10 is the node itself */
  readonly distances: readonly number[];
}

export interface Topology {
  readonly online: readonly number[];
  /** one at least: a kernel without NUMA is one node */
  readonly nodes: readonly NumaNode[];
  /** by CPU: all CPUs of its core, itself among them */
  readonly siblings: ReadonlyMap<number, readonly number[]>;
  /** isolcpus=: the scheduler puts nothing there by itself */
  readonly isolated: readonly number[];
  /** nohz_full=: no timer tick while one task runs */
  readonly tickless: readonly number[];
  /** what both the affinity of this process and its cgroup's cpuset let it use */
  readonly allowed: readonly number[];
  /** NUMA nodes it may have memory on */
  readonly allowedMemory: readonly number[];
}

/** A file with a list of CPUs or nodes; undefined when there is none. */
function list(files: HostFiles, path: string): number[] | undefined {
  const text = files.text(path);
  if (text === undefined) return undefined;
  const numbers = parseCpuList(text);
  if (numbers === undefined) throw new TaplineError("HOST_UNREADABLE", { path, detail: `it holds "${text}"` });
  return numbers;
}

/**
 * Files in which this process's cpuset may be described, the likeliest first. On a machine with both kinds of cgroups v1 rules. A container
 * may see the host's path but not the folder: there the root of what is mounted is its own.
 */
function cpusetFiles(files: HostFiles): string[] {
  const first: string[] = [];
  const second: string[] = [];
  for (const line of (files.text(files.proc("self/cgroup")) ?? "").split("\n")) {
    const [, controllers = "", path = "/"] = line.split(":");
    for (const folder of [path, "/"]) {
      if (controllers.split(",").includes("cpuset"))
        first.push(files.sys("fs/cgroup/cpuset", folder, "cpuset.effective_cpus"));
      if (line.startsWith("0::")) second.push(files.sys("fs/cgroup", folder, "cpuset.cpus.effective"));
    }
  }
  return [...first, ...second];
}

const statusList = (status: string, key: string): number[] | undefined =>
  parseCpuList(new RegExp(`^${key}:\\s*(\\S*)$`, "m").exec(status)?.[1] ?? "");

export function readTopology(files: HostFiles): Topology {
  const cpu = files.sys("devices/system/cpu");
  const online = list(files, `${cpu}/online`) ?? [];
  if (online.length === 0) throw new TaplineError("HOST_UNREADABLE", { path: `${cpu}/online`, detail: "no CPU in it" });

  const status = files.text(files.proc("self/status")) ?? "";
  const affinity = statusList(status, "Cpus_allowed_list");
  const cpuset = cpusetFiles(files)
    .map((path) => list(files, path))
    .find((cpus) => cpus !== undefined && cpus.length > 0);
  const allowed = [affinity, cpuset]
    .filter((cpus) => cpus !== undefined && cpus.length > 0)
    .reduce<number[]>((all, cpus) => intersection(all, cpus as number[]), online);

  const nodes = readNodes(files, online);
  const memory = statusList(status, "Mems_allowed_list") ?? [];
  const ids = nodes.map((node) => node.id);
  return {
    online,
    nodes,
    siblings: new Map(
      online.map((id) => [
        id,
        intersection(list(files, `${cpu}/cpu${id}/topology/thread_siblings_list`) ?? [id], online),
      ]),
    ),
    isolated: list(files, `${cpu}/isolated`) ?? [],
    tickless: list(files, `${cpu}/nohz_full`) ?? [],
    allowed,
    allowedMemory: memory.length > 0 ? memory : ids,
  };
}

function readNodes(files: HostFiles, online: readonly number[]): NumaNode[] {
  const folder = files.sys("devices/system/node");
  const ids = list(files, `${folder}/online`) ?? [];
  if (ids.length === 0) return [{ id: 0, cpus: online, distances: [10] }];
  return ids.map((id) => ({
    id,
    cpus: intersection(list(files, `${folder}/node${id}/cpulist`) ?? [], online),
    distances: (files.text(`${folder}/node${id}/distance`) ?? "").split(/\s+/).filter(Boolean).map(Number),
  }));
}

export const nodeOf = (topology: Topology, cpu: number): NumaNode | undefined =>
  topology.nodes.find((node) => node.cpus.includes(cpu));

/** Nodes from the nearest to the farthest, the node itself first. */
export function nearestNodes(topology: Topology, id: number): NumaNode[] {
  const from = topology.nodes.find((node) => node.id === id);
  return topology.nodes
    .map((node, index) => ({ node, distance: from?.distances[index] ?? (node.id === id ? 10 : 20) }))
    .toSorted((a, b) => a.distance - b.distance || a.node.id - b.node.id)
    .map(({ node }) => node);
}
