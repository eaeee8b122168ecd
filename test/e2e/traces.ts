// What a cluster has on this machine while it is up, collected so that after its end each piece can be looked for.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { groups, members } from "./cluster/cgroups.ts";
import type { Instance } from "./cluster/instance.ts";

const namespaceKinds = ["net", "mnt", "uts", "cgroup", "ipc", "pid"] as const;

/** What /proc tells of a process; undefined when it has ended meanwhile, or has more rights than this one, which none of a cluster has. */
function told<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** As net:[4026532000]. */
const namespacesOf = (pid: number | string): string[] =>
  namespaceKinds
    .map((kind) => told(() => readlinkSync(`/proc/${pid}/ns/${kind}`)))
    .filter((found) => found !== undefined);

const processes = (): string[] => readdirSync("/proc").filter((name) => /^\d+$/.test(name));

/** A process for ever: its number may be given again, its number and start may not. One that only waits for init to take note of its end (Z) keeps nothing. */
const identity = (pid: string): string | undefined =>
  told(() => {
    const [state, ...fields] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return state === "Z" ? undefined : `${pid} started at ${fields[18]}`;
  });

/** Namespaces kept by a mount, as `ip netns` does. */
const pins = (): string[] =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" nsfs "));

export interface Traces {
  /** its own ones: this process has others */
  readonly namespaces: readonly string[];
  /** All that keeps one of them, in the cluster's cgroup or not. Their numbers alone say nothing later: the kernel gives them again at once. */
  readonly keepers: readonly string[];
}

export function traces(cluster: Instance): Traces {
  const outside = new Set(namespacesOf("self"));
  const inside = new Set(members(cluster.cgroup).flatMap(namespacesOf));
  const namespaces = [...inside].filter((name) => !outside.has(name));
  const isIn = (pid: string): boolean => namespacesOf(pid).some((name) => namespaces.includes(name));
  const keeping = processes().filter(isIn).map(identity);
  const mounted = pins().filter((line) => namespaces.some((name) => line.includes(name)));
  return { namespaces, keepers: [...keeping.filter((found) => found !== undefined), ...mounted] };
}

/** Processes, cgroups, namespaces and mounts of a cluster that are still there. */
export function left(cluster: Instance, { keepers }: Traces): string[] {
  const living = new Set([...processes().map(identity), ...pins()]);
  const named = processes().filter((pid) =>
    told(() => readFileSync(`/proc/${pid}/cmdline`, "utf8"))?.includes(`${cluster.folder}/`),
  );
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return [
    ...members(cluster.cgroup).map((pid) => `process ${pid}`),
    ...named.map((pid) => `process ${pid} by its words`),
    ...groups(cluster.cgroup).map((folder) => `cgroup ${folder}`),
    ...keepers.filter((keeper) => living.has(keeper)).map((keeper) => `a namespace, by ${keeper}`),
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
