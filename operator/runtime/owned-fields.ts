// Would an apply change anything? Enters: what we want, what there is, and which fields of it are ours by its managed fields. Leaves: true when
// we own exactly the fields we want and all have the values we want. A value that the API writes otherwise than we do ("0.5" and "500m") is a
// difference: then it is applied once too often, never once too seldom. Pure.
import { isDeepStrictEqual } from "node:util";
import type { FieldSet, KubeObject } from "./objects.ts";

/** Those of one manager; `subresource` "" is the object itself. */
export function fieldsOf(object: KubeObject, manager: string, subresource: string): FieldSet | undefined {
  return object.metadata.managedFields?.find(
    (entry) => entry.manager === manager && entry.operation === "Apply" && (entry.subresource ?? "") === subresource,
  )?.fieldsV1;
}

/** Without what only names the object, and as JSON has it: no undefined. */
export function fieldsWanted(object: KubeObject): Record<string, unknown> {
  const { apiVersion: _, kind: __, metadata, ...rest } = object;
  const { name: ___, namespace: ____, ...labels } = metadata;
  const wanted = Object.keys(labels).length === 0 ? rest : { metadata: labels, ...rest };
  return JSON.parse(JSON.stringify(wanted)) as Record<string, unknown>;
}

export function owned(fields: FieldSet, wanted: unknown, live: unknown): boolean {
  const paths = Object.keys(fields).filter((path) => path !== ".");
  if (paths.length === 0) return isDeepStrictEqual(wanted, live);
  if (Array.isArray(wanted)) return Array.isArray(live) && ownedItems(fields, paths, wanted, live);
  if (!isMap(wanted) || !isMap(live)) return false;
  const names = Object.keys(wanted);
  return (
    names.length === paths.length &&
    names.every((name) => {
      const below = fields[`f:${name}`];
      return below !== undefined && owned(below, wanted[name], live[name]);
    })
  );
}

function ownedItems(fields: FieldSet, paths: readonly string[], wanted: unknown[], live: unknown[]): boolean {
  if (paths.length !== wanted.length) return false;
  return paths.every((path) => {
    const name: unknown = JSON.parse(path.slice(2));
    if (path.startsWith("v:")) return wanted.includes(name) && live.includes(name);
    if (!path.startsWith("k:") || !isMap(name)) return false;
    const isIt = (item: unknown): boolean =>
      isMap(item) && Object.entries(name).every(([key, value]) => item[key] === value);
    return owned(fields[path] ?? {}, wanted.find(isIt), live.find(isIt));
  });
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
