// What the controllers know of a node: from the cluster's Node object, and from what its agents reported. Enters: labels and a selector. Leaves: which
// nodes are meant. Pure.
import type { LabelSelector } from "#domain/custom-resource.ts";

export interface NodeFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** InternalIP, in the Node's order */
  readonly addresses: readonly string[];
  /** by name; undefined: nothing on the node has told yet */
  readonly interfaces?: ReadonlyMap<string, { readonly mtu: number }> | undefined;
  /** its relay has been heard within three intervals */
  readonly reporting?: boolean;
}

/** An empty selector means every node, as everywhere in Kubernetes. */
export function selects(selector: LabelSelector, labels: NodeFacts["labels"]): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((one) => holds(one, labels[one.key]))
  );
}

type LabelExpression = NonNullable<LabelSelector["matchExpressions"]>[number];

function holds({ operator, values = [] }: LabelExpression, value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}
