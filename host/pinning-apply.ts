// Settings are changed here and nowhere else: the old value is saved first, what the kernel refuses is recorded for each, and what
// somebody else has changed since is left alone when the old state is put back.
import { isDeepStrictEqual } from "node:util";
import { TaplineError } from "#domain/errors.ts";
import type { Restored } from "#domain/pinning.ts";
import type { Saved, StateFile } from "./pinning-state.ts";
import { type HostSettings, nameOf, type Setting, type Wanted } from "./settings.ts";

/** Values we may have set, kept for one setting; older ones cannot be in force any more. */
const remembered = 4;

export class Applied {
  readonly #settings: HostSettings;
  readonly #state: StateFile;
  #saved = new Map<string, Saved>();
  /** why nothing may be changed: another process lives by the same state file */
  #blocked: string | undefined;

  constructor(settings: HostSettings, state: StateFile) {
    this.#settings = settings;
    this.#state = state;
  }

  /** Why each of them could not be set, by name. One that fails does not stop the rest. */
  apply(wanted: readonly Wanted[]): Map<string, string> {
    const problems = new Map<string, string>();
    const before = new Map(this.#saved);
    const changes = wanted.filter(({ setting, desired }) => {
      const now = this.#settings.read(setting);
      if (now.kind !== "value") {
        problems.set(nameOf(setting), now.why);
        return false;
      }
      if (now.value === desired) return false;
      this.#note(setting, now.value, desired);
      return true;
    });
    if (changes.length === 0) return problems;
    const blocked = this.#blocked ?? this.#trySave();
    if (blocked !== undefined) {
      this.#saved = before;
      for (const { setting } of changes) problems.set(nameOf(setting), blocked);
      return problems;
    }
    let differs = false;
    for (const { setting, desired } of changes) {
      const problem = this.#settings.write(setting, desired);
      const now = this.#settings.read(setting);
      if (problem !== undefined) problems.set(nameOf(setting), problem);
      else if (now.kind === "value" && now.value !== desired) {
        // The kernel took part of it: what it made of it is ours, too.
        problems.set(nameOf(setting), `the kernel made it ${now.value}`);
        this.#note(setting, now.value, now.value);
        differs = true;
      }
    }
    if (differs) this.#state.save([...this.#saved.values()]);
    return problems;
  }

  /** What cannot be undone is not done: why not, when the old values cannot be saved. */
  #trySave(): string | undefined {
    try {
      this.#state.save([...this.#saved.values()]);
      return undefined;
    } catch (error) {
      if (error instanceof TaplineError) return error.message;
      throw error;
    }
  }

  #note(setting: Setting, now: string, ours: string): void {
    const name = nameOf(setting);
    const found = this.#saved.get(name);
    // The same name on another interface (made again since) is another setting.
    const known = found !== undefined && isDeepStrictEqual(found.setting, setting) ? found : undefined;
    this.#saved.set(name, {
      setting,
      before: known?.before ?? now,
      ours: [...(known?.ours ?? []).filter((value) => value !== ours), ours].slice(-remembered),
    });
  }

  /** Puts back what `which` names, all by default; what the kernel refuses stays in the state file, for the next start. */
  restore(which: (setting: Setting) => boolean = () => true): Restored[] {
    const leaving = [...this.#saved.values()].filter(({ setting }) => which(setting));
    if (leaving.length === 0) return [];
    const results = restoreAll(this.#settings, leaving);
    for (const [i, { setting }] of leaving.toReversed().entries())
      if (results[i]?.result !== "failed") this.#saved.delete(nameOf(setting));
    if (this.#saved.size === 0) this.#state.remove();
    else this.#state.save([...this.#saved.values()]);
    return results;
  }

  /** Puts back what a dead process left. What stood before an earlier boot is no more: the kernel began anew. */
  recover(): Restored[] {
    const found = this.#state.load();
    if (found === undefined) return [];
    switch (found.owner) {
      case "a running process": {
        const error = new TaplineError("PINNING_STATE_IN_USE", { path: this.#state.path, pid: found.pid });
        this.#blocked = error.message;
        throw error;
      }
      case "an earlier boot":
        this.#state.remove();
        return [];
      case "this process":
      case "a dead process":
        this.#saved = new Map(found.saved.map((one) => [nameOf(one.setting), one]));
        return this.restore();
    }
  }
}

/** Last changed, first restored: a NAPI thread's CPUs before the switch that ends the thread. */
function restoreAll(settings: HostSettings, saved: readonly Saved[]): Restored[] {
  return saved.toReversed().map((one): Restored => {
    const { setting, before, ours } = one;
    const tell = (result: Restored["result"], detail: string | null = null): Restored => ({
      interface: setting.interface,
      item: setting.item,
      name: nameOf(setting),
      result,
      detail,
    });
    const now = settings.read(setting);
    if (now.kind === "gone") return tell("gone", now.why);
    if (now.kind === "refused") return tell("failed", now.why);
    if (now.value === before) return tell("unchanged");
    if (!ours.includes(now.value))
      return tell("foreign", `it is ${now.value || "empty"}, ours was ${ours.at(-1) || "empty"}`);
    const problem = settings.write(setting, before);
    return problem === undefined ? tell("restored", before) : tell("failed", problem);
  });
}
