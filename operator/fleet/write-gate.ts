// When a status is written: at most every ten seconds for each object, only when it means something new, and for all objects together no faster than the API shall be asked.
// Enters: each object's status as it is now, as often as one likes. Leaves: those to be written, what matters most first. Bounded by the objects that exist.

/** minor: figures went on as they did; major: a condition, a loss, a beginning or an end. */
export type Change = "none" | "minor" | "major";

export interface GateLimits {
  /** between two writes of one object */
  readonly leastMs: number;
  /** until a minor change is worth a write */
  readonly minorMs: number;
  /** of all objects together, a second */
  readonly perSecond: number;
  /** of those at once */
  readonly burst: number;
}

interface Entry<Status> {
  written: Status | undefined;
  writtenAt: number;
  now: Status | undefined;
  majorSince: number | undefined;
}

export class WriteGate<Status> {
  readonly #limits: GateLimits;
  readonly #compare: (before: Status, now: Status) => Change;
  readonly #entries = new Map<string, Entry<Status>>();
  #tokens: number;
  #at: number | undefined;

  constructor(limits: GateLimits, compare: (before: Status, now: Status) => Change) {
    this.#limits = limits;
    this.#compare = compare;
    this.#tokens = limits.burst;
  }

  /** What the API has; an operator that begins need not write it again. */
  known(name: string, status: Status): void {
    this.#entries.set(name, { written: status, writtenAt: -Infinity, now: undefined, majorSince: undefined });
  }
  forget(name: string): void {
    this.#entries.delete(name);
  }

  offer(name: string, status: Status, now: number): void {
    const entry = this.#entries.get(name) ?? { written: undefined, writtenAt: -Infinity, now: undefined, majorSince: undefined }; // biome-ignore format: one row
    this.#entries.set(name, entry);
    const change = entry.written === undefined ? "major" : this.#compare(entry.written, status);
    entry.now = change === "none" ? undefined : status;
    if (change === "major") entry.majorSince ??= now;
    else entry.majorSince = undefined;
  }

  /** To be written now; each counts as written, unless `failed` says otherwise. */
  due(now: number): { readonly name: string; readonly status: Status }[] {
    const { leastMs, minorMs, perSecond, burst } = this.#limits;
    this.#tokens = Math.min(burst, this.#tokens + ((now - (this.#at ?? now)) / 1000) * perSecond);
    this.#at = now;
    const waiting = [...this.#entries].filter(
      ([, { now: status, majorSince, writtenAt }]) =>
        status !== undefined && now - writtenAt >= (majorSince === undefined ? minorMs : leastMs),
    );
    const rank = ({ majorSince, writtenAt }: Entry<Status>): number => majorSince ?? writtenAt + 1e12;
    const chosen = waiting.toSorted(([, a], [, b]) => rank(a) - rank(b)).slice(0, Math.floor(this.#tokens));
    this.#tokens -= chosen.length;
    return chosen.map(([name, entry]) => {
      const status = entry.now as Status;
      Object.assign(entry, { written: status, writtenAt: now, now: undefined, majorSince: undefined });
      return { name, status };
    });
  }

  /** It could not be written: it is new again, after the usual time. */
  failed(name: string): void {
    const entry = this.#entries.get(name);
    if (entry) entry.written = undefined;
  }
}
