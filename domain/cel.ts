// Rules that the Kubernetes API server checks itself, in CEL, beside the fields they are about. Enters: a zod schema and rules. Leaves: the schema,
// carrying them into the CRD that is generated from it. Each is the twin of a check here, or of one that our agents make; texts continue "field: ".
import type { z } from "zod";

export interface CelRule {
  /** true for what is right; `self` is the field */
  readonly rule: string;
  readonly message: string;
  /** a CEL text that says it with what was given; `message` is what is told when that fails */
  readonly messageExpression?: string;
  /** below the field, as .cpus: what the refusal points at */
  readonly fieldPath?: string;
}

/** Those that the schema carries already stay. */
export function rules<Schema extends z.ZodType>(schema: Schema, ...more: readonly CelRule[]): Schema {
  const before = (schema.meta()?.["x-kubernetes-validations"] ?? []) as readonly CelRule[];
  return schema.meta({ "x-kubernetes-validations": [...before, ...more] });
}

/** A list whose items are told apart by these keys: two who apply to it (server-side) do not take each other's items away. */
export const keyed = (...keys: readonly [string, ...string[]]) => ({
  "x-kubernetes-list-type": "map",
  "x-kubernetes-list-map-keys": keys,
});
/** A list that is one value: who applies it sets all of it. */
export const atomic = { "x-kubernetes-list-type": "atomic" };
/** A map that is one value. Else whoever applied entries, and then none, gets null in its place, which no map may be: of a list with keys the same is true. */
export const atomicMap = { "x-kubernetes-map-type": "atomic" };
/** A list without repetitions. */
export const asSet = { "x-kubernetes-list-type": "set" };
