// All rules of a relay together: what only shows when they are side by side. Pure. Two rules may not take the same packets; and no packet may come
// round: an output that is another rule's input is an edge of a graph, and a cycle in it is refused.
import { parseAddress } from "./ip-address.ts";
import {
  destinationOf,
  inputText,
  mostRules,
  type NamedOutput,
  type NamedRule,
  portOf,
  tooMany,
} from "./relay-rule.ts";

/** A rule of a node. */
interface RuleAt {
  readonly node: string;
  /** its id; empty: all of them */
  readonly rule: string;
}
export interface RuleProblem extends RuleAt {
  readonly kind: "number" | "same" | "loop";
  readonly text: string;
  /** the others that it takes for this problem */
  readonly beside: readonly RuleAt[];
}

/** Rules of several nodes, for a check of all their files at once: tunnels join them. */
export interface NodeRules {
  /** names the node, or its file; empty when there is one only */
  readonly node: string;
  readonly rules: readonly NamedRule[];
}

export function checkRules(nodes: readonly NodeRules[]): RuleProblem[] {
  const problems = nodes.flatMap((one) => [...tooManyRules(one), ...sameIds(one), ...sameInputs(one)]);
  // A loop of rules that are twice the same would only repeat what is said already.
  return problems.length > 0 ? problems : loops(nodes);
}

const tooManyRules = ({ node, rules }: NodeRules): RuleProblem[] =>
  rules.length > mostRules ? [{ kind: "number", node, rule: "", text: `it ${tooMany(rules.length)}`, beside: [] }] : [];

function sameIds({ node, rules }: NodeRules): RuleProblem[] {
  const seen = new Set<string>();
  return rules.flatMap(({ id, to }) => {
    const problem = (text: string): RuleProblem => ({ kind: "same", node, rule: id, text, beside: [] });
    const again = seen.has(id) ? [problem("there is another rule with this id: its counters would be mixed")] : [];
    seen.add(id);
    const outputs = new Set(to.map((output) => output.id));
    return outputs.size === to.length ? again : [...again, problem("two of its outputs have one id")];
  });
}

const bytesText = (text: string): string => parseAddress(text)?.join(".") ?? text;

/** Names a place that packets are at: as a rule waits for them, and as an output sends them. */
const wirePlace = (node: string, name: string, vlan: number, protocol: string, to: string, port: number): string =>
  `${node}|${name}|${vlan}|${protocol}|${bytesText(to)}|${port}`;
const tunnelPlace = (path: number): string => `tunnel|${path}`;

const inputPlace = (node: string, { from }: NamedRule): string =>
  from.tunnel
    ? tunnelPlace(from.tunnel.path)
    : wirePlace(
        node,
        from.interface ?? "",
        from.vlan ?? 0,
        from.protocol,
        from.group ?? from.address ?? "",
        from.port ?? 0,
      );

/** A rule without sources beside one with some is no overlap: the one that names the source takes its packets. */
function sameInputs({ node, rules }: NodeRules): RuleProblem[] {
  const taken = new Map<string, string>();
  return rules.flatMap((rule) => {
    const place = inputPlace("", rule);
    const sources = rule.from.sources.length === 0 ? ["any"] : rule.from.sources.map(bytesText);
    const other = sources.map((source) => taken.get(`${place}|${source}`)).find((found) => found !== undefined);
    for (const source of sources) taken.set(`${place}|${source}`, rule.id);
    if (other === undefined) return [];
    const text = `takes the same packets as ${other}: ${inputText(rule)}. Give one rule both outputs`;
    return [{ kind: "same", node, rule: rule.id, text, beside: [{ node, rule: other }] }];
  });
}

/** Undefined: any source. */
type Sources = ReadonlySet<string> | undefined;
const acceptedBy = ({ from }: NamedRule): Sources =>
  from.sources.length === 0 ? undefined : new Set(from.sources.map(bytesText));
const sentBy = (rule: NamedRule, output: NamedOutput): Sources =>
  output.source === undefined ? acceptedBy(rule) : new Set([bytesText(output.source)]);
const meet = (a: Sources, b: Sources): boolean =>
  a === undefined || b === undefined || [...a].some((source) => b.has(source));

interface Vertex {
  readonly node: string;
  readonly rule: NamedRule;
}

/**
 * Edges are judged one by one: that a source which the first rule lets in is not one that the third does, is not followed.
 * Depth first, without recursion: ten thousand rules may be one chain.
 */
function loops(nodes: readonly NodeRules[]): RuleProblem[] {
  const vertices = nodes.flatMap(({ node, rules }) => rules.map((rule): Vertex => ({ node, rule })));
  const waiting = Map.groupBy(vertices.keys(), (i) => {
    const { node, rule } = vertices[i] as Vertex;
    return inputPlace(node, rule);
  });
  const next = (i: number): number[] => {
    const { node, rule } = vertices[i] as Vertex;
    return rule.to.flatMap((output) => {
      const place = output.tunnel
        ? tunnelPlace(output.tunnel.path)
        : wirePlace(
            node,
            output.interface ?? "",
            0,
            rule.from.protocol,
            destinationOf(rule, output) ?? "",
            portOf(rule, output) ?? 0,
          );
      const sent = output.tunnel ? undefined : sentBy(rule, output);
      return (waiting.get(place) ?? []).filter((at) => meet(sent, acceptedBy((vertices[at] as Vertex).rule)));
    });
  };
  const state = new Uint8Array(vertices.length); // 0 unseen, 1 on the way, 2 done
  const found: RuleProblem[] = [];
  for (const start of vertices.keys()) {
    if (state[start] !== 0) continue;
    const way: { readonly at: number; readonly edges: number[] }[] = [{ at: start, edges: next(start) }];
    state[start] = 1;
    for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
      const edge = top.edges.pop();
      if (edge === undefined) {
        state[top.at] = 2;
        way.pop();
      } else if (state[edge] === 0) {
        state[edge] = 1;
        way.push({ at: edge, edges: next(edge) });
      } else if (state[edge] === 1) {
        const round = way.slice(way.findIndex(({ at }) => at === edge)).map(({ at }) => vertices[at] as Vertex);
        found.push(loopProblem(round));
      }
    }
  }
  return found;
}

function loopProblem(round: readonly Vertex[]): RuleProblem {
  const names = round.map(({ node, rule }) => (node === "" ? rule.id : `${node}: ${rule.id}`));
  const shown = names.length > 6 ? [...names.slice(0, 3), `… ${names.length - 5} more …`, ...names.slice(-2)] : names;
  const [first = ""] = names;
  const [at, ...others] = round.map(({ node, rule }): RuleAt => ({ node, rule: rule.id }));
  return {
    kind: "loop",
    node: at?.node ?? "",
    rule: at?.rule ?? "",
    beside: others,
    text: `is in a loop, in which packets would go round: ${[...shown, first].join(" → ")}`,
  };
}
