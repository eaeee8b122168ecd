// Numbers as people type them, checked. What does not parse is a usage error (exit code 2).
import { InvalidArgumentError } from "commander";

/** Options that contradict each other, or of which one is missing. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const suffixes: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9 };

/** 500000, 500_000, 500k, 1.5M, 1e6 */
function plain(text: string): number {
  const match = /^(\d[\d_]*(?:\.\d+)?(?:e\d+)?|\.\d+)([kmg]?)$/i.exec(text.trim());
  if (match === null) return NaN;
  const number = Number((match[1] ?? "").replaceAll("_", "")) * (suffixes[(match[2] ?? "").toLowerCase()] ?? 1);
  return Number.isFinite(number) ? number : NaN;
}

/** A whole number from `least` to `most`. */
export const whole =
  (least: number, most: number = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = plain(text);
    // 1.1 * 1e6 is not exactly a whole number in binary
    const rounded = Math.round(value);
    if (Math.abs(value - rounded) > 1e-6 || !(rounded >= least && rounded <= most)) {
      const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`It must be a whole number ${range}; 500k and 10M are understood.`);
    }
    return rounded;
  };

/** A number above 0. */
export const positive = (text: string): number => {
  const value = plain(text);
  if (!(value > 0)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
};

/** A share: 0.05 or 5%. */
export const rate =
  (most: number) =>
  (text: string): number => {
    const percent = text.endsWith("%");
    const value = plain(percent ? text.slice(0, -1) : text) / (percent ? 100 : 1);
    if (!(value >= 0 && value <= most))
      throw new InvalidArgumentError(`It must be a rate from 0 to ${most}; 0.05 and 5% are the same.`);
    return value;
  };

/** Seconds, or with a unit: 60, 0.5, 500ms, 2s, 5m, 1h. */
export const seconds = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h)?$/.exec(text.trim());
  const unit = { ms: 1e-3, s: 1, m: 60, h: 3600 }[match?.[2] ?? "s"] ?? 1;
  const value = match === null ? NaN : Number(match[1]) * unit;
  if (!(value > 0 && value <= 30 * 86_400)) {
    throw new InvalidArgumentError("It must be a time in seconds, or with a unit: 500ms, 2s, 5m, 1h.");
  }
  return value;
};
