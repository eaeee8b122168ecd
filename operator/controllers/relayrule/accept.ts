// All RelayRules together → what each node shall run, and which rules are refused and why. Pure. What one rule can be told by itself is checked by the API
// server; here is what only shows beside nodes and other rules. Where two rules contradict each other the older one stays.
import { checkRules, type NodeRules, type RuleProblem } from "#domain/relay-checks.ts";
import { mostRules, namedRule } from "#domain/relay-rule.ts";
import type { NodeFacts } from "../nodes.ts";
import { type Layout, layOut, type PlacedPath, type PlacedRule, type Refusal } from "./lay-out.ts";
import { Paths } from "./paths.ts";
import { byAge, type RuleObject } from "./rule-object.ts";

export interface Accepted {
  readonly object: RuleObject;
  readonly layout: Layout;
}
export interface Decision {
  readonly accepted: ReadonlyMap<string, Accepted>;
  readonly refused: ReadonlyMap<string, Refusal>;
  /** of all accepted ones, by node, in the order of their ids */
  readonly nodes: ReadonlyMap<string, readonly PlacedRule["rule"][]>;
  readonly paths: readonly PlacedPath[];
}

export function decide(
  objects: readonly RuleObject[],
  nodes: ReadonlyMap<string, NodeFacts>,
  secret: Buffer,
): Decision {
  const paths = new Paths(secret);
  const accepted = new Map<string, Accepted>();
  const refused = new Map<string, Refusal>();
  for (const object of objects.filter(({ leaving }) => leaving !== true).toSorted(byAge)) {
    const layout = layOut(object, nodes, paths);
    if ("reason" in layout) refused.set(object.name, layout);
    else accepted.set(object.name, { object, layout });
  }
  for (;;) {
    const found = contradictions(accepted);
    if (found.size === 0) break;
    for (const [name, why] of found) {
      accepted.delete(name);
      refused.set(name, why);
    }
  }
  return {
    accepted,
    refused,
    nodes: new Map([...byNode(accepted)].map(([node, rules]) => [node, rules.map(({ rule }) => rule).toSorted(byId)])),
    paths: [...accepted.values()].flatMap(({ layout }) => layout.paths),
  };
}

const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

interface Owned extends PlacedRule {
  readonly owner: string;
}

function byNode(accepted: ReadonlyMap<string, Accepted>): Map<string, Owned[]> {
  const all = [...accepted].flatMap(([owner, { layout }]) => layout.rules.map((one): Owned => ({ ...one, owner })));
  return Map.groupBy(all, ({ node }) => node);
}

/** Of each contradiction the youngest rule, and why it is refused. */
function contradictions(accepted: ReadonlyMap<string, Accepted>): Map<string, Refusal> {
  const nodes = byNode(accepted);
  const age = new Map([...accepted.keys()].map((name, i) => [name, i])); // in order of age
  const youngest = (names: readonly string[]): string =>
    names.reduce((a, b) => ((age.get(b) ?? 0) > (age.get(a) ?? 0) ? b : a));
  const found = new Map<string, Refusal>();
  for (const [node, rules] of nodes)
    if (rules.length > mostRules) {
      const last = youngest(rules.map(({ owner }) => owner));
      found.set(last, { reason: "NodeFull", message: `${node} would have ${rules.length} rules, and ${mostRules} is the limit of a relay` }); // biome-ignore format: one row
    }
  if (found.size > 0) return found;
  const owners = new Map([...nodes].flatMap(([node, rules]) => rules.map(({ rule, owner }) => [`${node}|${rule.id}`, owner] as const))); // biome-ignore format: one row
  const all: NodeRules[] = [...nodes].map(([node, rules]) => ({ node, rules: rules.map(({ rule }) => namedRule(rule)) })); // biome-ignore format: one row
  for (const problem of checkRules(all)) {
    const ends = [{ node: problem.node, rule: problem.rule }, ...problem.beside];
    const names = [...new Set(ends.map(({ node, rule }) => owners.get(`${node}|${rule}`) ?? ""))].filter(Boolean);
    const [only] = names;
    if (only === undefined) continue;
    const blamed = youngest(names);
    if (found.has(blamed)) continue;
    const others = names.filter((name) => name !== blamed);
    found.set(blamed, told(problem.kind, problem.text, problem.node, others));
  }
  return found;
}

function told(kind: RuleProblem["kind"], text: string, node: string, others: readonly string[]): Refusal {
  const beside =
    others.length === 0 ? "" : ` The older ${others.join(", ")} ${others.length === 1 ? "stays" : "stay"}.`;
  return kind === "loop"
    ? { reason: "Loop", message: `it ${text}.${beside}` }
    : { reason: "Overlap", message: `on ${node}, it ${text}.${beside}` };
}
