// A machine that is made of namespaces: network, mount, host name and cgroup, kept by one sleeping process.
// With its last process it is gone, mounts, links and all: nothing of it has a name outside (no /run/netns, no mount).
import { spawn } from "node:child_process";
import { mkdirSync, openSync, closeSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hierarchies, makeGroups } from "./cgroups.ts";
import { run, type RunOptions } from "./command.ts";
import { binFolder, type Instance, logFolder, readState } from "./instance.ts";
import { ClusterProblem } from "./problems.ts";

const script = join(import.meta.dirname, "machine.sh");

/** Into each cgroup named before `--`, then it becomes the command behind it. */
const joinGroups = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"';

/** The same from within: the groups have the same paths on every machine. */
const joinDaemons =
  'for group in /sys/fs/cgroup/daemons /sys/fs/cgroup/*/daemons; do [ ! -d $group ] || echo $$ >$group/cgroup.procs; done; exec "$@"';

export class Machine {
  readonly name: string;
  /** of the process that keeps it */
  readonly pid: number;
  readonly #cluster: Instance;

  constructor(cluster: Instance, name: string, pid: number) {
    this.#cluster = cluster;
    this.name = name;
    this.pid = pid;
  }

  static async make(cluster: Instance, name: string, signal: AbortSignal): Promise<Machine> {
    const folder = join(cluster.folder, "machines", name);
    for (const part of ["lib", "varlog", "etc"]) mkdirSync(join(folder, part), { recursive: true });
    const log = join(logFolder(cluster), `${name}.log`);
    const file = openSync(log, "a");
    const joining = ["-ec", joinGroups, "sh", ...makeGroups(cluster.cgroup, name), "--"];
    const unsharing = ["unshare", "--net", "--mount", "--propagation", "private", "--uts", "--cgroup", "--"];
    const trees = hierarchies().map(({ mount, options }) => `${mount}=${options}`);
    const child = spawn("sh", [...joining, ...unsharing, "sh", script, name, folder, ...trees], {
      detached: true,
      stdio: ["ignore", "pipe", file],
      env: daemonEnvironment(cluster),
    });
    closeSync(file);
    await new Promise<void>((resolve, reject) => {
      const ended = (): void =>
        reject(new ClusterProblem("DAEMON_ENDED", { daemon: `the machine ${name}`, log, detail: tail(log) }));
      const aborted = (): void => reject(signal.reason as Error);
      signal.addEventListener("abort", aborted, { once: true });
      child.once("error", reject).once("exit", ended);
      child.stdout?.once("data", () => {
        child.off("exit", ended);
        signal.removeEventListener("abort", aborted);
        resolve();
      });
    });
    child.stdout?.destroy();
    child.unref();
    return new Machine(cluster, name, child.pid ?? 0);
  }

  /** A machine of a cluster that is up. */
  static of(cluster: Instance, name: string): Machine {
    const pid = readState(cluster)?.machines[name];
    if (pid === undefined || !belongs(pid, cluster)) throw new ClusterProblem("NOT_UP", { name: cluster.name });
    return new Machine(cluster, name, pid);
  }

  /** `nsenter`'s words before a command that is to run on the machine. */
  enter(...command: string[]): [string, string[]] {
    return ["nsenter", ["--target", String(this.pid), "--net", "--mount", "--uts", "--cgroup", "--", ...command]];
  }

  run(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return run(...this.enter(...command), {
      env: daemonEnvironment(this.#cluster),
      log: logFolder(this.#cluster),
      ...options,
    });
  }

  /** Starts a daemon that outlives this process; `within` the machine, or only in its network, with this one's files. Its pid. */
  start(name: string, command: readonly string[], within: "machine" | "cgroup" = "machine"): Daemon {
    const log = join(logFolder(this.#cluster), `${name}.log`);
    const file = openSync(log, "a");
    const [program, args]: [string, string[]] =
      within === "machine"
        ? this.enter("sh", "-ec", joinDaemons, "sh", ...command)
        : ["sh", ["-ec", joinGroups, "sh", ...this.#daemonGroups(), "--", ...command]];
    const child = spawn(program, args, {
      detached: true,
      stdio: ["ignore", file, file],
      env: daemonEnvironment(this.#cluster),
    });
    closeSync(file);
    child.unref();
    let ended: string | undefined;
    child
      .once("error", (error) => (ended = error.message))
      .once("exit", (code, signal) => (ended = `exit ${code ?? signal}`));
    return {
      name,
      pid: child.pid ?? 0,
      check: () => {
        if (ended !== undefined)
          throw new ClusterProblem("DAEMON_ENDED", { daemon: name, log, detail: `${tail(log)}\n${ended}` });
      },
    };
  }

  #daemonGroups(): string[] {
    return hierarchies().map(({ mount }) => join(mount, this.#cluster.cgroup, this.name, "daemons"));
  }
}

export interface Daemon {
  readonly name: string;
  readonly pid: number;
  /** Throws when it has ended. */
  readonly check: () => void;
}

/** A pid may have been given to a stranger since: the cgroup tells. */
export function belongs(pid: number, cluster: Instance): boolean {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`/${cluster.cgroup}/`);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/** Nothing of the caller's environment changes what a cluster does. */
const daemonEnvironment = (cluster: Instance): NodeJS.ProcessEnv => ({
  PATH: `${binFolder(cluster)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  HOME: cluster.folder,
});

export const tail = (log: string, lines = 12): string =>
  readFileSync(log, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
