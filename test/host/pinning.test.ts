// Pinning on a real kernel: settings of this machine's NIC and of veths in namespaces, put back after close and after kill -9.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PinningReport, Restored } from "#domain/pinning.ts";
import { HostFiles } from "#host/files.ts";
import { type NetworkInterface, readInterfaces } from "#host/interfaces.ts";
import { queueIrqs, readInterrupts, type QueueIrq } from "#host/irqs.ts";
import { machineFolder, writeMachine } from "#host/machine-tree.ts";
import { HostSettings } from "#host/settings.ts";
import { Network } from "../wire/network.ts";
import type { PinTask } from "./pin.ts";

const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const program = new URL("pin.ts", import.meta.url).pathname;
const real = { sys: "/sys", proc: "/proc" };
let folder = "";
beforeEach(() => {
  folder = machineFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const task = (more: Partial<PinTask>): PinTask => ({
  roots: real,
  statePath: join(folder, "pinning.json"),
  policy: { policy: "NicLocal", cpus: [], irq: "Manage" },
  captured: [],
  napi: [],
  ...more,
});

/** A process that pins. Its first line is what it put back at its start. */
class Agent {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(what: PinTask, launch: readonly string[] = []) {
    // What launches becomes the agent (ip netns exec and unshare do), so that a signal reaches it.
    const [command = node, ...rest]: readonly string[] = [...launch, node, program, JSON.stringify(what)];
    this.#child = spawn(command, rest, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface(this.#child.stdout as NodeJS.ReadableStream)[Symbol.asyncIterator]();
  }

  async #line<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the pinning process ended early");
    return JSON.parse(value) as T;
  }
  async start(): Promise<readonly Restored[]> {
    return this.#line();
  }
  async tell<T>(word: "arrange" | "observe" | "close"): Promise<T> {
    this.#child.stdin?.write(`${word}\n`);
    return this.#line();
  }
  kill(): void {
    this.#child.kill("SIGKILL");
  }
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#child.kill(signal);
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
  }
}

/** A NIC of this machine whose interrupts can be moved, and what stood there before. */
function spare(): { readonly nic: NetworkInterface; readonly irqs: readonly QueueIrq[] } | undefined {
  const files = new HostFiles();
  const interrupts = readInterrupts(files);
  return readInterfaces(files)
    .map((nic) => ({ nic, irqs: queueIrqs(files, nic, interrupts) }))
    .find(({ irqs }) => irqs.length > 0 && irqs.every(({ irq }) => write(irq, affinity(irq)) === undefined));
}
const affinity = (irq: number): string => readFileSync(`/proc/irq/${irq}/smp_affinity_list`, "utf8").trim();
const write = (irq: number, cpus: string): string | undefined =>
  new HostFiles().write(`/proc/irq/${irq}/smp_affinity_list`, cpus);

describe("a real interrupt", () => {
  test("is moved, and is where it was after kill -9 and a new start", async () => {
    const found = spare();
    if (found === undefined) {
      // No NIC with interrupts that may be moved: then there is none to report either.
      console.log("this machine's NICs have no interrupts that may be moved");
      return;
    }
    const { nic, irqs } = found;
    const before = irqs.map(({ irq }) => affinity(irq));
    try {
      const what = task({ captured: [{ name: nic.name, threads: 1 }] });
      const first = new Agent(what);
      expect(await first.start()).toEqual([]);
      await first.tell("arrange");
      const report = await first.tell<PinningReport>("observe");
      const items = report.interfaces[0]?.irqs.items ?? [];
      expect(items).toHaveLength(irqs.length);
      expect(report.drift).toEqual([]);
      for (const [i, { irq }] of irqs.entries()) {
        expect(items[i]?.problem).toBeNull();
        expect(affinity(irq)).toBe(items[i]?.desired);
        expect(affinity(irq)).toMatch(/^\d+$/);
      }
      await first.end("SIGKILL");
      expect(irqs.map(({ irq }) => affinity(irq))).not.toEqual(before);

      const second = new Agent(what);
      const restored = await second.start();
      await second.end("SIGTERM");
      expect(restored.map(({ result }) => result)).toEqual(irqs.map(() => "restored"));
      expect(irqs.map(({ irq }) => affinity(irq))).toEqual(before);
    } finally {
      for (const [i, { irq }] of irqs.entries()) write(irq, before[i] ?? "");
    }
  });

  test("that is asked onto a CPU that does not exist stays where it is, and says why", () => {
    const found = spare();
    if (found === undefined) return;
    const [irq] = found.irqs as [QueueIrq];
    const before = affinity(irq.irq);
    const host = new HostSettings(new HostFiles());
    const setting = { item: "irq", interface: found.nic.name, irq: irq.irq, name: irq.name } as const;
    expect(host.write(setting, "8000")).toMatch(/no such CPU|online/);
    expect(affinity(irq.irq)).toBe(before);
    expect(host.read({ ...setting, name: "other" })).toMatchObject({ kind: "gone" });
  });
});

describe("kill -9 of an agent on a machine of two nodes and 64 CPUs", () => {
  test("at any moment leaves a state file from which all is put back", async () => {
    const irqs = Array.from({ length: 32 }, (_, i) => `mlx5_comp${i}@pci:x`);
    const files = writeMachine(folder, {
      nodes: ["0-31", "32-63"],
      nics: [{ name: "ens1", bus: "0000:81:00.0", node: 1, firstIrq: 100, irqs, queues: 32 }],
    });
    const now = (): string[] =>
      irqs.map((_, i) => readFileSync(files.irq(`${100 + i}`, "smp_affinity_list"), "utf8").trim());
    const untouched = irqs.map(() => "0-63");
    const roots = { sys: join(folder, "sys"), proc: join(folder, "proc") };
    const what = task({ roots, captured: [{ name: "ens1", threads: 4 }] });
    for (const killedAt of [0, 5, 10, 15, 20, 25, 30]) {
      const agent = new Agent(what);
      await agent.start();
      const arranged = agent.tell("arrange").catch(() => undefined); // it will be dead before it answers
      const written = (): boolean => now()[killedAt] !== "0-63";
      for (const until = Date.now() + 10_000; !written() && Date.now() < until; );
      agent.kill();
      await agent.end("SIGKILL");
      await arranged;
      expect(written()).toBe(true);

      const next = new Agent(what);
      const restored = await next.start();
      await next.end("SIGTERM");
      // A file on a disk is empty between being opened and being written; the kernel's settings are not.
      for (const { name, detail } of restored.filter((one) => one.detail?.startsWith("it is empty"))) {
        expect(detail).toContain("ours was");
        writeFileSync(files.irq(name.split(" ")[1] ?? "", "smp_affinity_list"), "0-63\n");
      }
      expect(restored.length).toBe(32);
      expect(now()).toEqual(untouched);
    }
  });
});

describe("a veth", () => {
  const inside = (network: Network) => ["ip", "netns", "exec", network.receiver];
  const read = async (network: Network, file: string): Promise<string> =>
    (await network.in(network.receiver, "cat", `/sys/class/net/${network.far}/${file}`)).trim();

  test("has its RPS set and put back", async () => {
    await using network = await Network.create();
    const agent = new Agent(task({ captured: [{ name: network.far, threads: 1 }] }), inside(network));
    await agent.start();
    await agent.tell("arrange");
    expect(Number.parseInt(await read(network, "queues/rx-0/rps_cpus"), 16)).toBeGreaterThan(0);
    const { interfaces } = await agent.tell<PinningReport>("observe");
    expect(interfaces[0]?.irqs.not_applicable).toBe("far is virtual: no queue of it has an interrupt");
    expect(interfaces[0]?.threaded.not_applicable).toContain("no NAPI");
    expect(interfaces[0]?.rps.items).toMatchObject([{ name: "rps far/rx-0", problem: null }]);

    const wished = await read(network, "queues/rx-0/rps_cpus");
    await network.in(network.receiver, "bash", "-c", `echo 0 > /sys/class/net/${network.far}/queues/rx-0/rps_cpus`);
    const drifted = await agent.tell<PinningReport>("observe");
    expect(drifted.drift).toMatchObject([{ item: "rps", name: "rps far/rx-0", actual: "" }]);
    expect(drifted.reapplied).toBe(1);
    expect(await read(network, "queues/rx-0/rps_cpus")).toBe(wished);

    expect(await agent.tell("close")).toMatchObject([{ item: "rps", result: "restored" }]);
    expect(Number.parseInt(await read(network, "queues/rx-0/rps_cpus"), 16)).toBe(0);
    await agent.end("SIGTERM");
  });

  test("that receives by NAPI gets threads of its own, pinned; all is put back after kill -9", async () => {
    await using network = await Network.create();
    await network.in(network.receiver, "ethtool", "-K", network.far, "gro", "on");
    const what = task({ captured: [{ name: network.far, threads: 1 }], napi: [network.far] });
    const agent = new Agent(what, inside(network));
    await agent.start();
    await agent.tell("arrange");
    const { interfaces, drift } = await agent.tell<PinningReport>("observe");
    const [threaded, thread] = interfaces[0]?.threaded.items ?? [];
    expect(threaded).toMatchObject({ name: "threaded far", desired: "1", actual: "1", problem: null });
    expect(thread?.name).toMatch(/^thread napi\/far-\d+$/);
    expect(thread?.problem).toBeNull();
    expect(thread?.actual).toBe(thread?.desired);
    expect(thread?.actual).toMatch(/^\d+$/);
    expect(drift).toEqual([]);
    const pid = execFileSync("bash", ["-c", `grep -l "^${thread?.name.slice(7)}$" /proc/[0-9]*/comm`], {
      encoding: "utf8",
    });
    const status = readFileSync(`/proc/${pid.split("/")[2]}/status`, "utf8");
    expect(status).toContain(`Cpus_allowed_list:\t${thread?.desired}\n`);
    await agent.end("SIGKILL");

    const next = new Agent(what, inside(network));
    expect(await next.start()).toMatchObject([
      { item: "napi", result: "restored" },
      { item: "threaded", result: "restored" },
    ]);
    await next.end("SIGTERM");
    expect(await read(network, "threaded")).toBe("0");
  });

  test("without NAPI that was thought to have one says why its threads are not there, and the rest goes on", async () => {
    await using network = await Network.create();
    const what = task({ captured: [{ name: network.far, threads: 1 }], napi: [network.far] });
    const agent = new Agent(what, inside(network));
    await agent.start();
    await agent.tell("arrange");
    const { interfaces } = await agent.tell<PinningReport>("observe");
    expect(interfaces[0]?.threaded.items).toMatchObject([
      { desired: "1", actual: "0", problem: "this interface has no NAPI to run in a thread (ENOTSUP)" },
    ]);
    expect(await agent.tell("close")).toMatchObject([{ result: "unchanged" }]);
    await agent.end("SIGTERM");
  });

  test("where /proc/irq and /sys are read-only, each setting says so", async () => {
    await using network = await Network.create();
    const readOnly = ["unshare", "-m", "bash", "-c", 'mount -o remount,bind,ro /sys && exec "$@"', "-"];
    const what = task({ captured: [{ name: network.far, threads: 1 }] });
    const agent = new Agent(what, [...inside(network), ...readOnly]);
    await agent.start();
    await agent.tell("arrange");
    const { interfaces } = await agent.tell<PinningReport>("observe");
    expect(interfaces[0]?.rps.items[0]?.problem).toContain("mounted read-only here");
    await agent.end("SIGTERM");
  });
});
