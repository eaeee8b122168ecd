// How long to wait after so many failures in a row: twice as long each time, to a longest, and half of it by chance, so that many do not come back at once.

export interface Backoff {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** `failures` from 1; `random` in [0, 1). */
export function pauseMs({ firstMs, longestMs }: Backoff, failures: number, random: () => number): number {
  const whole = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return whole * (0.5 + random() / 2);
}
