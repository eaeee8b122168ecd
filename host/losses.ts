// Losses beside the ledger, counted since start: of each captured interface by kernel and driver, and of the machine's CPUs.
// Enters: counters of the kernel that began long before us, wrap, and begin anew with a new interface. Leaves: sums that only grow.
import {
  type DriverLoss,
  driverLossNames,
  interfaceLossNames,
  type InterfaceLossReport,
  type SoftnetReport,
} from "#domain/losses.ts";
import { parseCpuList } from "./cpu-list.ts";
import type { HostFiles } from "./files.ts";
import { parseSoftnet, type SoftnetLine } from "./softnet.ts";

/** `ethtool -S`: a driver's counters by name; undefined when the interface is gone or its driver has none. */
export type DriverStatistics = (name: string) => Readonly<Record<string, number | bigint>> | undefined;

/** What drivers call the same loss, by queue among them. The first that fits. */
const spellings: readonly (readonly [RegExp, DriverLoss])[] = [
  ...driverLossNames.map((name) => [new RegExp(`^${name}$`), name] as const),
  [/^rx_queue_\d+_drops$|^rx_drops$|^rx\d+_drops$|^queue_\d+_rx_drops$|^rx_queue_\d+_dropped$/, "rx_queue_drops"],
  [/^rx(_queue)?_?\d*_xdp_drops?$|^queue_\d+_rx_xdp_drop$/, "rx_xdp_drops"],
  [/^rx_no_dma_resources$|^rx_discards$|^port\.rx_discards$/, "rx_no_dma_resources"],
  [
    /^alloc_rx_(buff|page)_failed$|^rx_alloc_fail(ed|ure|ures)?$|^queue_\d+_rx_(page|skb)_alloc_fail$/,
    "rx_alloc_failed",
  ],
];

export function driverLossesIn(
  statistics: Readonly<Record<string, number | bigint>>,
): Partial<Record<DriverLoss, number>> {
  const found: Partial<Record<DriverLoss, number>> = {};
  for (const [name, value] of Object.entries(statistics)) {
    const known = spellings.find(([spelling]) => spelling.test(name))?.[1];
    if (known !== undefined) found[known] = (found[known] ?? 0) + Number(value);
  }
  return found;
}

/** One interface's sums. */
class Counted {
  #index: number | null = null;
  readonly #last = new Map<string, number>();
  readonly sums = new Map<string, number>();

  /** `fresh`: the interface was made after we began, so its counters are all ours. */
  take(index: number, fresh: boolean, now: ReadonlyMap<string, number>): void {
    const another = this.#index !== null && this.#index !== index;
    for (const [name, value] of now) {
      const last = this.#last.get(name);
      const begin = another || (last === undefined && fresh) ? 0 : (last ?? value);
      // A counter that fell began anew: a driver's reset, which does not say what was lost in between.
      this.sums.set(name, (this.sums.get(name) ?? 0) + (value >= begin ? value - begin : value));
      this.#last.set(name, value);
    }
    this.#index = index;
  }
}

export class Losses {
  readonly #files: HostFiles;
  readonly #driver: DriverStatistics;
  readonly #interfaces = new Map<string, { readonly kernel: Counted; readonly driver: Counted }>();
  /** interfaces that were there at the first look; others are new */
  readonly #old: ReadonlyMap<string, number | null>;
  readonly #cpus = new Map<number, { last: SoftnetLine; sum: SoftnetLine }>();

  constructor(files: HostFiles, driver: DriverStatistics = () => undefined) {
    this.#files = files;
    this.#driver = driver;
    const names = files.names(files.sys("class/net")) ?? [];
    this.#old = new Map(names.map((name) => [name, this.#index(name)]));
    this.#takeSoftnet();
  }

  #index(name: string): number | null {
    return this.#files.number(this.#files.sys("class/net", name, "ifindex"));
  }

  /**
   * Reads the interfaces' counters. One that is gone, or not watched any more, keeps its sums. To be called every second, with all that are
   * or were captured.
   */
  interfaces(names: readonly string[], watched: (name: string) => boolean = () => true): InterfaceLossReport[] {
    return names.map((name) => {
      const known = this.#interfaces.get(name) ?? { kernel: new Counted(), driver: new Counted() };
      this.#interfaces.set(name, known);
      const index = watched(name) ? this.#index(name) : null;
      if (index !== null) {
        const fresh = this.#old.get(name) !== index;
        known.kernel.take(index, fresh, this.#kernel(name));
        known.driver.take(index, fresh, new Map(Object.entries(driverLossesIn(this.#driver(name) ?? {}))));
      }
      return {
        interface: name,
        kernel: Object.fromEntries(known.kernel.sums),
        driver: Object.fromEntries(known.driver.sums),
      };
    });
  }

  #kernel(name: string): Map<string, number> {
    const folder = this.#files.sys("class/net", name, "statistics");
    return new Map(
      interfaceLossNames
        .map((file) => [file, this.#files.number(`${folder}/${file}`)] as const)
        .filter((pair): pair is readonly [(typeof interfaceLossNames)[number], number] => pair[1] !== null),
    );
  }

  /** Reads the CPUs' counters. They wrap at 2^32: at ten million packets a second after seven minutes. */
  softnet(): SoftnetReport {
    this.#takeSoftnet();
    const cpus = [...this.#cpus.values()].map(({ sum }) => ({
      cpu: sum.cpu,
      processed: sum.processed,
      dropped: sum.dropped,
      time_squeeze: sum.timeSqueeze,
      flow_limit: sum.flowLimit,
    }));
    const total = (key: "processed" | "dropped" | "time_squeeze" | "flow_limit"): number =>
      cpus.reduce((sum, cpu) => sum + cpu[key], 0);
    return {
      processed: total("processed"),
      dropped: total("dropped"),
      time_squeeze: total("time_squeeze"),
      flow_limit: total("flow_limit"),
      cpus: cpus.filter((cpu) => cpu.dropped + cpu.time_squeeze + cpu.flow_limit > 0),
    };
  }

  #takeSoftnet(): void {
    const online = parseCpuList(this.#files.text(this.#files.sys("devices/system/cpu/online")) ?? "") ?? [];
    const text = this.#files.text(this.#files.proc("net/softnet_stat")) ?? "";
    for (const now of parseSoftnet(text, online)) {
      const { last, sum } = this.#cpus.get(now.cpu) ?? { last: now, sum: nothing(now.cpu) };
      this.#cpus.set(now.cpu, {
        last: now,
        sum: {
          cpu: now.cpu,
          processed: sum.processed + since(last.processed, now.processed),
          dropped: sum.dropped + since(last.dropped, now.dropped),
          timeSqueeze: sum.timeSqueeze + since(last.timeSqueeze, now.timeSqueeze),
          flowLimit: sum.flowLimit + since(last.flowLimit, now.flowLimit),
        },
      });
    }
  }
}

const nothing = (cpu: number): SoftnetLine => ({ cpu, processed: 0, dropped: 0, timeSqueeze: 0, flowLimit: 0 });
const since = (last: number, now: number): number => (now - last) >>> 0;
