// The state file: what each changed setting was before, so that it can be put back, even by the next agent after a crash.
// It is on the disk before the first setting is written, and names its owner: a process (by number and start time) of this boot.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { TaplineError } from "#domain/errors.ts";
import { errno, type HostFiles } from "./files.ts";

const named = { interface: z.string() };
const placed = { ...named, index: z.int() };
const saved = z.object({
  setting: z.discriminatedUnion("item", [
    z.object({ item: z.literal("irq"), ...named, irq: z.int().min(0), name: z.string() }),
    z.object({ item: z.literal("rps"), ...placed, queue: z.string().regex(/^rx-\d+$/) }),
    z.object({ item: z.literal("threaded"), ...placed }),
    z.object({ item: z.literal("napi"), ...placed, thread: z.string() }),
  ]),
  before: z.string().regex(/^[\d,-]*$/),
  /** what we may have set it to, the newest last: a crash between saving and writing leaves the one before in force */
  ours: z.array(z.string()),
});
const state = z.object({
  version: z.literal(1),
  boot: z.string(),
  pid: z.int().min(1),
  started: z.string(),
  saved: z.array(saved),
});

export type Saved = z.infer<typeof saved>;
export type Owner = "this process" | "a running process" | "a dead process" | "an earlier boot";

export interface Found {
  readonly owner: Owner;
  readonly pid: number;
  readonly saved: readonly Saved[];
}

export class StateFile {
  readonly path: string;
  readonly #files: HostFiles;
  readonly #pid: number;

  constructor(path: string, files: HostFiles, pid: number) {
    this.path = path;
    this.#files = files;
    this.#pid = pid;
  }

  /** Undefined when there is none. A damaged one is moved aside, and said. */
  load(): Found | undefined {
    let text: string;
    try {
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if (errno(error) === "ENOENT") return undefined;
      throw new TaplineError("HOST_UNREADABLE", { path: this.path, detail: errno(error) }, { cause: error });
    }
    const parsed = state.safeParse(json(text));
    if (!parsed.success) {
      renameSync(this.path, `${this.path}.damaged`);
      const [issue] = parsed.error.issues;
      throw new TaplineError("PINNING_STATE_DAMAGED", {
        path: `${this.path}.damaged`,
        detail: `${issue?.path.join(".") || "the whole"}: ${issue?.message}`,
      });
    }
    const { boot, pid, started } = parsed.data;
    return { owner: this.#owner(boot, pid, started), pid, saved: parsed.data.saved };
  }

  /** Whole or not at all, and on the disk when this returns. */
  save(list: readonly Saved[]): void {
    const text = JSON.stringify(
      { version: 1, boot: this.#boot(), pid: this.#pid, started: this.#started(this.#pid) ?? "", saved: list },
      null,
      1,
    );
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
      const fresh = `${this.path}.new`;
      const file = openSync(fresh, "w", 0o600);
      try {
        writeSync(file, text);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(fresh, this.path);
      this.#syncFolder();
    } catch (error) {
      throw new TaplineError("PINNING_STATE_UNWRITABLE", { path: this.path, detail: errno(error) }, { cause: error });
    }
  }

  remove(): void {
    try {
      rmSync(this.path, { force: true });
      this.#syncFolder();
    } catch (error) {
      throw new TaplineError("PINNING_STATE_UNWRITABLE", { path: this.path, detail: errno(error) }, { cause: error });
    }
  }

  #syncFolder(): void {
    const folder = openSync(dirname(this.path), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }

  #owner(boot: string, pid: number, started: string): Owner {
    if (boot !== this.#boot()) return "an earlier boot";
    const now = this.#started(pid);
    // A number is given again after a while; a start time with it is not.
    if (pid === this.#pid && started === (now ?? "")) return "this process";
    return now !== undefined && now === started ? "a running process" : "a dead process";
  }

  #boot(): string {
    return this.#files.text(this.#files.proc("sys/kernel/random/boot_id")) ?? "";
  }

  /** Clock ticks from boot to the process's start: field 22 of its stat, counted behind the name, which may hold anything. */
  #started(pid: number): string | undefined {
    return this.#files
      .text(this.#files.proc(`${pid}`, "stat"))
      ?.replace(/^.*\) /s, "")
      .split(" ")[19];
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // the schema refuses it
    throw error;
  }
}
