// The cgroups of a cluster: CLUSTER/MACHINE in every hierarchy of this machine, v1, v2 or both.
// They are how a cluster is found and ended: whatever a process of it does, it stays below them, and so do its children.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ClusterProblem } from "./problems.ts";

export interface Hierarchy {
  /** where it is mounted */
  readonly mount: string;
  /** v1: what `mount -o` is told, as `cpu,cpuacct` or `none,name=systemd`; v2: empty */
  readonly options: string;
}

const notControllers = new Set(["rw", "ro", "none", "relatime", "clone_children", "xattr", "nsdelegate", "seclabel"]);

/** From /proc/self/mountinfo: `… /sys/fs/cgroup/cpu rw,… - cgroup cgroup rw,cpu`. */
export function hierarchies(mountinfo = readFileSync("/proc/self/mountinfo", "utf8")): Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const mount = before.split(" ")[4] ?? "";
    const [type, , superOptions = ""] = after.split(" ");
    if (type === "cgroup2") found.set("v2", { mount, options: "" });
    if (type !== "cgroup") continue;
    const controllers = superOptions
      .split(",")
      .filter((option) => !notControllers.has(option) && !option.startsWith("release_agent="));
    const options = controllers[0]?.startsWith("name=") ? `none,${controllers[0]}` : controllers.join(",");
    found.set(options, { mount, options });
  }
  return [...found.values()];
}

/** v1's cpuset starts empty and then takes no process. */
function fillCpuset(folder: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"])
    if (existsSync(join(folder, file)))
      writeFileSync(join(folder, file), readFileSync(join(folder, "..", file), "utf8"));
}

/** v2: what the parent has, its children may have too. */
function passControllersOn(folder: string): void {
  const controllers = readFileSync(join(folder, "cgroup.controllers"), "utf8").trim();
  if (controllers === "") return;
  writeFileSync(
    join(folder, "cgroup.subtree_control"),
    controllers
      .split(" ")
      .map((name) => `+${name}`)
      .join(" "),
  );
}

/** A machine's cgroup in each hierarchy: made if need be. */
export function makeGroups(cluster: string, machine: string): string[] {
  return hierarchies().map(({ mount, options }) => {
    const [outer, inner] = [join(mount, cluster), join(mount, cluster, machine)];
    mkdirSync(inner, { recursive: true });
    if (options === "") {
      passControllersOn(mount);
      passControllersOn(outer);
    } else {
      fillCpuset(outer);
      fillCpuset(inner);
    }
    return inner;
  });
}

/** Folders of a cgroup and all below it, the deepest first. */
function tree(folder: string): string[] {
  let entries: string[];
  try {
    entries = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    // It was removed while it was being read.
    if (gone(error)) return [];
    throw error;
  }
  return [...entries.flatMap((name) => tree(join(folder, name))), folder];
}

const gone = (error: unknown): boolean => ["ENOENT", "ENODEV"].includes((error as NodeJS.ErrnoException).code ?? "");

/** Every cgroup of the cluster that is there. */
export const groups = (cluster: string): string[] => hierarchies().flatMap(({ mount }) => tree(join(mount, cluster)));

/** The processes of the cluster, or of one machine of it. */
export function members(cluster: string, machine = ""): number[] {
  const pids = new Set<number>();
  for (const folder of hierarchies().flatMap(({ mount }) => tree(join(mount, cluster, machine)))) {
    let text: string;
    try {
      text = readFileSync(join(folder, "cgroup.procs"), "utf8");
    } catch (error) {
      // EOPNOTSUPP: a threaded group of v2, whose processes stand at its parent.
      if (gone(error) || (error as NodeJS.ErrnoException).code === "EOPNOTSUPP") continue;
      throw error;
    }
    for (const pid of text.split("\n")) if (pid !== "" && pid !== "0") pids.add(Number(pid));
  }
  return [...pids];
}

/** Ends every process of the cluster and removes its cgroups. What cannot be ended within the time is told. */
export async function sweep(name: string, cluster: string, milliseconds = 9000): Promise<void> {
  const end = performance.now() + milliseconds;
  for (;;) {
    // Those that were forked between reading and killing are met in the next round.
    const pids = members(cluster);
    for (const pid of pids) kill(pid);
    const left = pids.length === 0 ? groups(cluster).filter((folder) => !removed(folder)) : [];
    if (pids.length + left.length === 0) return;
    if (performance.now() > end)
      throw new ClusterProblem("NOT_SWEPT", {
        name,
        detail: [...pids.map((pid) => `process ${pid}`), ...left].join(", "),
      });
    await sleep(20);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** EBUSY: its last process is still on its way out. */
function removed(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if (gone(error)) return true;
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}
