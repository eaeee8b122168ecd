// Whether a status says something new. Pure. Conditions are compared by what they say, not by when; counters that go on counting are minor, as are rates that waver; a counter of
// losses that rises, a flow that begins or ends, and all else are major.
import { isDeepStrictEqual } from "node:util";
import type { Change } from "./write-gate.ts";

/** Names of fields that are losses, wherever they stand. */
const losses = new Set(["lost", "dropped", "drops", "refused", "suspect"]);
const rates = new Set(["pps", "bps"]);
/** They follow the clock, not the fleet. */
const times = new Set(["lastReport", "lastTransitionTime", "lastPacket"]);
/** Where something pinned is now: what is not where it is wished stands in `drift`, too. */
const places = new Set(["actual", "effective"]);
/** A rate that is within this share of what was told wavers. */
const wavers = 0.1;

export function changeOf(before: unknown, now: unknown): Change {
  if (isDeepStrictEqual(before, now)) return "none";
  return compare(before, now, false, "");
}

function compare(before: unknown, now: unknown, loss: boolean, key: string): Change {
  if (before === now) return "none";
  if (times.has(key) || places.has(key)) return "minor";
  if (typeof before === "number" && typeof now === "number") return compareNumbers(before, now, loss, key);
  if (key === "conditions" && Array.isArray(before) && Array.isArray(now)) return sameVerdicts(before, now) ? "minor" : "major"; // biome-ignore format: one row
  if (!isObject(before) || !isObject(now)) return "major";
  let worst: Change = "none";
  for (const name of new Set([...Object.keys(before), ...Object.keys(now)])) {
    const change = compare(before[name], now[name], loss || losses.has(name), Array.isArray(now) ? key : name);
    if (change === "major") return "major";
    if (change === "minor") worst = "minor";
  }
  return worst;
}

function compareNumbers(before: number, now: number, loss: boolean, key: string): Change {
  if (rates.has(key)) {
    if (before === 0 || now === 0) return "major";
    return Math.abs(now - before) > wavers * before ? "major" : "minor";
  }
  if (loss) return "major";
  return now > before && before > 0 ? "minor" : "major";
}

/** What they mean: their status and reason. A message alone may count. */
function sameVerdicts(before: readonly unknown[], now: readonly unknown[]): boolean {
  const verdict = (all: readonly unknown[]): unknown[] =>
    all.map((one) => {
      const { type, status, reason, observedGeneration } = one as Record<string, unknown>;
      return [type, status, reason, observedGeneration];
    });
  return isDeepStrictEqual(verdict(before), verdict(now));
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
