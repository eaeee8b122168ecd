// This machine, as the sensor's parts ask for it: its pinner, its drivers' names and counters.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import { readEthtool, supported } from "#host/ethtool.ts";
import { HostFiles } from "#host/files.ts";
import type { DriverStatistics } from "#host/losses.ts";
import { Pinner } from "#host/pinner.ts";
import type { Ethtool } from "#native/engine.ts";
import type { Log } from "#process/log.ts";

/** Undefined when the interface is gone. */
function asked(name: string): Ethtool | undefined {
  try {
    return readEthtool(name);
  } catch (error) {
    if (error instanceof TaplineError && error.code === "INTERFACE_NOT_FOUND") return undefined;
    throw error;
  }
}

const driverName = (name: string): string | undefined => {
  const ethtool = asked(name);
  return ethtool && supported(ethtool.driver)?.name;
};

/** Puts back what a sensor that was killed had changed, and says what became of it. TAPLINE_IRQ: where the host's /proc/irq is, when ours is read-only. */
export function openPinner(statePath: string, log: Log, { TAPLINE_IRQ: irq } = process.env): Pinner {
  mkdirSync(dirname(statePath), { recursive: true });
  const pinner = new Pinner({
    files: new HostFiles({ sys: "/sys", proc: "/proc", ...(irq === undefined ? {} : { irq }) }),
    statePath,
    now: () => BigInt(Date.now()) * 1_000_000n,
    driverName,
  });
  try {
    for (const { name, result, detail } of pinner.recover())
      log.notice("restored a setting of an earlier sensor", { name, result, detail });
  } catch (error) {
    if (!(error instanceof TaplineError) || error.code !== "PINNING_STATE_DAMAGED") throw error;
    log.error("could not restore what an earlier sensor changed", { error });
    pinner.recover();
  }
  return pinner;
}

/** Asking a driver for its counters may take a lock of its own: at most every five seconds. */
export function driverStatistics(now: () => number = () => performance.now()): DriverStatistics {
  const known = new Map<string, { readonly at: number; readonly counters: ReturnType<DriverStatistics> }>();
  return (name) => {
    const last = known.get(name);
    if (last && now() - last.at < 5000) return last.counters;
    const ethtool = asked(name);
    const counters = ethtool && supported(ethtool.statistics);
    known.set(name, { at: now(), counters });
    return counters;
  };
}
