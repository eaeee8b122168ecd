// What a reload would change: pure. Enters: a schema, and two values that it parsed. Leaves: the paths that differ, by how they can be applied.
import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { type FieldSchema, fieldSchema } from "#domain/config-fields.ts";

export interface ConfigChanges {
  /** applied at run time */
  readonly live: readonly string[];
  /** only after a restart */
  readonly restart: readonly string[];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export function configChanges<S extends z.ZodType>(schema: S, before: z.output<S>, after: z.output<S>): ConfigChanges {
  const live: string[] = [];
  const restart: string[] = [];
  const compare = (at: FieldSchema, path: string, a: unknown, b: unknown, changeable: boolean): void => {
    if (isDeepStrictEqual(a, b)) return;
    const free = changeable || at.live === true;
    // A section that comes or goes, a list, a table: one change as a whole.
    if (at.properties && isObject(a) && isObject(b)) {
      for (const [key, below] of Object.entries(at.properties))
        compare(below, path === "" ? key : `${path}.${key}`, a[key], b[key], free);
    } else (free ? live : restart).push(path);
  };
  compare(fieldSchema(schema), "", before, after, false);
  return { live, restart };
}

/** What runs now: the new configuration with the old values of what needs a restart. */
export function kept<Config>(running: Config, next: Config, restart: readonly string[]): Config {
  const merged = structuredClone(next);
  for (const path of restart) {
    const keys = path.split(".");
    const last = keys.pop() ?? "";
    const at = (config: Config): Record<string, unknown> =>
      keys.reduce(
        (section, key) => section[key] as Record<string, unknown>,
        config as unknown as Record<string, unknown>,
      );
    at(merged)[last] = at(running)[last];
  }
  return merged;
}
