// What charts/tapline has from elsewhere. Enters: the schema of its values, definitions, dashboards, alerts. Leaves: values.yaml, values.schema.json, the README's
// table, and files/, as house/generate.ts writes them.
import { readFileSync } from "node:fs";
import { stringify } from "yaml";
import { chartValues } from "#domain/chart-values.ts";
import { type FieldSchema, fieldSchema, fieldsOf } from "#domain/config-fields.ts";
import { alertGroups } from "../deploy/monitoring/alerts.ts";
import { fleetDashboard } from "../deploy/monitoring/fleet-dashboard.ts";
import { crdPages } from "./crds.ts";
import { keyTable } from "./relay-reference.ts";

const schema = fieldSchema(chartValues);
const shown = Object.fromEntries(Object.entries(schema.properties ?? {}).filter(([key]) => key !== "global"));

/** A section is one whose keys are shown one by one; what has a form of its own, as labels, is a value. */
const valuesText = (properties: Readonly<Record<string, FieldSchema>>, indent = ""): string =>
  Object.entries(properties)
    .map(([key, field]) => {
      const comment = field.description === undefined ? "" : `${indent}# ${field.description}\n`;
      if (field.form === undefined && Object.keys(field.properties ?? {}).length > 0)
        return `${comment}${indent}${key}:\n${valuesText(field.properties ?? {}, `${indent}  `)}`;
      return `${comment}${indent}${key}: ${JSON.stringify(field.default)}\n`;
    })
    .join(indent === "" ? "\n" : "");

/** For Helm: what only our own pages need is left out. Its messages name the key, so titles would be noise. */
function forHelm(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(forHelm);
  if (typeof value !== "object" || value === null) return value;
  const unsafe = [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, entry]) => !(key === "form" && typeof entry === "string") && !unsafe.includes(entry as number))
      .map(([key, entry]) => [key, forHelm(entry)]),
  );
}

const readmePath = "charts/tapline/README.md";
function withTable(readme: string): string {
  const table = keyTable(fieldsOf({ ...schema, properties: shown }));
  return readme.replace(
    /(<!-- values -->\n)[\s\S]*?(\n<!-- end of values -->)/,
    (_, head, tail) => head + table + tail,
  );
}

/** Helm reads nothing outside of the chart, so it has a copy. */
const definitions = Object.entries(crdPages).filter(([path]) => path.startsWith("crds/"));

export const chartFiles: Readonly<Record<string, string>> = {
  ...Object.fromEntries(definitions.map(([path, text]) => [`charts/tapline/files/${path}`, text])),
  "charts/tapline/values.yaml": `# Generated from domain/chart-values.ts by \`make generate\`. Do not edit: give your own with --values.\n\n${valuesText(shown)}`,
  "charts/tapline/values.schema.json": `${JSON.stringify(forHelm(schema), null, 2)}\n`,
  [readmePath]: withTable(readFileSync(new URL(`../${readmePath}`, import.meta.url), "utf8")),
  "charts/tapline/files/alerts.yaml": stringify({ groups: alertGroups }, { lineWidth: 0 }),
  "charts/tapline/files/dashboards/fleet.json": `${JSON.stringify(fleetDashboard, null, 1)}\n`,
};
