// A configuration's keys as a list, read from its schema: for the reference page, for "did you mean", for what a reload may change.
import { z } from "zod";

/** The part of JSON Schema that zod writes for our schemas, and our own marks (`form`, `live`). */
export interface FieldSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, FieldSchema>>;
  readonly required?: readonly string[];
  readonly items?: FieldSchema;
  readonly propertyNames?: { readonly enum?: readonly string[] };
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  /** what a value is, for people */
  readonly form?: string;
  /** a reload applies it, and all below it */
  readonly live?: boolean;
}

export const fieldSchema = (schema: z.ZodType): FieldSchema => z.toJSONSchema(schema, { io: "input" }) as FieldSchema;

export function fieldAt(schema: FieldSchema, path: readonly PropertyKey[]): FieldSchema | undefined {
  let at: FieldSchema | undefined = schema;
  for (const key of path) at = typeof key === "number" ? at?.items : at?.properties?.[String(key)];
  return at;
}

/** The keys that may stand at a path; none where no section belongs. */
export function keysAt(schema: FieldSchema, path: readonly PropertyKey[]): readonly string[] {
  const at = fieldAt(schema, path);
  return at?.properties ? Object.keys(at.properties) : (at?.propertyNames?.enum ?? []);
}

export interface Field {
  readonly path: string;
  readonly form: string;
  readonly default: string;
  readonly meaning: string;
  readonly live: boolean;
}

const amount = (value: number): string => value.toLocaleString("en-US");

function form(schema: FieldSchema): string {
  if (schema.form !== undefined) return schema.form;
  if (schema.enum) return schema.enum.join(" or ");
  if (schema.type === "boolean") return "true or false";
  if (schema.type === "array") return `list of ${schema.items?.properties ? "entries" : form(schema.items ?? {})}`;
  if (schema.type !== "integer" && schema.type !== "number") return schema.type === "string" ? "text" : "section";
  const least =
    schema.minimum ?? (schema.exclusiveMinimum === undefined ? undefined : `above ${schema.exclusiveMinimum}`);
  const low = typeof least === "number" ? amount(least) : (least ?? "");
  return `${schema.type === "integer" ? "whole number" : "number"}, ${low} to ${amount(schema.maximum ?? Infinity)}`;
}

/** Depth first, in the schema's order. A section of its own row is one whose absence means something. */
export function fieldsOf(schema: FieldSchema, path = "", live = false): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, below]) => {
    const at = path === "" ? key : `${path}.${key}`;
    const changeable = live || below.live === true;
    const required = schema.required?.includes(key) === true;
    const given = below.default === undefined ? (required ? "required" : "absent") : JSON.stringify(below.default);
    const row = { path: at, form: form(below), default: given, meaning: below.description ?? "", live: changeable };
    if (below.items?.properties) return [row, ...fieldsOf(below.items, `${at}[]`, changeable)];
    // A section with a form of its own is one value to its reader.
    const rows = below.properties && below.form === undefined ? fieldsOf(below, at, changeable) : [];
    return below.properties && row.meaning === "" ? rows : [row, ...rows];
  });
}
