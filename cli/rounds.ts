// Interleaved rounds of several measurements: each round runs all of them, so that what disturbs one disturbs the others.
import { stealDuring } from "./machine.ts";
import { median } from "./numbers.ts";
import { progress } from "./progress.ts";

export interface Series {
  readonly name: string;
  /** ns of each valid round */
  readonly ns: readonly number[];
  readonly median: number;
  readonly best: number;
}

export interface Rounds<Name extends string> {
  readonly series: Readonly<Record<Name, Series>>;
  /** rounds that did not count because the hypervisor took the processor away */
  readonly voided: number;
}

/** More than this share taken by others voids a round. */
const stealLimit = 0.01;

const seriesOf = (name: string, ns: readonly number[]): Series => ({
  name,
  ns,
  median: median(ns),
  best: Math.min(...ns),
});

export async function interleave<Name extends string>(
  title: string,
  wanted: number,
  measurements: Readonly<Record<Name, () => number>>,
  signal: AbortSignal,
): Promise<Rounds<Name>> {
  const names = Object.keys(measurements) as Name[];
  const times = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>;
  let valid = 0;
  let voided = 0;
  using _bar = progress(title, () => ({ share: valid / wanted, notes: voided === 0 ? [] : [`${voided} voided`] }));
  for (let round = 0; valid < wanted; round++) {
    // Each goes first in turn: what a round leaves in the caches favours nobody.
    const order = names.map((_, i) => names[(i + round) % names.length] as Name);
    const found: [Name, number][] = [];
    const { steal } = await stealDuring(async () => {
      for (const name of order) {
        signal.throwIfAborted();
        found.push([name, measurements[name]()]);
        await new Promise(setImmediate); // the bar, Ctrl-C
      }
    });
    if (steal > stealLimit && voided < wanted * 3) {
      voided += 1;
      continue;
    }
    if (steal > stealLimit)
      throw new Error(
        `the machine is too busy to measure: in ${voided + 1} of ${round + 1} rounds the hypervisor took more than 1 % of the processor`,
      );
    for (const [name, ns] of found) times[name].push(ns);
    valid += 1;
  }
  return {
    series: Object.fromEntries(names.map((name) => [name, seriesOf(name, times[name])])) as Record<Name, Series>,
    voided,
  };
}
