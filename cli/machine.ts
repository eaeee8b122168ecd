// What a measurement needs to know of the machine: caches, memory, and whether somebody else took the processor meanwhile.
import { readFileSync, statfsSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined; // a machine that does not say
  }
};

/** Size in bytes of a level of the first processor's data cache. */
function cacheSize(level: number): number | undefined {
  for (let index = 0; index < 8; index++) {
    const folder = `/sys/devices/system/cpu/cpu0/cache/index${index}`;
    if (read(`${folder}/level`) !== String(level) || read(`${folder}/type`) === "Instruction") continue;
    const match = /^(\d+)([KM])$/.exec(read(`${folder}/size`) ?? "");
    if (match !== null) return Number(match[1]) * (match[2] === "M" ? 2 ** 20 : 1024);
  }
  return undefined;
}

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly kernel: string;
  readonly l2: number | undefined;
  readonly l3: number | undefined;
}

export const machine = (): Machine => ({
  processor: cpus()[0]?.model ?? "unknown",
  cores: availableParallelism(),
  kernel: read("/proc/sys/kernel/osrelease") ?? "unknown",
  l2: cacheSize(2),
  l3: cacheSize(3),
});

export function availableMemory(): number {
  return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(read("/proc/meminfo") ?? "")?.[1] ?? 0) * 1024;
}
export function freeDisk(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** [stolen, all] processor time so far, in ticks. */
function processorTime(): readonly [number, number] {
  const fields = (read("/proc/stat")?.split("\n")[0] ?? "").trim().split(/\s+/).slice(1, 9).map(Number);
  return [fields[7] ?? 0, fields.reduce((sum, ticks) => sum + ticks, 0)];
}

/** Share of the processor that the hypervisor gave to others while `work` ran. */
export async function stealDuring<T>(
  work: () => T | Promise<T>,
): Promise<{ readonly value: T; readonly steal: number }> {
  const [stolen, all] = processorTime();
  const value = await work();
  const [stolenAfter, allAfter] = processorTime();
  return { value, steal: allAfter > all ? (stolenAfter - stolen) / (allAfter - all) : 0 };
}
