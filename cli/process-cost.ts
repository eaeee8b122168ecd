// What a process costs, by the kernel's account in /proc: processor time, memory, descriptors; with its children.
import { readFileSync, readdirSync } from "node:fs";

/** ns of a clock tick of /proc/PID/stat: USER_HZ is 100 on every Linux that Node runs on. */
const tickNs = 1e7;

/** Undefined when the process (or thread) has ended. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return [];
    throw error;
  }
}

/** Fields of a stat file after the name, which may hold spaces: 0 is the state. */
const statFields = (path: string): number[] =>
  (read(path) ?? "")
    .replace(/^.*\) /s, "")
    .split(" ")
    .map(Number);
const fields = { utime: 11, stime: 12, cutime: 13, cstime: 14 } as const;
const ticks = (path: string, ...names: (keyof typeof fields)[]): number => {
  const found = statFields(path);
  return names.reduce((sum, name) => sum + (found[fields[name]] ?? 0), 0);
};

/** The process and all below it. */
export function family(pid: number): number[] {
  const children = list(`/proc/${pid}/task`).flatMap((thread) =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? "").split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(family)];
}

/** User and system time so far, ended threads and waited-for children included. In steps of 10 ms. */
export const processorNs = (pid: number): number =>
  family(pid).reduce((sum, one) => sum + ticks(`/proc/${one}/stat`, "utime", "stime", "cutime", "cstime"), 0) * tickNs;

/** Of all children that this process has waited for. Grows by the whole life of a process when that ends. */
export const endedChildrenNs = (): number => ticks("/proc/self/stat", "cutime", "cstime") * tickNs;

export interface Thread {
  readonly id: number;
  readonly name: string;
  /** on a processor so far */
  readonly ns: number;
}

export const threadsOf = (pid: number): Thread[] =>
  list(`/proc/${pid}/task`).flatMap((id) => {
    const name = read(`/proc/${pid}/task/${id}/comm`);
    const times = read(`/proc/${pid}/task/${id}/schedstat`);
    return name === undefined || times === undefined
      ? []
      : [{ id: Number(id), name: name.trim(), ns: Number(times.split(" ")[0]) }];
  });

export interface Memory {
  /** resident now, and at most so far: ring, program text and all */
  readonly rss: number;
  readonly peak: number;
  /** of `rss`, what is the process's own: neither files nor rings */
  readonly anonymous: number;
  /** of `rss`, mapped files: the program's text, and the rings */
  readonly files: number;
}

/** Bytes, summed over the family. */
export function memoryOf(pid: number): Memory {
  const all = family(pid).map((one) => read(`/proc/${one}/status`) ?? "");
  const sum = (name: string): number =>
    all.reduce(
      (bytes, text) => bytes + Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) * 1024,
      0,
    );
  return { rss: sum("VmRSS"), peak: sum("VmHWM"), anonymous: sum("RssAnon"), files: sum("RssFile") + sum("RssShmem") };
}

/** Resident bytes with shared pages divided among their users. Dear to ask for: the kernel walks every page. */
export const proportionalMemory = (pid: number): number =>
  family(pid).reduce(
    (bytes, one) => bytes + Number(/^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${one}/smaps_rollup`) ?? "")?.[1] ?? 0) * 1024,
    0,
  );

export const descriptorsOf = (pid: number): number =>
  family(pid).reduce((sum, one) => sum + list(`/proc/${one}/fd`).length, 0);

/** User, system and interrupt time of the whole machine so far. */
const busyNs = (): number => {
  const [user = 0, nice = 0, system = 0, _idle, _wait, irq = 0, softirq = 0] = (
    read("/proc/stat")?.split("\n")[0] ?? ""
  )
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq) * tickNs;
};

/** How many cores others than this process, its children and the given one use, from now until asked. */
export function othersFromNow(pid: number): () => number {
  const oursNs = (): number => {
    const { user, system } = process.cpuUsage();
    return processorNs(pid) + endedChildrenNs() + (user + system) * 1000;
  };
  const [at, busy, ours] = [performance.now(), busyNs(), oursNs()];
  return () => Math.max((busyNs() - busy - (oursNs() - ours)) / ((performance.now() - at) * 1e6), 0);
}
