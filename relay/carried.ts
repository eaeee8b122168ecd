// Which engine carries each rule, kept on disk: the next process leaves them where they are. Enters: how the rules stand, whenever they were programmed.
import { join } from "node:path";
import { z } from "zod";
import { type RelayEngine, relayEngines } from "#domain/vocabulary.ts";
import type { Log } from "#process/log.ts";
import { KeptFile } from "./kept-file.ts";
import type { Stand } from "./programme.ts";

const kept = z.record(z.string(), z.enum(relayEngines));
/** Many changes in a row are one. */
const gatherMs = 500;

export class Carried {
  readonly engines: ReadonlyMap<string, RelayEngine>;
  readonly #file: KeptFile<unknown>;
  readonly #log: Log;
  #saved: string;
  #wanted: string;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();

  private constructor(file: KeptFile<unknown>, engines: Readonly<Record<string, RelayEngine>>, log: Log) {
    this.#file = file;
    this.#log = log;
    this.engines = new Map(Object.entries(engines));
    this.#saved = JSON.stringify(engines);
    this.#wanted = this.#saved;
  }

  /** What cannot be read is as if there were none: every rule is chosen for anew. */
  static async open(folder: string, log: Log): Promise<Carried> {
    const file = new KeptFile(join(folder, "engines.json"), (value) => kept.parse(value));
    const { value = {}, damage } = await file.load(Date.now());
    if (damage) log.warning("could not read what was kept", { error: damage });
    return new Carried(file, value, log);
  }

  note(stands: ReadonlyMap<string, Stand>): void {
    const engines = [...stands.values()].flatMap(({ rule, engine }) => (engine === null ? [] : [[rule.id, engine]]));
    this.#wanted = JSON.stringify(Object.fromEntries(engines));
    this.#timer ??= setTimeout(() => this.#save(), gatherMs).unref();
  }

  async close(): Promise<void> {
    this.#save();
    await this.#saving;
  }

  /** After close: the next process chooses for every rule anew. */
  remove(): Promise<void> {
    return this.#file.remove();
  }

  #save(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#wanted === this.#saved) return;
    this.#saved = this.#wanted;
    const value: unknown = JSON.parse(this.#wanted);
    this.#saving = this.#saving
      .then(() => this.#file.save(value))
      .catch((error: unknown) => this.#log.warning("could not keep which engines carry the rules", { error }));
  }
}
