// The interrupts of a NIC's queues: which numbers, which queue each serves, where they may run and where they do.
// Enters: the device's msi_irqs, /proc/interrupts, /proc/irq. Leaves: a list ordered by queue.
import { parseCpuList } from "./cpu-list.ts";
import type { HostFiles } from "./files.ts";
import type { NetworkInterface } from "./interfaces.ts";

export interface Interrupt {
  readonly irq: number;
  /** what its driver calls it; several when it is shared */
  readonly name: string;
  /** since boot, by CPU */
  readonly counts: ReadonlyMap<number, number>;
}

export interface QueueIrq {
  readonly irq: number;
  readonly name: string;
  readonly queue: number;
  readonly direction: "rx" | "tx" | "both";
  /** where it may run; null when /proc/irq does not say */
  readonly affinity: readonly number[] | null;
  /** where the interrupt controller sends it */
  readonly effective: readonly number[] | null;
  readonly counts: ReadonlyMap<number, number>;
}

/** /proc/interrupts: a header of CPUs (those online, not always without holes), then a line for each interrupt. */
export function parseInterrupts(text: string): Interrupt[] {
  const [header = "", ...lines] = text.split("\n");
  const cpus = [...header.matchAll(/CPU(\d+)/g)].map((match) => Number(match[1]));
  return lines.flatMap((line): Interrupt[] => {
    const [, number, rest = ""] = /^\s*(\d+):\s*(.*)$/.exec(line) ?? [];
    if (number === undefined) return []; // NMI, LOC and the like belong to no device
    const words = rest.split(/\s+/);
    const counts = new Map(cpus.map((cpu, i) => [cpu, Number(words[i])]));
    // After the counts: controller, number and trigger, and, two spaces on, the name. Without a handler there is no name.
    const after = rest.replace(new RegExp(`^(?:\\d+\\s+){${cpus.length}}`), "");
    const name = /\s{2,}(\S.*)$/.exec(after.replace(/^(\S+)\s+(\S+)\s+(Edge|Level)\b/i, "$1 $2-$3"))?.[1] ?? "";
    const last = name.split(/\s{2,}/).at(-1) ?? "";
    return [{ irq: Number(number), name: /^\d+(-\w*)?$/.test(last) ? "" : last.trim(), counts }];
  });
}

/** Interrupts of a NIC that serve no queue: mlx5_async0, virtio2-config, ena-mgmnt, i40e-…:misc, eth0-event-9. */
const control = /config|async|misc|mgmn?t|mbx|fdir|event|hwc|health|ctrl|cmd|slow|link|lsc|ptp|aer|(^|[-_])sp$/i;

/** virtio2-input.0, mlx5_comp3@pci:…, eth0-TxRx-5, i40e-eth0-TxRx-5, eth0-Tx-Rx-2, gve-ntfy-blk1@…, mana_q2@…, eth0-q1-rx, eth0-rx-1 */
const queue =
  /(?:^|[-_.])(input|output|tx-?rx|rx-?tx|comp|ntfy-blk|fp|q|rx|tx|\d{4}:[0-9a-f:.]+)?[-_.]?(\d+)(?:-(rx|tx))?$/i;

export function queueOfIrq(name: string): Pick<QueueIrq, "queue" | "direction"> | undefined {
  const plain = name.replace(/@.*$/, "");
  const match = control.test(plain) ? null : queue.exec(plain);
  if (match === null) return undefined;
  const word = (match[3] ?? match[1] ?? "").toLowerCase();
  const direction = word === "rx" || word === "input" ? "rx" : word === "tx" || word === "output" ? "tx" : "both";
  return { queue: Number(match[2]), direction };
}

/**
 * The device's own list of numbers where there is one: names keep an interface's old name after it was renamed. Without a list (Xen,
 * virtio without PCI) names must do.
 */
function belongs(files: HostFiles, nic: NetworkInterface): (one: Interrupt) => boolean {
  const numbers = nic.device === null ? undefined : files.names(`${nic.device}/msi_irqs`);
  if (numbers !== undefined && numbers.length > 0) {
    const own = new Set(numbers.map(Number));
    return ({ irq }) => own.has(irq);
  }
  const starts = [`${nic.name}-`, ...(nic.virtio === null ? [] : [`${nic.virtio}-`])];
  return ({ name }) =>
    nic.physical && (starts.some((start) => name.startsWith(start)) || name.endsWith(`@pci:${nic.bus}`));
}

const cpusIn = (files: HostFiles, irq: number, file: string): number[] | null => {
  const reading = files.read(files.irq(`${irq}`, file));
  return reading.kind === "text" ? (parseCpuList(reading.text) ?? null) : null;
};

export const readInterrupts = (files: HostFiles): Interrupt[] =>
  parseInterrupts(files.text(files.proc("interrupts")) ?? "");

/** `interrupts` is read once for all NICs: the kernel walks every interrupt of every CPU to write it. */
export function queueIrqs(files: HostFiles, nic: NetworkInterface, interrupts: readonly Interrupt[]): QueueIrq[] {
  return interrupts
    .filter(belongs(files, nic))
    .flatMap((one): QueueIrq[] => {
      const served = queueOfIrq(one.name);
      if (served === undefined) return [];
      const affinity = cpusIn(files, one.irq, "smp_affinity_list");
      return [{ ...one, ...served, affinity, effective: cpusIn(files, one.irq, "effective_affinity_list") }];
    })
    .toSorted((a, b) => a.queue - b.queue || a.irq - b.irq);
}
