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

/** What each measurement found in each valid round. */
export interface Found<Name extends string, Result> {
  readonly found: Readonly<Record<Name, readonly Result[]>>;
  readonly voided: number;
}

export async function interleaved<Name extends string, Result>(
  title: string,
  wanted: number,
  measurements: Readonly<Record<Name, () => Result | Promise<Result>>>,
  signal: AbortSignal,
): Promise<Found<Name, Result>> {
  const names = Object.keys(measurements) as Name[];
  const all = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Result[]>;
  let valid = 0;
  let voided = 0;
  let done = 0;
  using _bar = progress(title, () => ({
    share: (valid + done / names.length) / wanted,
    notes: voided === 0 ? [] : [`${voided} voided`],
  }));
  for (let round = 0; valid < wanted; round++) {
    // Each goes first in turn: what a round leaves in the caches favours nobody.
    const order = names.map((_, i) => names[(i + round) % names.length] as Name);
    const found: [Name, Result][] = [];
    done = 0;
    const { steal } = await stealDuring(async () => {
      for (const name of order) {
        signal.throwIfAborted();
        found.push([name, await measurements[name]()]);
        done += 1;
        await new Promise(setImmediate); // the bar, Ctrl-C
      }
    });
    done = 0;
    if (steal > stealLimit && voided < wanted * 3) {
      voided += 1;
      continue;
    }
    if (steal > stealLimit)
      throw new Error(
        `the machine is too busy to measure: in ${voided + 1} of ${round + 1} rounds the hypervisor took more than 1 % of the processor`,
      );
    for (const [name, result] of found) all[name].push(result);
    valid += 1;
  }
  return { found: all, voided };
}

export async function interleave<Name extends string>(
  title: string,
  wanted: number,
  measurements: Readonly<Record<Name, () => number>>,
  signal: AbortSignal,
): Promise<Rounds<Name>> {
  const { found, voided } = await interleaved(title, wanted, measurements, signal);
  const series = Object.fromEntries(
    (Object.entries(found) as [Name, readonly number[]][]).map(([name, ns]) => [name, seriesOf(name, ns)]),
  ) as Record<Name, Series>;
  return { series, voided };
}
