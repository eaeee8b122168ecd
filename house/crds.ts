// The CRDs and their reference page. Enters: the kinds of domain/. Leaves: the texts of crds/ and of docs/reference/kubernetes.md, as house/generate.ts writes them.
import { stringify } from "yaml";
import { fieldSchema, fieldsOf } from "#domain/config-fields.ts";
import { apiGroup, apiVersion, type Column, type CustomResource, category } from "#domain/custom-resource.ts";
import { fleetNode } from "#domain/fleet-node.ts";
import { relayRuleResource } from "#domain/relay-rule-object.ts";
import { sensorPool } from "#domain/sensor-pool.ts";
import { type CrdSchema, crdSchema, everyField } from "./crd-schema.ts";
import { cell, fieldTable, keyTable } from "./relay-reference.ts";

const kinds: readonly CustomResource[] = [sensorPool, relayRuleResource, fleetNode];

const printed = ({ name, type, path, description, wide }: Column) => ({
  name,
  type,
  jsonPath: path,
  description,
  priority: wide ? 1 : 0,
});

function objectSchema({ description, spec, status, rules }: CustomResource): CrdSchema {
  const properties: Record<string, CrdSchema> = {
    apiVersion: { type: "string", description: `${apiVersion}` },
    kind: { type: "string", description: "the kind of object" },
    metadata: { type: "object", ...(rules ? { properties: { name: { type: "string" } } } : {}) },
    ...(spec ? { spec: { ...crdSchema(spec), description: "what is asked for" } } : {}),
    status: { ...crdSchema(status), description: "what is, as the operator sees it; written by it alone" },
  };
  return {
    type: "object",
    description,
    properties,
    required: spec ? ["spec"] : [],
    ...(rules ? { "x-kubernetes-validations": rules } : {}),
  };
}

/** One kind's CustomResourceDefinition, as an object. */
const definition = (kind: CustomResource) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `${kind.plural}.${apiGroup}` },
  spec: {
    group: apiGroup,
    scope: "Cluster",
    names: {
      kind: kind.kind,
      listKind: `${kind.kind}List`,
      plural: kind.plural,
      singular: kind.kind.toLowerCase(),
      shortNames: [kind.short],
      categories: [category],
    },
    versions: [
      {
        name: apiVersion.slice(apiGroup.length + 1),
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: kind.columns.map(printed),
        schema: { openAPIV3Schema: objectSchema(kind) },
      },
    ],
  },
});

const written = (from: string): string => `Generated from ${from} by \`make generate\`. Do not edit.`;

const refusals = (kind: CustomResource): string => {
  const fields = everyField({ properties: { object: objectSchema(kind) } });
  const rows = [...fields].flatMap(([path, field]) =>
    (field["x-kubernetes-validations"] ?? []).map(
      ({ fieldPath = "", message }) => `| \`${`${path}${fieldPath}`.replace(/^object\.?/, "")}\` | ${cell(message)} |`,
    ),
  );
  return `| field | refused with |\n|---|---|\n${rows.join("\n")}`;
};
const shownColumns = ({ columns }: CustomResource): string =>
  columns.map(({ name, wide, description }) => `| ${name}${wide ? " (wide)" : ""} | ${cell(description)} |`).join("\n");
const section = (kind: CustomResource): string => `## ${kind.kind}
${kind.description} \`kubectl get ${kind.short}\`${kind.spec ? "" : ". It has no spec"}.

${kind.spec ? `### spec\n\n${keyTable(fieldsOf(fieldSchema(kind.spec), "spec"))}\n\n### What is refused\nBesides what is not in these tables or beyond their bounds; by the API server itself.\n\n${refusals(kind)}\n\n` : ""}### status

${fieldTable(kind.status)}

| condition | it is True when |
|---|---|
${Object.entries(kind.conditions)
  .map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`)
  .join("\n")}

| column | what it shows |
|---|---|
${shownColumns(kind)}
`;

const page = `<!-- ${written("domain/sensor-pool.ts, domain/relay-rule-object.ts and domain/fleet-node.ts")} -->
# Objects in Kubernetes

Group \`${apiVersion}\`; all kinds are cluster-scoped, since they govern nodes and host traffic. \`kubectl get ${category}\` shows all of them, \`kubectl explain ${sensorPool.plural}.spec\` what stands here.
Samples: [deploy/samples](../../deploy/samples). Kubernetes 1.33 or newer. Counts are from the agents; what they mean is in [semantics.md](../semantics.md).

${kinds.map(section).join("\n")}`;

export const crdPages: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    kinds.map((kind) => [
      `crds/${kind.plural}.yaml`,
      `# ${written("domain/")}\n${stringify(definition(kind), { lineWidth: 0, aliasDuplicateObjects: false })}`,
    ]),
  ),
  "docs/reference/kubernetes.md": page,
};
