// The rules of this node. Enters: changes, each all or nothing. Leaves: the rules as they are now, kept on disk before they are programmed. One change at a time.
import { z } from "zod";
import { TaplineError } from "#domain/errors.ts";
import { nearest } from "#domain/nearest.ts";
import type { NamedRule } from "#domain/relay-rule.ts";
import type { KeptFile } from "./kept-file.ts";
import { readRules, requireSound, rulesInvalid } from "./rule-input.ts";

export interface RuleBookOptions {
  readonly file: Pick<KeptFile<unknown>, "save">;
  /** Throws when they cannot be programmed; then what ran before goes on. */
  readonly apply: (rules: readonly NamedRule[]) => void;
  /** rules come as a plan: other changes are refused */
  readonly planned: boolean;
}

export interface Changed {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  readonly rules: number;
}

const request = "the request";

/** As kept on disk. */
const keptRules = z.object({ v: z.literal(1), rules: z.array(z.unknown()) });
export async function parseKeptRules(value: unknown): Promise<readonly NamedRule[]> {
  const { rules } = keptRules.parse(value);
  return soundRules("it", rules);
}

export async function soundRules(path: string, values: readonly unknown[]): Promise<readonly NamedRule[]> {
  const rules = await readRules(path, values);
  requireSound(path, [{ node: "", rules }]);
  return rules;
}

export class RuleBook {
  readonly #options: RuleBookOptions;
  #rules: ReadonlyMap<string, NamedRule> = new Map();
  #kept: unknown;
  #turn: Promise<unknown> = Promise.resolve();
  readonly changes = { applied: 0, refused: 0 };

  constructor(options: RuleBookOptions) {
    this.#options = options;
  }

  get rules(): readonly NamedRule[] {
    return [...this.#rules.values()];
  }
  get(id: string): NamedRule | undefined {
    return this.#rules.get(id);
  }

  /** What was on disk, as `kept` there. */
  begin(rules: readonly NamedRule[], kept: unknown): void {
    this.#rules = byId(rules);
    this.#kept = kept;
  }

  add(values: readonly unknown[]): Promise<Changed> {
    return this.#asked(async () => {
      const added = await readRules(request, values);
      const again = added.filter(({ id }) => this.#rules.has(id));
      if (again.length > 0)
        throw rulesInvalid(
          request,
          again.map(({ id }) => `rule ${id}: is there already; remove it first, or load it, which replaces`),
        );
      return [...this.#rules.values(), ...added];
    });
  }

  remove(ids: readonly string[]): Promise<Changed> {
    return this.#asked(async () => {
      const left = new Map(this.#rules);
      for (const id of new Set(ids)) if (!left.delete(id)) throw this.unknown(id);
      return [...left.values()];
    });
  }

  load(values: readonly unknown[], replace: boolean): Promise<Changed> {
    return this.#asked(async () => {
      const loaded = await readRules(request, values);
      if (replace) return loaded;
      const ids = new Set(loaded.map(({ id }) => id));
      return [...this.rules.filter(({ id }) => !ids.has(id)), ...loaded];
    });
  }

  /** A plan: checked by whoever brings it, who also says how it is kept. */
  plan(rules: readonly NamedRule[], kept: unknown): Promise<Changed> {
    return this.#inTurn(() => this.#take(rules, kept));
  }

  unknown(rule: string): TaplineError {
    const near = nearest(rule, [...this.#rules.keys()]);
    return new TaplineError("RELAY_RULE_UNKNOWN", { rule, near: near === undefined ? "" : `; did you mean ${near}?` });
  }

  #asked(next: () => Promise<readonly NamedRule[]>): Promise<Changed> {
    return this.#inTurn(async () => {
      if (this.#options.planned) throw new TaplineError("RELAY_PLANNED");
      const rules = await next();
      requireSound(request, [{ node: "", rules }]);
      return this.#take(rules, { v: 1, rules });
    });
  }

  #inTurn(change: () => Promise<Changed>): Promise<Changed> {
    const work = this.#turn.then(change);
    this.#turn = work.then(
      () => void this.changes.applied++,
      () => void this.changes.refused++, // whoever asked is told why
    );
    return work;
  }

  async #take(rules: readonly NamedRule[], kept: unknown): Promise<Changed> {
    const { file, apply } = this.#options;
    const before = this.#rules;
    await file.save(kept);
    try {
      apply(rules);
    } catch (error) {
      await file.save(this.#kept ?? { v: 1, rules: [] });
      throw error;
    }
    this.#rules = byId(rules);
    this.#kept = kept;
    return difference(before, this.#rules);
  }
}

const byId = (rules: readonly NamedRule[]): ReadonlyMap<string, NamedRule> =>
  new Map(rules.map((rule) => [rule.id, rule]));

function difference(before: ReadonlyMap<string, NamedRule>, after: ReadonlyMap<string, NamedRule>): Changed {
  const both = [...after.values()].filter(({ id }) => before.has(id));
  return {
    added: after.size - both.length,
    changed: both.filter((rule) => {
      const old = before.get(rule.id);
      return rule !== old && JSON.stringify(rule) !== JSON.stringify(old);
    }).length,
    removed: before.size - both.length,
    rules: after.size,
  };
}
