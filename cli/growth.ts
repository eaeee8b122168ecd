// Does a figure grow? Enters: samples in order of time, equally far apart. Leaves: by how much from first to last, and whether
// that is a trend or noise.
//
// Slope: Theil–Sen, the median of the slopes of all pairs: a garbage collector's saw-tooth or a single spike does not move it.
// Trend: the Mann–Kendall test, how many pairs rise less how many fall, against what chance would do.
import { median } from "./numbers.ts";

export interface Growth {
  /** slope times the time from the first to the last sample, in the samples' unit */
  readonly by: number;
  /** standard deviations away from "no trend"; above 2.33 chance does it once in a hundred times */
  readonly z: number;
}

const significant = 2.33;
/** With fewer samples no order of them is significant. */
export const fewestSamples = 8;

export function growthOf(samples: readonly number[]): Growth {
  const n = samples.length;
  if (n < fewestSamples) throw new RangeError(`growth needs at least ${fewestSamples} samples, not ${n}`);
  const slopes: number[] = [];
  let rising = 0;
  for (const [i, from] of samples.entries()) {
    for (let j = i + 1; j < n; j++) {
      const step = (samples[j] ?? 0) - from;
      slopes.push(step / (j - i));
      rising += Math.sign(step);
    }
  }
  // Equal values make the test's spread smaller; each group of t equal ones by t(t-1)(2t+5).
  const groups = new Map<number, number>();
  for (const value of samples) groups.set(value, (groups.get(value) ?? 0) + 1);
  const spread = (t: number): number => t * (t - 1) * (2 * t + 5);
  const variance = (spread(n) - [...groups.values()].reduce((sum, t) => sum + spread(t), 0)) / 18;
  const z = variance === 0 ? 0 : (rising - Math.sign(rising)) / Math.sqrt(variance);
  return { by: median(slopes) * (n - 1), z };
}

/** A trend upwards, and one that matters: by more than `allowed`. */
export const grows = ({ by, z }: Growth, allowed: number): boolean => by > allowed && z > significant;
