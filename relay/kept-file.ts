// A value that outlives the process, in a file that is whole at every moment: written beside and renamed, the one before kept. What cannot be read is
// moved aside and never deleted; the one before is used instead.
import { link, open, readFile, rename, rm } from "node:fs/promises";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { TaplineError } from "#domain/errors.ts";

export interface Kept<T> {
  /** undefined: there was none yet */
  readonly value: T | undefined;
  /** what had to be moved aside; RELAY_STATE_DAMAGED */
  readonly damage: TaplineError | undefined;
}

const isAbsent = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";

export class KeptFile<T> {
  readonly path: string;
  readonly #parse: (value: unknown) => T | Promise<T>;

  /** `parse` throws what is wrong with it. */
  constructor(path: string, parse: (value: unknown) => T | Promise<T>) {
    this.path = path;
    this.#parse = parse;
  }

  get #last(): string {
    return `${this.path}.last`;
  }

  async load(nowMs: number): Promise<Kept<T>> {
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    const newest = await this.#read(this.path);
    if (newest.value !== undefined) return { value: newest.value, damage: undefined };
    const before = await this.#read(this.#last);
    const { value } = before;
    const detail = newest.detail ?? before.detail;
    if (detail === undefined) return { value, damage: undefined };
    const damaged = newest.detail === undefined ? this.#last : this.path;
    const kept = `${damaged}.damaged-${new Date(nowMs).toISOString().replaceAll(":", "")}`;
    await rename(damaged, kept);
    const used = value === undefined ? "there is none before it" : `the one before it (${this.#last}) is used`;
    return { value, damage: new TaplineError("RELAY_STATE_DAMAGED", { path: damaged, detail, kept, used }) };
  }

  /** Neither value nor detail: there is no such file. */
  async #read(path: string): Promise<{ readonly value?: T; readonly detail?: string }> {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if (isAbsent(error)) return {};
      throw new TaplineError("FILE_UNREADABLE", { path, detail: (error as Error).message }, { cause: error });
    }
    try {
      return { value: await this.#parse(JSON.parse(text)) };
    } catch (error) {
      const [first = "it cannot be read"] = (error as Error).message.split("\n");
      return { detail: text === "" ? "it is empty" : first.slice(0, 200) };
    }
  }

  /** Throws RELAY_STATE_UNWRITABLE, and then nothing was changed. One at a time. */
  async save(value: unknown): Promise<void> {
    const made = `${this.path}.new`;
    try {
      await using file = await open(made, "w", 0o600);
      await file.writeFile(`${JSON.stringify(value)}\n`);
      await file.sync();
      await this.#keepLast();
      await rename(made, this.path);
      await using folder = await open(dirname(this.path), "r");
      await folder.sync();
    } catch (error) {
      await rm(made, { force: true });
      throw new TaplineError(
        "RELAY_STATE_UNWRITABLE",
        { path: this.path, detail: (error as Error).message },
        { cause: error },
      );
    }
  }

  /** It and the one before. What was moved aside stays. */
  async remove(): Promise<void> {
    for (const path of [this.path, this.#last]) await rm(path, { force: true });
  }

  async #keepLast(): Promise<void> {
    const linked = `${this.#last}.new`;
    await rm(linked, { force: true });
    try {
      await link(this.path, linked);
    } catch (error) {
      if (isAbsent(error)) return; // the first
      throw error;
    }
    await rename(linked, this.#last);
  }
}
