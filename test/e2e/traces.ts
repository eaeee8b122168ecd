// What a cluster has on this machine while it is up, collected so that after its end each piece can be looked for.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { groups, members } from "./cluster/cgroups.ts";
import type { Instance } from "./cluster/instance.ts";

const namespaceKinds = ["net", "mnt", "uts", "cgroup", "ipc", "pid"] as const;

/** One namespace of one process, as net:[4026532000]; undefined when it has ended meanwhile, or has more rights than this one, which none of a cluster has. */
function namespaceOf(pid: number | string, kind: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

const namespacesOf = (pid: number | string): string[] =>
  namespaceKinds.map((kind) => namespaceOf(pid, kind)).filter((found) => found !== undefined);

const processes = (): string[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name));

/** Of processes, and of those kept by a mount of their own (ip netns). */
function livingNamespaces(): Set<string> {
  const mounted = [...readFileSync("/proc/self/mountinfo", "utf8").matchAll(/ (\w+:\[\d+\]) /g)].map(
    ([, name]) => name ?? "",
  );
  return new Set([...processes().flatMap(namespacesOf), ...mounted]);
}

export interface Traces {
  /** its own ones: this process has others */
  readonly namespaces: readonly string[];
}

export function traces(cluster: Instance): Traces {
  const outside = new Set(namespacesOf("self"));
  const inside = new Set(members(cluster.cgroup).flatMap(namespacesOf));
  return { namespaces: [...inside].filter((name) => !outside.has(name)) };
}

/** Processes, cgroups, namespaces and mounts of a cluster that are still there. */
export function left(cluster: Instance, { namespaces }: Traces): string[] {
  const living = livingNamespaces();
  const commands = processes().filter((pid) => {
    try {
      const text = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return text.includes(`${cluster.folder}/`) && Number(pid) !== process.pid;
    } catch (error) {
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
      throw error;
    }
  });
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return [
    ...members(cluster.cgroup).map((pid) => `process ${pid}`),
    ...commands.map((pid) => `process ${pid} by its words`),
    ...groups(cluster.cgroup).map((folder) => `cgroup ${folder}`),
    ...namespaces.filter((name) => living.has(name)).map((name) => `namespace ${name}`),
    ...mounts.filter((line) => line.includes(cluster.folder)).map((line) => `mount ${line}`),
  ];
}

/** What of this machine no cluster may change: links, kernel settings, files where its programs would usually write. */
export function machine(): Readonly<Record<string, readonly string[]>> {
  const lines = (program: string, ...args: string[]): string[] =>
    execFileSync(program, args, { encoding: "utf8" }).trim().split("\n");
  const folders = ["/run", "/var/lib", "/var/log", "/etc", "/etc/cni", "/opt", "/sys/fs/bpf", "/root", "/home"];
  const steady =
    /^(?:vm\.(?!drop_caches|stat_refresh|nr_hugepages)|kernel\.(?:panic|keys|pid_max|threads|core_|printk|sched))/;
  return {
    links: lines("ip", "-o", "link").map((line) => line.split(":")[1]?.trim() ?? ""),
    routes: lines("ip", "route"),
    settings: lines("sysctl", "-a").filter((line) => steady.test(line)),
    files: folders.flatMap((folder) => entries(folder).map((name) => `${folder}/${name}`)),
  };
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
