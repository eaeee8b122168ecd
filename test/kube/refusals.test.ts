// What the apiserver refuses, and with which words; and that nothing of what it could refuse is untested.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type CrdSchema, everyField } from "../../house/crd-schema.ts";
import { type ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { Rest } from "./rest.ts";
import { crds, startWithCrds } from "./with-crds.ts";
import { prepare, send } from "./whole-objects.ts";
import { wrongObjects } from "./wrong-objects.ts";

interface Definition {
  readonly spec: { readonly versions: readonly [{ readonly schema: { readonly openAPIV3Schema: CrdSchema } }] };
}
const schemas = readdirSync(crds)
  .filter((file) => file.endsWith(".yaml"))
  .map((file) => (parse(readFileSync(join(crds, file), "utf8")) as Definition).spec.versions[0].schema.openAPIV3Schema);
const fields = schemas.flatMap((schema): (readonly [string, CrdSchema])[] => [["", schema], ...everyField(schema)]);

/** What was said about each row. The server's own remarks that it looked no further are about nothing. */
const said = new Map<string, string[]>();

describe("a wrong object is refused", () => {
  let alone: ApiserverAlone;
  beforeAll(async () => {
    alone = await startWithCrds();
    const rest = new Rest(alone);
    await prepare(rest);
    for (const [what, base, path, value] of wrongObjects)
      said.set(
        what,
        (await send(rest, base, path, value)).filter((line) => !line.startsWith("<nil>: ")),
      );
    rest.close();
  }, firstStartMs);
  afterAll(() => alone[Symbol.asyncDispose]());

  it.each(wrongObjects)("%s", (what, _base, _path, _value, says) => {
    expect(said.get(what)).toEqual([says]);
  });

  it("by a table without two rows of one name, of a hundred at least", () => {
    expect(said.size).toBe(wrongObjects.length);
    expect(said.size).toBeGreaterThan(100);
  });

  it("by every rule of the CRDs", () => {
    const lines = [...said.values()].flat();
    const untested = fields.flatMap(([path, { "x-kubernetes-validations": rules = [] }]) =>
      rules.filter((rule) => !lines.some((line) => isOf(rule, line))).map(({ message }) => `${path}: ${message}`),
    );
    expect(untested).toEqual([]);
  });

  it("by every kind of bound", () => {
    const lines = [...said.values()].flat();
    const used = Object.entries(bounds).filter(([, { used }]) => fields.some(([, field]) => used(field)));
    expect(used.length).toBe(Object.keys(bounds).length);
    expect(used.filter(([, { says }]) => !lines.some((line) => says.test(line)))).toEqual([]);
  });
});

interface Rule {
  readonly message: string;
  readonly messageExpression?: string;
}
/** A text that is put together is known by the words in it that are always there. */
function isOf({ message, messageExpression }: Rule, line: string): boolean {
  if (messageExpression === undefined) return line.endsWith(`: ${message}`);
  const words = [...messageExpression.matchAll(/'([^']*)'/g)].flatMap(([, text = ""]) => text.split(/%[sd]/));
  return words.some((text) => text.length > 10) && words.every((text) => line.includes(text));
}

const bounds: Record<string, { readonly used: (field: CrdSchema) => boolean; readonly says: RegExp }> = {
  type: { used: ({ type }) => type !== undefined, says: /must be of type (integer|string|boolean|object)/ },
  "number or text": {
    used: (field) => field["x-kubernetes-int-or-string"] === true,
    says: /must be of type integer,string/,
  },
  format: { used: ({ format }) => format === "date-time", says: /must be of type date-time/ },
  enum: { used: (field) => field.enum !== undefined, says: /Unsupported value: .* supported values/ },
  required: { used: ({ required = [] }) => required.length > 0, says: /Required value/ },
  minimum: { used: (field) => field.minimum !== undefined, says: /should be greater than or equal to/ },
  "exclusive minimum": { used: (field) => field.exclusiveMinimum === true, says: /should be greater than \d/ },
  maximum: { used: (field) => field.maximum !== undefined, says: /should be less than or equal to/ },
  minLength: { used: (field) => field.minLength !== undefined, says: /should be at least 1 chars long/ },
  maxLength: { used: (field) => field.maxLength !== undefined, says: /Too long: may not be more than/ },
  minItems: { used: (field) => field.minItems !== undefined, says: /should have at least 1 items/ },
  maxItems: { used: (field) => field.maxItems !== undefined, says: /Too many: \d+: must have at most/ },
  maxProperties: { used: (field) => field.maxProperties !== undefined, says: /(drops|matchLabels): Too many/ },
  "list of keys": { used: (field) => field["x-kubernetes-list-type"] === "map", says: /Duplicate value: \{/ },
  set: { used: (field) => field["x-kubernetes-list-type"] === "set", says: /Duplicate value: "/ },
};
