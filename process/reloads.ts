// SIGHUP: the file is read anew. Enters: the path, what runs now, and what applies a change. Leaves: the change applied, and
// what needs a restart named; or what ran before, untouched, and the refusal, which stands until a reload is taken.
import type { z } from "zod";
import { TaplineError } from "#domain/errors.ts";
import { configChanges, kept } from "./config-changes.ts";
import { loadConfig } from "./config.ts";
import type { Log } from "./log.ts";
import { exposedSecrets, secretFiles, type NamesSecrets } from "./secrets.ts";

export interface ReloadsOptions<S extends z.ZodType<NamesSecrets>> {
  readonly path: string;
  readonly schema: S;
  readonly log: Log;
}

export class Reloads<S extends z.ZodType<NamesSecrets>> {
  readonly #options: ReloadsOptions<S>;
  #running: z.output<S>;
  #refusal: TaplineError | undefined;
  readonly counts = { applied: 0, refused: 0 };

  constructor(running: z.output<S>, options: ReloadsOptions<S>) {
    this.#running = running;
    this.#options = options;
    this.#warnOfSecrets(running);
  }

  /** Why the configuration in the file is not the one that runs. */
  get refusal(): TaplineError | undefined {
    return this.#refusal;
  }

  /** `apply` throws when the configuration cannot be applied, and then has changed nothing. */
  async take(apply: (next: z.output<S>) => Promise<void>): Promise<void> {
    try {
      const { path, schema } = this.#options;
      const next = await loadConfig(path, schema);
      const { live, restart } = configChanges(schema, this.#running, next);
      if (live.length > 0) await apply(next);
      this.#taken(next, live, restart);
    } catch (cause) {
      this.counts.refused++;
      const detail = cause instanceof Error ? cause.message : String(cause);
      this.#refusal = new TaplineError(
        "CONFIG_REFUSED",
        { path: this.#options.path, detail, number: this.counts.refused },
        { cause },
      );
      throw cause;
    }
  }

  #taken(next: z.output<S>, live: readonly string[], restart: readonly string[]): void {
    this.counts.applied++;
    this.#refusal = undefined;
    this.#warnOfSecrets(next);
    if (restart.length > 0)
      this.#options.log.warning("left for a restart", {
        error: new TaplineError("CONFIG_NEEDS_RESTART", { paths: restart.join(", ") }),
      });
    this.#options.log.notice("reloaded the configuration", { applied: live, restart });
    // What needs a restart still differs from what runs: the next reload says so again.
    this.#running = kept(this.#running, next, restart);
  }

  #warnOfSecrets(config: z.output<S>): void {
    for (const error of exposedSecrets(secretFiles(config)))
      this.#options.log.warning("found a secret that others may read or write", { error });
  }
}
