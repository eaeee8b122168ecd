// What a sensor answers about pinning → what a FleetNode says of it. Pure. What nothing is wished for is left out: the sensor itself tells it (/api/v1/pinning).
import { type FleetNodeStatus, type FleetSensor, mostDrift, mostPinned } from "#domain/fleet-node.ts";
import type { PinnedItem, PinningPart, PinningReport } from "#domain/pinning.ts";

type FleetPinning = NonNullable<FleetSensor["pinning"]>;

/** Of one sensor. */
export interface PinningView {
  readonly pinning: FleetPinning;
  readonly numaNodes: NonNullable<FleetNodeStatus["numaNodes"]>;
  /** NUMA node by interface; virtual ones have none */
  readonly numaOf: ReadonlyMap<string, number>;
}

const mostNuma = 64;
/** RFC 3339 to the second; of what is no time the beginning of all times: the API would refuse the whole status. */
const moment = (text: string): string => `${new Date(Date.parse(text) || 0).toISOString().slice(0, 19)}Z`;
/** Of the kernel's own; as above. */
const isName = (name: string): boolean => name.length > 0 && name.length < 16;

export function pinningView(report: PinningReport): PinningView {
  const { policy, irq, drift_cause: cause, drift, interfaces, numa_nodes: numa } = report;
  const named = interfaces.filter((one) => isName(one.interface));
  const wished = unique(named.flatMap((one) => itemsOf(one)));
  return {
    pinning: {
      policy,
      irq,
      ...(cause === null ? {} : { cause: cause.slice(0, 512) }),
      items: wished.slice(0, mostPinned),
      itemsLeftOut: Math.max(0, wished.length - mostPinned),
      drift: unique(
        drift
          .filter((one) => isName(one.interface))
          .map(({ interface: name, item, name: which, desired, actual, since }) => ({
            interface: name,
            item,
            name: which.slice(0, 128),
            desired: desired.slice(0, 1024),
            ...(actual === null ? {} : { actual: actual.slice(0, 1024) }),
            since: moment(since),
          })),
      ).slice(0, mostDrift),
    },
    numaNodes: numa.slice(0, mostNuma).map(({ node, cpus }) => ({ node, cpus: cpus.slice(0, 1024) })),
    numaOf: new Map(named.flatMap((one) => (one.numa_node === null ? [] : [[one.interface, one.numa_node] as const]))), // biome-ignore format: one row
  };
}

function itemsOf(one: PinningReport["interfaces"][number]): FleetPinning["items"] {
  const parts: readonly (readonly [PinnedItem, PinningPart])[] = [
    ["thread", one.threads],
    ["memory", one.memory],
    ["irq", one.irqs],
    ["rps", one.rps],
    ["threaded", one.threaded],
  ];
  return parts.flatMap(([part, { items }]) =>
    items.flatMap(({ name, desired, actual, effective, problem }) => {
      if (desired === null && problem === null) return [];
      // Threads of NAPI are told beside the switch that makes them.
      const item: PinnedItem = name.startsWith("thread napi/") ? "napi" : part;
      return [
        {
          interface: one.interface,
          item,
          name: name.slice(0, 128),
          ...(desired === null ? {} : { desired: desired.slice(0, 1024) }),
          ...(actual === null ? {} : { actual: actual.slice(0, 1024) }),
          ...(effective === null ? {} : { effective: effective.slice(0, 1024) }),
          ...(problem === null ? {} : { problem: problem.slice(0, 512) }),
        },
      ];
    }),
  );
}

/** The API's lists go by these three; two of one name would be refused, and with them the whole status. */
function unique<T extends { readonly interface: string; readonly item: string; readonly name: string }>(all: readonly T[]): T[] {
  return [...new Map(all.map((one) => [`${one.interface}\n${one.item}\n${one.name}`, one])).values()];
} // biome-ignore format: the signature
