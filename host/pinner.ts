// Pinning over an agent's life: puts back what a dead one left, plans, applies, watches for drift, restores.
// Enters: the policy, and the interfaces that are captured. Leaves: a plan for the capture's threads and memory, and the report of what is
// wished and what is. Interrupts, RPS and NAPI threads are changed under `irq: Manage` only; under Observe they are shown.
import type { PinningDrift, PinningReport, Restored } from "#domain/pinning.ts";
import { cpuListText } from "./cpu-list.ts";
import { Drift } from "./drift.ts";
import { HostFiles } from "./files.ts";
import { type DriverName, type NetworkInterface, readInterfaces } from "./interfaces.ts";
import { queueIrqs, readInterrupts } from "./irqs.ts";
import { Applied } from "./pinning-apply.ts";
import { StateFile } from "./pinning-state.ts";
import { type Running, settingsOf, view } from "./pinning-view.ts";
import { type InterfacePlan, type PinningPolicy, plan } from "./pinning.ts";
import { HostSettings, nameOf, type SetAffinity, type Setting, type Wanted, wantedBy } from "./settings.ts";
import { readTopology, type Topology } from "./topology.ts";

export interface PinnerOptions {
  readonly files?: HostFiles;
  /** one for each agent: the sensor keeps it beside its database */
  readonly statePath: string;
  /** nanoseconds since 1970 */
  readonly now: () => bigint;
  /** as `ethtool -i` says; sysfs tells no driver of a virtual interface */
  readonly driverName?: DriverName;
  /** virtual interfaces that receive by NAPI: a veth with XDP or GRO on */
  readonly napi?: (nic: NetworkInterface) => boolean;
  readonly setAffinity?: SetAffinity;
  readonly pid?: number;
}

export interface CapturedInterface {
  readonly name: string;
  readonly threads: number;
}

/** Somebody who changes settings back and forth with us is answered at most this often. */
const mendEveryNs = 60_000_000_000n;

export class Pinner {
  readonly #options: PinnerOptions;
  readonly #files: HostFiles;
  readonly #host: HostSettings;
  readonly #applied: Applied;
  readonly #drift = new Drift();
  #policy: PinningPolicy = { policy: "None", cpus: [], irq: "Observe" };
  #topology: Topology;
  #plans: readonly InterfacePlan[] = [];
  /** by captured interface, what could be set */
  #settings = new Map<string, readonly Setting[]>();
  #wanted = new Map<string, Wanted>();
  readonly #problems = new Map<string, string>();
  #reapplied = 0;
  #mendedAt: bigint | undefined;
  #balancer: { readonly runs: boolean | null; readonly at: bigint } | undefined;
  #left: readonly Restored[] = [];

  constructor(options: PinnerOptions) {
    this.#options = options;
    this.#files = options.files ?? new HostFiles();
    this.#host = new HostSettings(this.#files, options.setAffinity);
    const state = new StateFile(options.statePath, this.#files, options.pid ?? process.pid);
    this.#applied = new Applied(this.#host, state);
    this.#topology = readTopology(this.#files);
  }

  /** Of this machine, now. */
  interfaces(): NetworkInterface[] {
    return readInterfaces(this.#files, this.#options.driverName);
  }

  /**
   * To be called first. Puts back what an agent that was killed had changed. Throws PINNING_STATE_IN_USE when another one lives by the same
   * state file, PINNING_STATE_DAMAGED when it cannot be read (it is moved aside: a second call finds none).
   */
  recover(): readonly Restored[] {
    this.#left = this.#applied.recover();
    return this.#left;
  }

  /**
   * Plans anew and, under Manage, applies; what an earlier plan changed and this one does not want is put back. To be called whenever the
   * captured interfaces or the policy change. An interface that is not there has no plan yet.
   */
  arrange(policy: PinningPolicy, captured: readonly CapturedInterface[]): readonly InterfacePlan[] {
    this.#policy = policy;
    this.#topology = readTopology(this.#files);
    const all = readInterfaces(this.#files, this.#options.driverName);
    const interrupts = readInterrupts(this.#files);
    const irqs = (nic: NetworkInterface) => queueIrqs(this.#files, nic, interrupts);
    const ports = captured.flatMap(({ name, threads }) =>
      all.filter((one) => one.name === name).map((nic) => ({ nic, threads })),
    );
    const napi = this.#options.napi ?? (() => false);
    this.#plans = plan({ topology: this.#topology, policy, all, ports, irqs, napi });
    this.#settings = new Map(ports.map(({ nic }) => [nic.name, settingsOf(nic, all, irqs)]));
    this.#want(wantedBy(this.#plans));
    this.#problems.clear();
    if (policy.irq === "Manage") this.#manage();
    else this.#release(() => true);
    return this.#plans;
  }

  #want(wanted: readonly Wanted[]): void {
    this.#wanted = new Map(wanted.map((one) => [nameOf(one.setting), one]));
  }

  /** NAPI's threads come after the switch that makes them, and are let go before it is. */
  #manage(): void {
    this.#apply([...this.#wanted.values()]);
    const threads = this.#napiThreads();
    this.#want([...this.#wanted.values(), ...threads]);
    for (const { setting } of threads)
      this.#settings.set(setting.interface, [...(this.#settings.get(setting.interface) ?? []), setting]);
    this.#apply(threads);
    this.#release((setting) => !this.#wanted.has(nameOf(setting)));
  }

  #apply(wanted: readonly Wanted[]): void {
    for (const { setting } of wanted) this.#problems.delete(nameOf(setting));
    for (const [name, problem] of this.#applied.apply(wanted)) this.#problems.set(name, problem);
  }

  /** One CPU each. */
  #napiThreads(): Wanted[] {
    const wishes = this.#plans.flatMap(({ threaded }) => ("desired" in threaded ? threaded.desired : []));
    return wishes.flatMap(({ cpus, ...one }) =>
      this.#host.napiThreads(one.interface).map(
        (thread, i): Wanted => ({
          setting: { item: "napi", ...one, thread },
          desired: `${cpus[i % cpus.length]}`,
        }),
      ),
    );
  }

  #release(which: (setting: Setting) => boolean): void {
    for (const { name, result, detail } of this.#applied.restore(which))
      if (result === "failed") this.#problems.set(name, `it could not be put back: ${detail}`);
  }

  /** What is wished and what is. Under Manage it also mends drift, once a minute at most. To be called every few seconds. */
  observe(running: (name: string) => Running | undefined = () => undefined): PinningReport {
    const now = this.#options.now();
    const interfaces = this.#plans.map((one) =>
      view(this.#host, {
        plan: one,
        settings: this.#settings.get(one.interface) ?? [],
        wanted: this.#wanted,
        problems: this.#problems,
        running: running(one.interface),
      }),
    );
    const drift = this.#drift.compare(interfaces, now);
    if (this.#policy.irq === "Manage") this.#mend(drift, now);
    const irqbalance = this.#irqbalance(now);
    const { online, allowed, isolated, nodes } = this.#topology;
    return {
      policy: this.#policy.policy,
      irq: this.#policy.irq,
      online_cpus: cpuListText(online),
      allowed_cpus: cpuListText(allowed),
      isolated_cpus: cpuListText(isolated),
      numa_nodes: nodes.map(({ id, cpus }) => ({ node: id, cpus: cpuListText(cpus) })),
      irqbalance,
      interfaces,
      drift,
      drift_cause: drift.some(({ item }) => item === "irq") && irqbalance === true ? "irqbalance is running" : null,
      drifts: this.#drift.noticed,
      reapplied: this.#reapplied,
      restored_at_start: [...this.#left],
    };
  }

  /** What the kernel refused before is not tried again: only a new plan does. */
  #mend(drift: readonly PinningDrift[], now: bigint): void {
    if (this.#mendedAt !== undefined && now - this.#mendedAt < mendEveryNs) return;
    const drifted = drift
      .filter(({ name }) => !this.#problems.has(name))
      .map(({ name }) => this.#wanted.get(name))
      .filter((wanted) => wanted !== undefined);
    if (drifted.length === 0) return;
    this.#mendedAt = now;
    this.#apply(drifted);
    this.#reapplied += drifted.length;
  }

  /** Looked for once a minute: it means to read the names of all processes. */
  #irqbalance(now: bigint): boolean | null {
    if (this.#balancer === undefined || now - this.#balancer.at >= mendEveryNs)
      this.#balancer = { runs: this.#host.runs("irqbalance"), at: now };
    return this.#balancer.runs;
  }

  /** Puts everything back. Safe to call twice. */
  close(): readonly Restored[] {
    return this.#applied.restore();
  }
}
