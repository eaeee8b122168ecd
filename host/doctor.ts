// What this node can do for a capture and for a relay. Enters: where /proc and /sys are, and what was tried on the kernel. Leaves: checks,
// each with what was found, why it matters, and what to type when it is not well.
import type { HostProbe } from "#native/engine.ts";
import type { Check } from "./check.ts";
import { machineRoots, type Roots } from "./tune-facts.ts";
import { capabilityChecks, kernelChecks, limitChecks } from "./doctor-kernel.ts";
import { examined, interfaceChecks, machineChecks, storeCheck } from "./doctor-node.ts";
import { indexOf, relayChecks } from "./doctor-relay.ts";
import type { RelayTrial } from "./relay-trial.ts";

export interface Place {
  readonly roots?: Roots;
  readonly probe: HostProbe;
  /** of the interfaces with these indexes; those that are not there are 0 */
  readonly trial: (ifindexes: readonly number[]) => RelayTrial;
  /** whose settings to look at; none: those with a device behind them */
  readonly interfaces: readonly string[];
  readonly store: string;
  /** what would be given capabilities */
  readonly program: string;
}

export function doctor({ roots = machineRoots, probe, trial, interfaces, store, program }: Place): Check[] {
  const names = examined(roots, interfaces);
  const indexes = names.map((name) => indexOf(roots, name)).filter((ifindex) => ifindex > 0);
  return [
    ...capabilityChecks(roots, probe, program),
    ...kernelChecks(roots, probe),
    ...limitChecks(roots),
    ...interfaceChecks(roots, names),
    ...machineChecks(roots, probe),
    ...relayChecks(roots, trial(indexes), names),
    storeCheck(store),
  ];
}
