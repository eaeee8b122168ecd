// The CRDs as texts, without a server: what people read of each field, and that nothing in them has no bound.
import { readdirSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";
import { describe, expect, it } from "vitest";
import { type CrdSchema, crdSchema, everyField } from "./crd-schema.ts";

const folder = new URL("../crds/", import.meta.url);
interface Definition {
  readonly spec: {
    readonly names: { readonly kind: string };
    readonly versions: readonly [{ readonly schema: { readonly openAPIV3Schema: CrdSchema } }];
  };
}
const fields = readdirSync(folder)
  .filter((file) => file.endsWith(".yaml"))
  .map((file) => parse(readFileSync(new URL(file, folder), "utf8")) as Definition)
  .flatMap(({ spec: { names, versions } }) =>
    [...everyField(versions[0].schema.openAPIV3Schema)].map(([path, field]) => ({
      path: `${names.kind} ${path}`,
      field,
    })),
  );
const without = (wrong: (field: CrdSchema) => boolean, from = fields): string[] =>
  from.filter(({ field }) => wrong(field)).map(({ path }) => path);
/** The apiserver's own: the object's name and kind. */
const ours = fields.filter(({ path }) => !/ (apiVersion|kind|metadata(\.name)?)$/.test(path));

describe("the CRDs", () => {
  it("have a meaning for every field", () => {
    expect(fields.length).toBeGreaterThan(200);
    // Entries of a list of objects are described by the list.
    expect(without(({ description = "", properties }) => description === "" && !properties, ours)).toEqual([]);
    expect(
      without(
        ({ description = "" }) => description === "",
        ours.filter(({ path }) => !path.endsWith("[]")),
      ),
    ).toEqual([]);
  });
  it("bound every text", () => {
    expect(
      without(({ type, maxLength, ...more }) => type === "string" && maxLength === undefined && !more.enum, ours),
    ).toEqual([]);
    expect(
      without((field) => field["x-kubernetes-int-or-string"] === true && field.maxLength === undefined, ours),
    ).toEqual([]);
  });
  it("bound every list and map", () => {
    expect(without(({ type, maxItems }) => type === "array" && maxItems === undefined)).toEqual([]);
    expect(without((field) => field.additionalProperties !== undefined && field.maxProperties === undefined)).toEqual(
      [],
    );
  });
  it("say of every list how two who apply to it get along", () => {
    expect(without((field) => field.type === "array" && field["x-kubernetes-list-type"] === undefined)).toEqual([]);
  });
  it("have a type everywhere, and defaults in spec alone", () => {
    expect(without((field) => field.type === undefined && field["x-kubernetes-int-or-string"] !== true)).toEqual([]);
    expect(ours.filter(({ path, field }) => path.includes(" status") && field.default !== undefined)).toEqual([]);
  });
});

it("a choice does not become a CRD", () => {
  expect(() => crdSchema(z.object({ to: z.union([z.string(), z.boolean()]) }))).toThrow(
    "a CRD has no choices: string or boolean",
  );
});
