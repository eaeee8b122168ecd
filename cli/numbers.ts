// How figures are written for people: grouped, with units, never more digits than mean something.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const digits = [0, 1, 2, 3].map(
  (count) => new Intl.NumberFormat("en-US", { minimumFractionDigits: count, maximumFractionDigits: count }),
);
const fixed = (value: number, count: number): string => (digits[count] ?? whole).format(value);

/** 1234567 → 1,234,567 */
export const grouped = (value: number | bigint): string => whole.format(value);

/** Three significant digits: 8.16, 81.6, 816 */
const three = (value: number): string => fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);

const scaled = (value: number, step: number, units: readonly string[]): string => {
  let at = 0;
  while (value >= step * 0.9995 && at < units.length - 1) {
    value /= step;
    at += 1;
  }
  return at === 0 ? `${grouped(value)} ${units[0]}` : `${three(value)} ${units[at]}`;
};

/** 412345678 → 412 MB */
export const bytes = (value: number): string => scaled(value, 1000, ["B", "kB", "MB", "GB", "TB"]);
/** For memory, where limits are powers of two. */
export const mebibytes = (value: number): string => `${three(value / 2 ** 20)} MiB`;
/** 8160000 → 8.16 M */
export const count = (value: number): string => scaled(value, 1000, ["", "k", "M", "G"]).trimEnd();
export const packetRate = (perSecond: number): string =>
  perSecond < 1000 ? `${grouped(perSecond)} packets/s` : `${count(perSecond)} packets/s`;
export const bitRate = (perSecond: number): string =>
  scaled(perSecond, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);

/** 98000000 → 98.0 ms */
export const duration = (ns: number): string => {
  if (ns < 1000) return `${fixed(ns, ns < 10 ? 2 : ns < 100 ? 1 : 0)} ns`;
  if (ns < 999_500) return `${three(ns / 1e3)} µs`;
  if (ns < 999_500_000) return `${three(ns / 1e6)} ms`;
  return ns < 120e9
    ? `${three(ns / 1e9)} s`
    : `${grouped(Math.floor(ns / 60e9))} min ${grouped(Math.floor(ns / 1e9) % 60)} s`;
};

/** A share of a whole; a loss that exists is never shown as 0. */
export const percent = (part: number, total: number): string => {
  if (total === 0 || part === 0) return "0 %";
  const value = (part / total) * 100;
  return value < 0.001 ? "< 0.001 %" : `${fixed(value, value < 1 ? 3 : 2)} %`;
};

/** 1.6 → 1.60 × */
export const times = (ratio: number): string => `${three(ratio)} ×`;

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
};
