// What this node can do for a capture. Enters: where /proc and /sys are, and what was tried on the kernel. Leaves: checks,
// each with what was found, why it matters, and what to type when it is not well.
import type { HostProbe } from "#native/engine.ts";
import type { Check } from "./check.ts";
import { machineRoots, type Roots } from "./tune-facts.ts";
import { capabilityChecks, kernelChecks, limitChecks } from "./doctor-kernel.ts";
import { interfaceChecks, machineChecks, storeCheck } from "./doctor-node.ts";

export interface Place {
  readonly roots?: Roots;
  readonly probe: HostProbe;
  /** whose settings to look at; none: those with a device behind them */
  readonly interfaces: readonly string[];
  readonly store: string;
  /** what would be given capabilities */
  readonly program: string;
}

export const doctor = ({ roots = machineRoots, probe, interfaces, store, program }: Place): Check[] => [
  ...capabilityChecks(roots, probe, program),
  ...kernelChecks(roots, probe),
  ...limitChecks(roots),
  ...interfaceChecks(roots, interfaces),
  ...machineChecks(roots, probe),
  storeCheck(store),
];
