// `status`: every cluster of this checkout, its nodes, what it costs, and where to look.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nodes } from "./apiserver.ts";
import { hierarchies, members } from "./cgroups.ts";
import { checkout, type Instance, instance, kubeconfigPath, logFolder, readState } from "./instance.ts";

export function instances(): Instance[] {
  const folder = join(checkout, "build", "cluster");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map(instance)
    .filter((cluster) => readState(cluster) !== undefined || members(cluster.cgroup).length > 0);
}

/** Memory of all its processes, a page that several share counted once (Pss). */
export function memoryMiB(cluster: Instance): number {
  let kiB = 0;
  for (const pid of members(cluster.cgroup)) {
    const path = `/proc/${pid}/smaps_rollup`;
    try {
      kiB += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(path, "utf8"))?.[1] ?? 0);
    } catch (error) {
      // It ended meanwhile.
      if (!["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  return Math.round(kiB / 1024);
}

/** CPU time that the cluster has used since it came up, also that of processes which have ended. */
export function cpuSeconds(cluster: Instance): number {
  for (const { mount, options } of hierarchies()) {
    const folder = join(mount, cluster.cgroup);
    if (options.split(",").includes("cpuacct"))
      return Number(readFileSync(join(folder, "cpuacct.usage"), "utf8")) / 1e9;
    const path = join(folder, "cpu.stat");
    const usage = options === "" && existsSync(path) ? /^usage_usec (\d+)/m.exec(readFileSync(path, "utf8")) : null;
    if (usage !== null && !hierarchies().some((other) => other.options.includes("cpuacct")))
      return Number(usage[1]) / 1e6;
  }
  return Number.NaN;
}

export async function status(cluster: Instance): Promise<string> {
  const state = readState(cluster);
  const processes = members(cluster.cgroup).length;
  if (state === undefined)
    return `${cluster.name}: half up, ${processes} processes. npm run cluster -- down --name ${cluster.name}`;
  const found = state.phase === "up" ? await nodes(cluster) : [];
  const lines = found.map(({ name, ready, version }) => `  ${name}  ${ready ? "Ready" : "NotReady"}  ${version}`);
  return [
    `${cluster.name}: ${state.phase}, Kubernetes ${state.kubernetes}, ${processes} processes, ${memoryMiB(cluster)} MiB`,
    ...(state.phase === "up" && found.length === 0 ? ["  the apiserver does not answer"] : lines),
    `  export KUBECONFIG=${kubeconfigPath(cluster)}`,
    `  logs: ${logFolder(cluster)}`,
  ].join("\n");
}
