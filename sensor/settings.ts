// The configuration in the words of the parts that it is for. Pure.
import type { InterfaceEntry } from "#host/matching.ts";
import type { PinningPolicy } from "#host/pinning.ts";
import { parseCpuList } from "#host/cpu-list.ts";
import type { SensorConfig } from "#domain/sensor-config.ts";
import type { Configured } from "./budget.ts";

export const entries = ({ interfaces }: SensorConfig): InterfaceEntry[] =>
  interfaces.map(({ name, glob, driver, exclude = [] }) => {
    if (name !== undefined) return { name };
    return glob !== undefined ? { glob, exclude } : { driver: driver ?? "", exclude };
  });

export const pinningPolicy = ({ pinning: { policy, cpus = "", irq } }: SensorConfig): PinningPolicy => ({
  policy,
  cpus: cpus === "" ? [] : (parseCpuList(cpus) ?? []),
  irq,
});

export const configured = ({ analysis, budget }: SensorConfig): Configured => ({
  maxFlows: analysis.maxFlows,
  idleNs: Number(analysis.idleTimeout),
  settleNs: Number(analysis.settle),
  budget: budget.memoryMiB * 2 ** 20,
});

/** What the API's reader takes for an active flow (store/live-run.ts); an ended one takes half. */
const readFlowBytes = 250;

const ringBytes = ({ capture: { ring, threads } }: SensorConfig): number =>
  ring.blockKiB * 1024 * ring.blocks * threads;

/** What rings may take, bytes: those of one interface, and all of them. */
export interface RingRoom {
  readonly each: number;
  readonly all: number;
}
export const ringRoom = (config: SensorConfig): RingRoom => ({
  each: ringBytes(config),
  all: config.budget.memoryMiB * 2 ** 20,
});

/** Of active flows and of a run's columns: an eighth of the budget. More are answered from the disk, more slowly. */
export const flowsInMemory = ({ budget }: SensorConfig): number =>
  Math.floor((budget.memoryMiB * 2 ** 20) / 8 / readFlowBytes);

/** What names the source of a run: the same entries are the same source, so that the time between two runs is known to be blind. */
export const sourceText = (config: SensorConfig): string =>
  config.interfaces.map(({ name, glob, driver }) => name ?? glob ?? `driver ${driver}`).join(",");
