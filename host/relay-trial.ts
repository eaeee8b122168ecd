// What the kernel lets a relay do, by trying. Enters: nothing. Leaves: whether its programs can be loaded, and what each interface can; nothing is attached, and
// nothing stays.
import type { Probe } from "#native/engine.ts";
import { openKernelRelay, type RelayProbe } from "#native/relay.ts";

export interface RelayTrial {
  readonly programs: Probe;
  /** what devices drop behind a redirect is seen */
  readonly observed: boolean;
  /** of these interfaces, as far as they could be asked */
  readonly interfaces: ReadonlyMap<number, RelayProbe>;
}

export function tryRelay(ifindexes: readonly number[]): RelayTrial {
  try {
    const relay = openKernelRelay({ pins: null, maxRules: 1, maxOutputs: 1, orphanAfterMs: 1000 });
    try {
      return {
        programs: { outcome: "works", detail: "" },
        observed: relay.observed,
        interfaces: new Map(ifindexes.map((ifindex) => [ifindex, relay.probe(ifindex)])),
      };
    } finally {
      relay.close();
    }
  } catch (error) {
    const { detail, message } = error as Error & { readonly detail?: string };
    return { programs: { outcome: "fails", detail: detail ?? message }, observed: false, interfaces: new Map() };
  }
}
