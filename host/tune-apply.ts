// Carries out a plan, and takes it back. Enters: changes. Leaves: what became of each, read back from the interface; the
// values before are on disk before the first is touched.
import { writeFileSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";
import { engine } from "#native/engine.ts";
import { readEthtool, supported, withInterface } from "./ethtool.ts";
import { machineRoots, readLine } from "./tune-facts.ts";
import { readState, writeState, type SavedChange } from "./tune-state.ts";
import type { Change, TuneValue } from "./tune.ts";

/** Where the values are kept and can be set: the interface itself, or a tree of files that stands for the machine. */
export interface Controls {
  read(key: string): TuneValue | undefined;
  /** Throws what the kernel says against it. */
  write(key: string, value: TuneValue): void;
}

export function controls(name: string, proc: string = machineRoots.proc): Controls {
  const part = (key: string): readonly [string, string] => {
    const dot = key.indexOf(".");
    return [key.slice(0, dot), key.slice(dot + 1)];
  };
  const irqFile = (irq: string): string => `${proc}/irq/${/^\d+$/.test(irq) ? irq : "none"}/smp_affinity_list`;
  return {
    read: (key) => {
      const [group, field] = part(key);
      if (group === "irq") return readLine(irqFile(field));
      const settings = readEthtool(name);
      if (group === "feature") return supported(settings.features)?.[field]?.active;
      const found = group === "ring" ? supported(settings.rings) : supported(settings.coalesce);
      return (found as Readonly<Record<string, TuneValue>> | undefined)?.[field];
    },
    write: (key, value) => {
      const [group, field] = part(key);
      if (group === "irq") return writeFileSync(irqFile(field), `${value}`);
      const set = { ring: engine().setRings, coalesce: engine().setCoalesce, feature: engine().setFeatures }[group];
      if (set === undefined) throw new TaplineError("ETHTOOL_FAILED", { path: name, detail: `there is no ${key}` });
      withInterface(name, () => set(name, { [field]: value } as never));
    },
  };
}

export interface Outcome {
  readonly key: string;
  readonly before: TuneValue;
  readonly after: TuneValue | undefined;
  readonly result: "set" | "restored" | "as before" | "changed since" | "failed";
  /** when it failed */
  readonly why?: string;
}

/** Sets one value and reads it back. `close` is what the driver made of a number: rings are rounded. */
function attempt(by: Controls, key: string, value: TuneValue): { after: TuneValue | undefined; why?: string } {
  const before = by.read(key);
  try {
    by.write(key, value);
  } catch (error) {
    const why = error instanceof TaplineError ? `${error.message} (${error.code})` : (error as Error).message;
    return { after: by.read(key), why };
  }
  const after = by.read(key);
  const rounded = typeof value === "number" && typeof after === "number" && after !== before;
  return after === value || rounded ? { after } : { after, why: `the driver kept it at ${String(after)}` };
}

/** Applies changes; those of an earlier time stay restorable. */
export function applyChanges(name: string, changes: readonly Change[], path: string, by: Controls): Outcome[] {
  const saved = new Map(readState(path, name).map((entry) => [entry.key, entry]));
  const save = (): void => writeState(path, name, [...saved.values()]);
  const earlier = new Map(saved);
  for (const { key, before, wanted } of changes) {
    // Set by us before: what was there before that is what a restore brings back.
    const ours = earlier.get(key);
    saved.set(key, { key, before: ours !== undefined && ours.set === before ? ours.before : before, set: wanted });
  }
  if (changes.length > 0) save();
  const outcomes = changes.map(({ key, before, wanted }): Outcome => {
    const { after, why } = attempt(by, key, wanted);
    if (why === undefined && after !== undefined) {
      saved.set(key, { key, before: saved.get(key)?.before ?? before, set: after });
      return { key, before, after, result: "set" };
    }
    const ours = earlier.get(key);
    if (ours === undefined) saved.delete(key);
    else saved.set(key, ours);
    return { key, before, after, result: "failed", why: why ?? "its value cannot be read back" };
  });
  if (changes.length > 0) save();
  return outcomes;
}

/** Brings back what still has the value that was set. What somebody else changed since is theirs, and forgotten here. */
export function restoreChanges(name: string, path: string, by: Controls): Outcome[] {
  const left: SavedChange[] = [];
  // The other way round: a later change may rest on an earlier one.
  const outcomes = readState(path, name)
    .toReversed()
    .map((entry): Outcome => {
      const { key, before, set } = entry;
      const now = by.read(key);
      if (now === before) return { key, before, after: now, result: "as before" };
      if (now !== set) return { key, before, after: now, result: "changed since" };
      const { after, why } = attempt(by, key, before);
      if (why === undefined) return { key, before: set, after, result: "restored" };
      left.unshift(entry);
      return { key, before: set, after, result: "failed", why };
    });
  if (outcomes.length > 0) writeState(path, name, left);
  return outcomes;
}
