// A RelayRule of the cluster as the controller sees it.
import type { RelayRuleSpec } from "#domain/relay-rule-object.ts";

export interface RuleObject {
  readonly name: string;
  readonly uid: string;
  /** creationTimestamp, RFC 3339 in UTC */
  readonly created: string;
  readonly generation: number;
  /** being deleted: it places nothing any more */
  readonly leaving?: boolean;
  readonly spec: RelayRuleSpec;
}

/** The one that was there first, first. Also for other kinds. */
export const byAge = (a: { created: string; name: string }, b: { created: string; name: string }): number =>
  a.created.localeCompare(b.created) || a.name.localeCompare(b.name);
