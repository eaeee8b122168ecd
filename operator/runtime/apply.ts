// Brings an object to what it is wanted to be, by server-side apply, and writes nothing when it is that already. Enters: what is wanted, and the object as
// it is known. Leaves: what was done, and which fields are another's: they are left as they are, and told.
import { createHash } from "node:crypto";
import { fieldConflicts, hasCode, isStatus } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import { without } from "./field-path.ts";
import type { OperatorMetrics } from "./metrics.ts";
import { type KubeObject, type ObjectName, pathOf, type Resource } from "./objects.ts";
import { fieldsOf, fieldsWanted, owned } from "./owned-fields.ts";

export interface FieldConflict {
  /** .spec.template.spec.containers[name="agent"].image */
  readonly field: string;
  /** who owns it: "kubectl-edit" */
  readonly manager: string;
}

export interface Applied<T> {
  readonly outcome: "unchanged" | "applied";
  /** as it is now; as it was known when nothing was written */
  readonly object: T;
  /** fields of others that differ from what is wanted */
  readonly conflicts: readonly FieldConflict[];
}

interface Remembered {
  readonly wanted: string;
  /** who owned what after our apply: whoever changes a value changes that */
  readonly fields: string;
  readonly conflicts: readonly FieldConflict[];
}

/** Above that the oldest is forgotten, and costs one apply more. */
const mostRemembered = 20_000;
/** Each time the API names all conflicts; more than one round means that somebody writes at the same time. */
const mostRounds = 3;

export class Applier {
  readonly #client: KubeClient;
  readonly #metrics: OperatorMetrics;
  readonly #remembered = new Map<string, Remembered>();

  constructor(client: KubeClient, metrics: OperatorMetrics) {
    this.#client = client;
    this.#metrics = metrics;
  }

  /** `live`: as a reflector knows it, with its managed fields; it may be older than our last apply. */
  async apply<T extends KubeObject>(
    resource: Resource<T>,
    wanted: KubeObject,
    live: T | undefined,
    signal?: AbortSignal,
  ): Promise<Applied<T>> {
    const known = this.#unchanged(resource, wanted, live, "");
    if (live !== undefined && known !== undefined) return this.#told(resource, "unchanged", live, known);
    let conflicts: readonly FieldConflict[] = [];
    let rest = wanted;
    for (let round = 1; ; round++) {
      try {
        const object = await this.#client.apply<T>(resource, rest, { force: false, signal });
        this.#remember(resource, wanted, object, "", conflicts);
        return this.#told(resource, "applied", object, conflicts);
      } catch (error) {
        if (!hasCode(error, "KUBE_FIELDS_TAKEN") || round === mostRounds) throw error;
        const found = conflictsOf(error.cause);
        const less = found.reduce<Record<string, unknown> | undefined>(
          (object, { field }) => object && without(object, field),
          rest as unknown as Record<string, unknown>,
        );
        if (less === undefined) throw error;
        rest = less as unknown as KubeObject;
        conflicts = [...conflicts, ...found];
      }
    }
  }

  /** `wanted`: name and status. Nobody else writes a status: fields that somebody took are taken back. */
  async applyStatus<T extends KubeObject>(
    resource: Resource<T>,
    wanted: KubeObject,
    live: T,
    signal?: AbortSignal,
  ): Promise<Applied<T>> {
    if (this.#unchanged(resource, wanted, live, "status")) return this.#told(resource, "unchanged", live, []);
    const object = await this.#client.applyStatus<T>(resource, wanted, signal);
    this.#remember(resource, wanted, object, "status", []);
    return this.#told(resource, "applied", object, []);
  }

  /** Of an object that is gone. */
  forget(resource: Resource, name: ObjectName): void {
    for (const subresource of ["", "status"]) this.#remembered.delete(pathOf(resource, name, subresource || undefined));
  }

  /** The conflicts that remain when nothing is to be written; undefined when something is. */
  #unchanged(
    resource: Resource,
    wanted: KubeObject,
    live: KubeObject | undefined,
    subresource: string,
  ): readonly FieldConflict[] | undefined {
    if (live === undefined || live.metadata.deletionTimestamp !== undefined) return undefined;
    const before = this.#remembered.get(pathOf(resource, wanted.metadata, subresource || undefined));
    if (before !== undefined && before.wanted === digest(wanted)) {
      if (before.fields === this.#fields(live, subresource, before.conflicts.length > 0)) return before.conflicts;
    }
    // Also after a restart, when nothing is remembered.
    const fields = fieldsOf(live, this.#manager(subresource), subresource);
    return fields !== undefined && owned(fields, fieldsWanted(wanted), live) ? [] : undefined;
  }

  #remember(
    resource: Resource,
    wanted: KubeObject,
    object: KubeObject,
    subresource: string,
    conflicts: readonly FieldConflict[],
  ): void {
    const path = pathOf(resource, wanted.metadata, subresource || undefined);
    this.#remembered.delete(path); // so that it becomes the newest
    const fields = this.#fields(object, subresource, conflicts.length > 0);
    this.#remembered.set(path, { wanted: digest(wanted), fields, conflicts });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > mostRemembered && oldest !== undefined) this.#remembered.delete(oldest);
  }

  /** With conflicts whatever another does may end them: it gives the field up, or sets it as we want it. */
  #fields(object: KubeObject, subresource: string, conflicts: boolean): string {
    const { uid, generation, managedFields = [] } = object.metadata;
    if (!conflicts) return digest([uid, fieldsOf(object, this.#manager(subresource), subresource)]);
    return digest([uid, generation, managedFields.filter((entry) => (entry.subresource ?? "") === subresource)]);
  }

  #manager(subresource: string): string {
    return subresource === "" ? this.#client.fieldManager : `${this.#client.fieldManager}-${subresource}`;
  }

  #told<T>(
    { plural }: Resource,
    outcome: Applied<T>["outcome"],
    object: T,
    conflicts: readonly FieldConflict[],
  ): Applied<T> {
    const label = { resource: plural, outcome: conflicts.length > 0 ? `${outcome}_but_for_conflicts` : outcome };
    this.#metrics.add("tapline_operator_applies_total", label, 1);
    return { outcome, object, conflicts };
  }
}

const digest = (value: unknown): string =>
  createHash("sha256")
    .update(JSON.stringify(value) ?? "")
    .digest("base64");

function conflictsOf(status: unknown): FieldConflict[] {
  if (!isStatus(status)) return [];
  return fieldConflicts(status).map(({ field = "", message = "" }) => ({
    field,
    manager: /conflict with "([^"]+)"/.exec(message)?.[1] ?? message,
  }));
}
