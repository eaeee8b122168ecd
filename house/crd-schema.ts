// From zod to the schema of a CRD. Enters: a zod schema. Leaves: a structural schema as Kubernetes wants it: a type everywhere, no choices, no references,
// nothing of ours (`form`, `live`).
import { z } from "zod";

export interface CrdSchema {
  readonly type?: string;
  readonly description?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, CrdSchema>>;
  readonly additionalProperties?: CrdSchema;
  readonly items?: CrdSchema;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: string;
  readonly "x-kubernetes-validations"?: readonly {
    readonly rule: string;
    readonly message: string;
    readonly fieldPath?: string;
  }[];
}

/** What zod writes, and what of it goes into a CRD, in this order. */
type Written = Omit<CrdSchema, "properties" | "items" | "additionalProperties"> & {
  readonly properties?: Readonly<Record<string, Written>>;
  readonly items?: Written;
  readonly additionalProperties?: Written | boolean;
  readonly anyOf?: readonly Written[];
};
const kept = [
  "description",
  "type",
  "format",
  "enum",
  "default",
  "minimum",
  "exclusiveMinimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "maxProperties",
  "required",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-map-type",
  "x-kubernetes-validations",
] as const;
/** zod's bounds of every whole number that has none of its own. */
const noBound = (value: unknown): boolean => Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER;

export const crdSchema = (schema: z.ZodType): CrdSchema =>
  structural(z.toJSONSchema(schema, { target: "openapi-3.0", io: "input" }) as Written);

function structural(written: Written): CrdSchema {
  const of: Record<string, unknown> = {};
  for (const key of kept) if (written[key] !== undefined && !noBound(written[key])) of[key] = written[key];
  if (written.anyOf) {
    const types = written.anyOf.map(({ type }) => type);
    if (types.join() !== "integer,string") throw new Error(`a CRD has no choices: ${types.join(" or ")}`);
    of["x-kubernetes-int-or-string"] = true;
  } else if (written.type === "integer") of["format"] ??= "int64";
  if (written.properties) of["properties"] = mapped(written.properties);
  if (isEmpty(written.default)) of["default"] = filled(written);
  if (written.items) of["items"] = structural(written.items);
  if (typeof written.additionalProperties === "object")
    of["additionalProperties"] = structural(written.additionalProperties);
  return of;
}

const isEmpty = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;
/** A section's default with those of its fields: the rules about the section look at them. */
const filled = (written: Written): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(written.properties ?? {})
      .filter(([, below]) => below.default !== undefined)
      .map(([name, below]) => [name, isEmpty(below.default) ? filled(below) : below.default]),
  );

const mapped = (properties: Readonly<Record<string, Written>>): Record<string, CrdSchema> =>
  Object.fromEntries(Object.entries(properties).map(([name, below]) => [name, structural(below)]));

/** Every field by its path, depth first: `spec.hops[].to[].port`. */
export function* everyField(schema: CrdSchema, path = ""): Generator<readonly [path: string, field: CrdSchema]> {
  for (const [name, below] of Object.entries(schema.properties ?? {})) {
    const at = path === "" ? name : `${path}.${name}`;
    yield [at, below];
    yield* everyField(below, at);
  }
  if (schema.items) {
    yield [`${path}[]`, schema.items];
    yield* everyField(schema.items, `${path}[]`);
  }
  if (schema.additionalProperties) {
    yield [`${path}.*`, schema.additionalProperties];
    yield* everyField(schema.additionalProperties, `${path}.*`);
  }
}
