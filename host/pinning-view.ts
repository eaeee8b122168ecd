// Wish and reality side by side, for one captured interface: what the report says of it.
import type { PinnedItem, PinningPart, PinningReport } from "#domain/pinning.ts";
import { carriers, type NetworkInterface } from "./interfaces.ts";
import type { QueueIrq } from "./irqs.ts";
import type { InterfacePlan, Planned } from "./pinning.ts";
import { type HostSettings, nameOf, type Setting, type Wanted } from "./settings.ts";

export type InterfaceView = PinningReport["interfaces"][number];

/** What the capture says of itself: by thread the CPU it runs on, and the node of its ring's memory; null when it cannot tell. */
export interface Running {
  readonly cpus: readonly (number | null)[];
  readonly node: number | null;
}

/** Everything that could be set for an interface, wished or not: its interrupts, its queues' RPS, threaded NAPI. */
export function settingsOf(
  nic: NetworkInterface,
  all: readonly NetworkInterface[],
  irqs: (nic: NetworkInterface) => readonly QueueIrq[],
): Setting[] {
  return carriers(nic, all).flatMap((one): Setting[] => [
    ...irqs(one).map(({ irq, name }): Setting => ({ item: "irq", interface: one.name, irq, name })),
    ...Array.from(
      { length: one.queues.rx },
      (_, queue): Setting => ({ item: "rps", interface: one.name, index: one.index, queue: `rx-${queue}` }),
    ),
    { item: "threaded", interface: one.name, index: one.index },
  ]);
}

export interface ViewInput {
  readonly plan: InterfacePlan;
  readonly settings: readonly Setting[];
  readonly wanted: ReadonlyMap<string, Wanted>;
  /** why a setting could not be made as wished, by name */
  readonly problems: ReadonlyMap<string, string>;
  readonly running: Running | undefined;
}

export function view(host: HostSettings, { plan, settings, wanted, problems, running }: ViewInput): InterfaceView {
  const items = (...kinds: readonly PinnedItem[]): PinningPart["items"] =>
    settings
      .filter(({ item }) => kinds.includes(item))
      .map((setting) => {
        const name = nameOf(setting);
        const now = host.read(setting);
        return {
          name,
          desired: wanted.get(name)?.desired ?? null,
          actual: now.kind === "value" ? now.value : null,
          effective: host.effective(setting),
          problem: problems.get(name) ?? (now.kind === "value" || !wanted.has(name) ? null : now.why),
        };
      });
  const ours = (name: string, desired: number | null, actual: number | null | undefined) => ({
    name,
    desired: desired === null ? null : `${desired}`,
    actual: actual === null || actual === undefined ? null : `${actual}`,
    effective: null,
    problem: null,
  });
  const cpus = "desired" in plan.threads ? plan.threads.desired : [];
  const threads = Array.from({ length: Math.max(cpus.length, running?.cpus.length ?? 0) }, (_, i) =>
    ours(`thread ${i}`, cpus[i] ?? null, running?.cpus[i]),
  );
  const node = "desired" in plan.memory ? plan.memory.desired : null;
  return {
    interface: plan.interface,
    numa_node: plan.node,
    threads: { ...words(plan.threads), items: threads },
    memory: { ...words(plan.memory), items: [ours("memory", node, running?.node)] },
    irqs: { ...words(plan.irqs), items: items("irq") },
    rps: { ...words(plan.rps), items: items("rps") },
    threaded: { ...words(plan.threaded), items: items("threaded", "napi") },
    warnings: [...plan.warnings],
  };
}

const words = (part: Planned<unknown>): Omit<PinningPart, "items"> =>
  "desired" in part
    ? { reason: part.reason, not_applicable: null }
    : { reason: null, not_applicable: part.notApplicable };
