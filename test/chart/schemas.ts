// JSON schemas of what an apiserver takes, for kubeconform. Nothing is asked of the network at the time of the test: Kubernetes publishes its OpenAPI documents
// in the Go module that the cluster of test/e2e is built from, the Prometheus Operator its definitions in its own; both are pinned by sums.
// Enters: a minor of Kubernetes. Leaves: a folder with a file for each kind, strict: a field that is in no schema is refused.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { run } from "../e2e/cluster/command.ts";
import { checkout } from "../e2e/cluster/instance.ts";
import { goCommand } from "../e2e/cluster/programs.ts";

interface Schema {
  [key: string]: unknown;
  properties?: Record<string, Schema>;
  "x-kubernetes-group-version-kind"?: { group: string; version: string; kind: string }[];
}
interface OpenApi {
  readonly components?: { readonly schemas?: Record<string, Schema> };
}
interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

/** As kubeconform asks for them: the kind in small letters, the group's first word, the version. */
const fileName = (group: string, version: string, kind: string): string =>
  `${[kind, ...(group === "" ? [] : [group.split(".")[0]]), version].join("-").toLowerCase()}.json`;
export const schemaLocation = (folder: string): string => `${folder}/{{ .ResourceKind }}{{ .KindSuffix }}.json`;

/** A module's folder in Go's cache, checked against its committed sum; fetched when it is not there. */
async function moduleFolder(path: string, folder: string, pins: string): Promise<string> {
  const { signal } = new AbortController();
  const env = { ...process.env, GOTOOLCHAIN: "local", GOWORK: "off", GOFLAGS: "-mod=mod" };
  const args = ["mod", "download", `-modfile=${pins}`, "-json", path];
  return (JSON.parse(await run(await goCommand(signal), args, { cwd: folder, env, signal })) as { Dir: string }).Dir;
}

/** References stay within the file, and an object whose fields are known has no others. */
function strict(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strict);
  if (typeof value !== "object" || value === null) return value;
  const schema = Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, strict(entry)])) as Schema;
  if (typeof schema["$ref"] === "string") schema["$ref"] = schema["$ref"].replace("#/components/schemas/", "#/$defs/");
  const open = schema["additionalProperties"] !== undefined || schema["x-kubernetes-preserve-unknown-fields"] === true;
  const isObject = typeof schema.properties === "object" && (schema["type"] ?? "object") === "object";
  return isObject && !open ? { ...schema, additionalProperties: false } : schema;
}

/** Kubernetes' own kinds and the Prometheus Operator's. The folder. */
export async function writeSchemas(kubernetes: string): Promise<string> {
  const folder = join(checkout, "build/test-schemas", kubernetes);
  mkdirSync(folder, { recursive: true });
  const write = (name: string, schema: object): void => writeFileSync(join(folder, name), JSON.stringify(schema));

  const pins = join(checkout, "test/e2e/cluster/modules/kube");
  const published = join(await moduleFolder("k8s.io/kubernetes", pins, `${kubernetes}.mod`), "api/openapi-spec/v3");
  for (const file of readdirSync(published).filter((name) => name.endsWith("_openapi.json"))) {
    const { components } = JSON.parse(readFileSync(join(published, file), "utf8")) as OpenApi;
    const $defs = strict(components?.schemas ?? {}) as Record<string, Schema>;
    for (const [name, schema] of Object.entries($defs)) {
      const kinds = schema["x-kubernetes-group-version-kind"] ?? [];
      // Those of several groups are options of requests, no objects.
      const [only] = kinds;
      if (only === undefined || kinds.length > 1) continue;
      write(fileName(only.group, only.version, only.kind), { $ref: `#/$defs/${name}`, $defs });
    }
  }

  const operator = await moduleFolder("github.com/prometheus-operator/prometheus-operator", import.meta.dirname, "go.mod"); // biome-ignore format: one line
  const definitions = join(operator, "example/prometheus-operator-crd");
  for (const file of readdirSync(definitions)) {
    const { spec } = parse(readFileSync(join(definitions, file), "utf8")) as Definition;
    for (const { name, schema } of spec.versions)
      write(fileName(spec.group, name, spec.names.kind), strict(schema.openAPIV3Schema) as Schema);
  }
  return folder;
}
