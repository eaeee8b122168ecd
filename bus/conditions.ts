// What is wrong with the bus at the moment, one condition per matter, told when it begins, changes and ends and not in between.
import type { TaplineError } from "#domain/errors.ts";
import type { Condition } from "#domain/report.ts";
import { timeText } from "#domain/time.ts";

/** A condition that began or ended. */
export interface Told {
  readonly state: "raised" | "cleared";
  /** what it is about: "server nats:4222", "findings", … */
  readonly about: string;
  readonly error: TaplineError;
  /** ns since 1970 */
  readonly since: bigint;
}

/** Matters at most: a server that refuses ever new subjects must not fill the memory. */
const matterLimit = 32;

export class Conditions {
  readonly #standing = new Map<string, { readonly error: TaplineError; readonly since: bigint }>();
  readonly #now: () => bigint;
  readonly #tell: (told: Told) => void;

  /** `now`: ns since 1970. `tell`: for the log, and for condition findings. */
  constructor(now: () => bigint, tell: (told: Told) => void) {
    this.#now = now;
    this.#tell = tell;
  }

  /** The same code again is the same condition and is not told again. */
  raise(about: string, error: TaplineError): void {
    const before = this.#standing.get(about);
    if (before?.error.code === error.code) return;
    if (before) this.clear(about);
    else if (this.#standing.size >= matterLimit) return;
    const since = this.#now();
    this.#standing.set(about, { error, since });
    this.#tell({ state: "raised", about, error, since });
  }

  clear(about: string): void {
    const before = this.#standing.get(about);
    if (!before) return;
    this.#standing.delete(about);
    this.#tell({ state: "cleared", about, ...before });
  }

  /** Of every matter whose name begins so. */
  clearAll(beginning: string): void {
    for (const about of this.#standing.keys()) if (about.startsWith(beginning)) this.clear(about);
  }

  of(about: string): TaplineError | undefined {
    return this.#standing.get(about)?.error;
  }

  /** As a report carries them. */
  list(): Condition[] {
    return [...this.#standing.values()].map(({ error, since }) => ({
      code: error.code,
      since: timeText(since),
      message: error.message,
    }));
  }
}
