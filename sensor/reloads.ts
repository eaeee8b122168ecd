// SIGHUP: the file is read anew. Enters: the path, what runs now, and what applies a change. Leaves: the change applied, and
// what needs a restart named; or what ran before, untouched, and the refusal, which stands until a reload is taken.
import { TaplineError } from "#domain/errors.ts";
import { sensorConfig, type SensorConfig } from "#domain/sensor-config.ts";
import { configChanges } from "#process/config-changes.ts";
import { loadConfig } from "#process/config.ts";
import type { Log } from "#process/log.ts";
import { exposedSecrets } from "#process/secrets.ts";
import { secretFiles } from "./settings.ts";

export class Reloads {
  readonly #path: string;
  readonly #log: Log;
  #running: SensorConfig;
  #refusal: TaplineError | undefined;
  readonly counts = { applied: 0, refused: 0 };

  constructor(path: string, running: SensorConfig, log: Log) {
    this.#path = path;
    this.#running = running;
    this.#log = log;
    this.#warnOfSecrets(running);
  }

  /** Why the configuration in the file is not the one that runs. */
  get refusal(): TaplineError | undefined {
    return this.#refusal;
  }

  /** `apply` throws when the configuration cannot be applied, and then has changed nothing. */
  async take(apply: (next: SensorConfig) => Promise<void>): Promise<void> {
    try {
      const next = await loadConfig(this.#path, sensorConfig);
      const { live, restart } = configChanges(sensorConfig, this.#running, next);
      if (live.length > 0) await apply(next);
      this.#taken(next, live, restart);
    } catch (cause) {
      this.counts.refused++;
      const detail = cause instanceof Error ? cause.message : String(cause);
      this.#refusal = new TaplineError(
        "CONFIG_REFUSED",
        { path: this.#path, detail, number: this.counts.refused },
        { cause },
      );
      throw cause;
    }
  }

  #taken(next: SensorConfig, live: readonly string[], restart: readonly string[]): void {
    this.counts.applied++;
    this.#refusal = undefined;
    this.#warnOfSecrets(next);
    if (restart.length > 0)
      this.#log.warning("left for a restart", {
        error: new TaplineError("CONFIG_NEEDS_RESTART", { paths: restart.join(", ") }),
      });
    this.#log.notice("reloaded the configuration", { applied: live, restart });
    // What needs a restart still differs from what runs: the next reload says so again.
    this.#running = kept(this.#running, next, restart);
  }

  #warnOfSecrets(config: SensorConfig): void {
    for (const error of exposedSecrets(secretFiles(config)))
      this.#log.warning("found a secret that others may read or write", { error });
  }
}

/** What runs now: the new configuration with the old values of what needs a restart. */
function kept(running: SensorConfig, next: SensorConfig, restart: readonly string[]): SensorConfig {
  const merged = structuredClone(next);
  for (const path of restart) {
    const keys = path.split(".");
    const last = keys.pop() ?? "";
    const at = (config: SensorConfig): Record<string, unknown> =>
      keys.reduce(
        (section, key) => section[key] as Record<string, unknown>,
        config as unknown as Record<string, unknown>,
      );
    at(merged)[last] = at(running)[last];
  }
  return merged;
}
