// Times and durations in whole nanoseconds, as text and back.

/** 2026-11-21T10:00:00.000000001Z, always with nine digits, so that texts sort like times. */
export function timeText(ns: bigint): string {
  const second = 1_000_000_000n;
  let seconds = ns / second;
  let rest = ns % second;
  if (rest < 0n) [seconds, rest] = [seconds - 1n, rest + second];
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return `${ns} ns`; // beyond the years a Date knows
  return `${date.toISOString().slice(0, -5)}.${String(rest).padStart(9, "0")}Z`;
}

const form = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?$/i;

/** ISO 8601; without a zone it is UTC. Undefined when it is none. */
export function parseTime(text: string): bigint | undefined {
  const match = form.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour = "00", minute = "00", second = "00", fraction = "", zone = "Z"] = match;
  const milliseconds = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone.toUpperCase()}`);
  if (Number.isNaN(milliseconds)) return undefined;
  // Date.parse turns 30 February into 2 March; we refuse it.
  if (new Date(`${year}-${month}-${day}T00:00:00Z`).getUTCDate() !== Number(day)) return undefined;
  return BigInt(milliseconds) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

const units = {
  d: 86_400_000_000_000n,
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1000n,
  ns: 1n,
};

/** 1.5s, 200ms, 3us, 2m, 1h, 7d. Undefined when it is none or finer than a nanosecond. */
export function parseDuration(text: string): bigint | undefined {
  const [, whole, fraction = "", unit] = /^(\d{1,19})(?:\.(\d{1,18}))?(d|h|m|s|ms|us|ns)$/.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const scaled = BigInt(whole + fraction) * units[unit as keyof typeof units];
  const scale = 10n ** BigInt(fraction.length);
  return scaled % scale === 0n ? scaled / scale : undefined;
}

/** In the largest unit that needs no fraction. */
export function durationText(ns: bigint): string {
  for (const [unit, size] of Object.entries(units))
    if (ns % size === 0n && (ns !== 0n || unit === "s")) return `${ns / size}${unit}`;
  return `${ns}ns`;
}
