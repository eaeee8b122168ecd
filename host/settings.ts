// The kernel's settings that pinning changes: reading one, writing one, and what a refusal means.
// A value is text in one form, whatever the file's: CPUs as a list, threaded as 0 or 1. So what is wished, found and saved compare as texts.
import { spawnSync } from "node:child_process";
import { cpuListText, cpuMaskText, parseCpuList, parseCpuMask } from "./cpu-list.ts";
import { errno, type HostFiles } from "./files.ts";
import type { InterfacePlan } from "./pinning.ts";

/** Names the thing, not a path: paths differ between a node and a container, and numbers are given to other things later. */
export type Setting =
  | { readonly item: "irq"; readonly interface: string; readonly irq: number; readonly name: string }
  | { readonly item: "rps"; readonly interface: string; readonly index: number; readonly queue: string }
  | { readonly item: "threaded"; readonly interface: string; readonly index: number }
  | { readonly item: "napi"; readonly interface: string; readonly index: number; readonly thread: string };

export interface Wanted {
  readonly setting: Setting;
  readonly desired: string;
}

export type Current =
  | { readonly kind: "value"; readonly value: string }
  | { readonly kind: "gone"; readonly why: string }
  | { readonly kind: "refused"; readonly why: string };

export function nameOf(setting: Setting): string {
  switch (setting.item) {
    case "irq":
      return `irq ${setting.irq} ${setting.name}`;
    case "rps":
      return `rps ${setting.interface}/${setting.queue}`;
    case "threaded":
      return `threaded ${setting.interface}`;
    case "napi":
      return `thread ${setting.thread}`;
  }
}

/** What a plan wants set, but for NAPI's threads: they exist only once `threaded` is on (napiThreads). */
export function wantedBy(plans: readonly InterfacePlan[]): Wanted[] {
  return plans.flatMap(({ irqs, rps, threaded }) => [
    ...("desired" in irqs
      ? irqs.desired.map(({ cpu, ...irq }): Wanted => ({ setting: { item: "irq", ...irq }, desired: `${cpu}` }))
      : []),
    ...("desired" in rps
      ? rps.desired.map(
          ({ cpus, ...queue }): Wanted => ({ setting: { item: "rps", ...queue }, desired: cpuListText(cpus) }),
        )
      : []),
    ...("desired" in threaded
      ? threaded.desired.map(
          (one): Wanted => ({
            setting: { item: "threaded", interface: one.interface, index: one.index },
            desired: "1",
          }),
        )
      : []),
  ]);
}

/** Undefined when done, else an errno's name. */
export type SetAffinity = (pid: number, cpus: readonly number[]) => string | undefined;

/** Of any thread, kernel threads too. Node has no call for it; util-linux is on every Debian. */
const taskset: SetAffinity = (pid, cpus) => {
  const done = spawnSync("taskset", ["-pc", cpuListText(cpus), String(pid)], { encoding: "utf8", timeout: 5000 });
  if (done.error) return errno(done.error);
  return done.status === 0 ? undefined : done.stderr.trim();
};

const meanings: Readonly<Record<string, string>> = {
  EPERM: "the kernel does not let it be moved: its driver manages it, or this process lacks the right",
  EIO: "the kernel does not let it be moved: its driver manages it",
  ENOSPC: "that CPU has no interrupt vector left",
  EINVAL: "none of these CPUs is online",
  ERANGE: "this machine has no such CPU",
  EOVERFLOW: "this machine has no such CPU",
  EACCES: "this process lacks the right to write it",
  EROFS:
    "it is mounted read-only here; mount the host's own (/proc/irq at /host/irq, say) and name it as the root for IRQs",
  // Node's name for EOPNOTSUPP
  ENOTSUP: "this interface has no NAPI to run in a thread",
  ENOENT: "there is no such setting here",
};
const meaning = (code: string): string => (meanings[code] === undefined ? code : `${meanings[code]} (${code})`);

export class HostSettings {
  readonly #files: HostFiles;
  readonly #setAffinity: SetAffinity;
  readonly #pids = new Map<string, number>();

  constructor(files: HostFiles, setAffinity: SetAffinity = taskset) {
    this.#files = files;
    this.#setAffinity = setAffinity;
  }

  read(setting: Setting): Current {
    switch (setting.item) {
      case "irq":
        return this.#gone(setting) ?? this.#value(this.#path(setting), parseCpuList);
      case "rps":
        return this.#gone(setting) ?? this.#value(this.#path(setting), parseCpuMask);
      case "threaded":
        return this.#gone(setting) ?? this.#value(this.#path(setting));
      case "napi": {
        const pid = this.#pid(setting.thread);
        if (pid === undefined) return { kind: "gone", why: `no thread ${setting.thread} is seen` };
        const status = this.#files.text(this.#files.proc(`${pid}`, "status")) ?? "";
        const list = parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "none");
        return list === undefined ? { kind: "gone", why: "it ended" } : { kind: "value", value: cpuListText(list) };
      }
    }
  }

  /** Why not, in words; undefined when it was written. */
  write(setting: Setting, value: string): string | undefined {
    const cpus = parseCpuList(value) ?? [];
    if (setting.item === "napi") {
      const pid = this.#pid(setting.thread);
      const failed = pid === undefined ? "ENOENT" : this.#setAffinity(pid, cpus);
      return failed === undefined ? undefined : meaning(failed);
    }
    const failed = this.#files.write(this.#path(setting), setting.item === "rps" ? cpuMaskText(cpus) : value);
    return failed === undefined ? undefined : meaning(failed);
  }

  /** Where the interrupt controller sends it, which may be fewer CPUs than it may go to. */
  effective(setting: Setting): string | null {
    if (setting.item !== "irq") return null;
    const reading = this.#files.read(this.#files.irq(`${setting.irq}`, "effective_affinity_list"));
    return reading.kind === "text" ? reading.text : null;
  }

  /** The kernel's NAPI threads of an interface, called napi/<interface>-<id>. */
  napiThreads(name: string): string[] {
    const start = `napi/${name}-`;
    const found = [...this.#comms()].filter(
      ([comm]) => comm.startsWith(start) && /^\d+$/.test(comm.slice(start.length)),
    );
    for (const [comm, pid] of found) this.#pids.set(comm, pid);
    return found.map(([comm]) => comm).toSorted();
  }

  /** Null when it is not seen and this process does not see all others (a PID namespace: kthreadd is nobody's neighbour there). */
  runs(program: string): boolean | null {
    const comms = this.#comms();
    if (comms.has(program)) return true;
    return comms.has("kthreadd") ? false : null;
  }

  #path(setting: Exclude<Setting, { item: "napi" }>): string {
    const { sys, irq } = { sys: this.#files.sys("class/net", setting.interface), irq: this.#files.irq() };
    if (setting.item === "irq") return `${irq}/${setting.irq}/smp_affinity_list`;
    return setting.item === "rps" ? `${sys}/queues/${setting.queue}/rps_cpus` : `${sys}/threaded`;
  }

  /** A number may have been given to something else meanwhile: an interrupt to another handler, a name to another interface. */
  #gone(setting: Setting): Current | undefined {
    if (setting.item === "irq") {
      const names = this.#files.names(this.#files.irq(`${setting.irq}`));
      if (names === undefined) return { kind: "gone", why: `there is no interrupt ${setting.irq}` };
      // The kernel shows a handler as a folder of its name.
      return names.includes(setting.name)
        ? undefined
        : { kind: "gone", why: `interrupt ${setting.irq} does not serve ${setting.name} any more` };
    }
    const index = this.#files.number(this.#files.sys("class/net", setting.interface, "ifindex"));
    if ("index" in setting && index !== setting.index)
      return {
        kind: "gone",
        why: index === null ? `there is no ${setting.interface}` : `${setting.interface} is another interface now`,
      };
    return undefined;
  }

  #value(path: string, parse?: (text: string) => number[] | undefined): Current {
    const reading = this.#files.read(path);
    if (reading.kind === "absent") return { kind: "gone", why: "this kernel or interface has no such setting" };
    if (reading.kind === "refused") return { kind: "refused", why: meaning(reading.code) };
    if (parse === undefined) return { kind: "value", value: reading.text };
    const list = parse(reading.text);
    return list === undefined
      ? { kind: "refused", why: `it reads "${reading.text}"` }
      : { kind: "value", value: cpuListText(list) };
  }

  /** Remembered, because to look for one means to read the names of all processes. */
  #pid(thread: string): number | undefined {
    const known = this.#pids.get(thread);
    const reading = known === undefined ? undefined : this.#files.read(this.#files.proc(`${known}`, "comm"));
    if (reading?.kind === "text" && reading.text === thread) return known;
    const found = this.#comms().get(thread);
    if (found === undefined) this.#pids.delete(thread);
    else this.#pids.set(thread, found);
    return found;
  }

  #comms(): Map<string, number> {
    const found = new Map<string, number>();
    for (const pid of this.#files.names(this.#files.proc()) ?? []) {
      if (!/^\d+$/.test(pid)) continue;
      const reading = this.#files.read(this.#files.proc(pid, "comm"));
      if (reading.kind === "text") found.set(reading.text, Number(pid));
    }
    return found;
  }
}
