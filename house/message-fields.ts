// The fields of a message, for the reference pages. Enters: a zod schema of what is sent. Leaves: a row for each field, depth first, with
// its path, its form and its meaning. (A configuration's keys, with defaults and what a reload applies, are domain/config-fields.ts.)
import { z } from "zod";

interface Shape {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Shape | boolean;
  readonly propertyNames?: { readonly enum?: readonly string[] };
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
  readonly const?: unknown;
  readonly enum?: readonly string[];
}

export interface MessageField {
  readonly path: string;
  readonly form: string;
  readonly meaning: string;
}

/** What is nullable is what it is otherwise, and may be null. */
const inner = (shape: Shape): Shape => shape.anyOf?.find(({ type }) => type !== "null") ?? shape;

function formOf(shape: Shape): string {
  const of = inner(shape);
  if (of.const !== undefined) return JSON.stringify(of.const);
  if (of.enum) return of.enum.join(", ");
  if (of.type === "array")
    return `list of ${of.items?.properties || of.items?.oneOf ? "objects" : formOf(of.items ?? {})}`;
  if (of.type === "object" && !of.properties) return "name: number";
  const names: Readonly<Record<string, string>> = {
    string: "text",
    integer: "whole number",
    number: "number",
    boolean: "true or false",
  };
  return names[of.type ?? ""] ?? "object";
}

/** What may be left out has a question mark; what stands in a list, []; of a choice, the fields of each. */
function fields(shape: Shape, path: string): MessageField[] {
  const of = inner(shape);
  if (of.type === "array") return fields(of.items ?? {}, `${path}[]`);
  if (of.oneOf) return of.oneOf.flatMap((one) => fields(one, `${path} ${chosen(one)}`));
  return Object.entries(of.properties ?? {}).flatMap(([name, below]) => {
    const optional = of.required?.includes(name) === true ? "" : "?";
    const at = `${path === "" ? "" : `${path}.`}${name}${optional}`;
    const form = `${formOf(below)}${below.anyOf ? ", or null" : ""}`;
    return [{ path: at, form, meaning: below.description ?? "" }, ...fields(below, at)];
  });
}

/** Members of a choice are told apart by their constant `kind`. */
const chosen = ({ properties }: Shape): string =>
  `(${JSON.stringify(properties?.["kind"]?.const)})`.replaceAll('"', "");

export const fieldsOfMessage = (schema: z.ZodType): MessageField[] => fields(z.toJSONSchema(schema) as Shape, "");
