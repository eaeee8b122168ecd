// One RelayRule over the nodes: which rule runs where, and by which tunnels. Pure. A tunnel's path belongs to one way from the rule's input to one node:
// where two ways meet, each keeps its own path, as the packets on it stay apart, too (nothing removes duplicates). So what was lost between two nodes is
// counted for these two alone.
import { createHash } from "node:crypto";
import { parseAddress } from "#domain/ip-address.ts";
import { mostOutputs } from "#domain/relay-fields.ts";
import { type RelayRule as NodeRule, relayRule } from "#domain/relay-rule.ts";
import type { RelayHop, RelayHopInput, RelayHopOutput } from "#domain/relay-rule-object.ts";
import { type NodeFacts, selects } from "../nodes.ts";
import type { Paths } from "./paths.ts";
import type { RuleObject } from "./rule-object.ts";

/** A tunnel between two nodes. */
export interface PlacedPath {
  readonly path: number;
  readonly rule: string;
  readonly from: PathEnd;
  readonly to: PathEnd;
}
interface PathEnd {
  readonly hop: string;
  readonly node: string;
  /** of the rule at this end, as its relay reports it */
  readonly id: string;
}

export interface PlacedRule {
  readonly node: string;
  readonly hop: string;
  readonly rule: NodeRule & { readonly id: string };
}

export interface Layout {
  readonly rules: readonly PlacedRule[];
  readonly paths: readonly PlacedPath[];
  /** nodes of each hop, sorted */
  readonly hops: ReadonlyMap<string, readonly string[]>;
}

/** Why a rule cannot be laid out: the reason of its condition, and the message. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** Of one RelayRule: ways multiply where hops of several nodes follow each other. */
export const mostPaths = 4096;

export function nodesOf(hop: RelayHop, nodes: ReadonlyMap<string, NodeFacts>): string[] {
  const { names, selector } = hop.nodes;
  if (names !== undefined) return [...new Set(names)].sort();
  return selector === undefined
    ? []
    : [...nodes.values()].filter(({ labels }) => selects(selector, labels)).map(({ name }) => name).sort(); // biome-ignore format: reads as one
}

export function layOut(object: RuleObject, nodes: ReadonlyMap<string, NodeFacts>, paths: Paths): Layout | Refusal {
  const hops = new Map(object.spec.hops.map((hop) => [hop.name, nodesOf(hop, nodes)]));
  const wrong = refusal(object, hops, nodes);
  if (wrong) return wrong;
  const rules: PlacedRule[] = [];
  const placed: PlacedPath[] = [];
  const byName = new Map(object.spec.hops.map((hop) => [hop.name, hop]));

  /** The rule of a hop on a node for one way, and all that comes after it. False when there are too many. */
  const place = (hop: RelayHop, node: string, way: Way, arrived: PlacedPath | undefined): boolean => {
    const id = arrived?.to.id ?? ruleId(object.name, hop.name);
    const to: NodeRule["to"] = [];
    for (const output of hop.to) {
      const next = output.hop === undefined ? undefined : byName.get(output.hop);
      if (!next) {
        to.push(wireOutput(output));
        continue;
      }
      for (const receiver of hops.get(next.name) ?? []) {
        if (placed.length >= mostPaths) return false;
        const on = { ...way, text: `${way.text}>${next.name}@${receiver}` };
        const { path, key } = paths.of(object.uid, on.text);
        const [source, address] = tunnelEnds(nodes.get(node), nodes.get(receiver)) ?? ["", ""];
        to.push({ tunnel: { path, key, to: address, source } });
        const end: PlacedPath = {
          path,
          rule: object.name,
          from: { hop: hop.name, node, id },
          to: { hop: next.name, node: receiver, id: ruleId(object.name, next.name, path) },
        };
        placed.push(end);
        if (!place(next, receiver, on, end)) return false;
      }
    }
    rules.push({ node, hop: hop.name, rule: nodeRule(object, hop, id, to, arrived && inputOf(arrived, way)) });
    return true;
  };
  const inputOf = (arrived: PlacedPath, { protocol }: Way): NodeRule["from"] => {
    const { to, from, path } = arrived;
    const [source = ""] = tunnelEnds(nodes.get(from.node), nodes.get(to.node)) ?? [];
    const { key } = paths.known(path);
    return { tunnel: { path, key, peers: [source] }, protocol, sources: [] };
  };

  for (const hop of object.spec.hops) {
    if (hop.from === undefined) continue;
    const { protocol } = hop.from;
    for (const node of hops.get(hop.name) ?? [])
      if (!place(hop, node, { text: `${hop.name}@${node}`, protocol }, undefined))
        return {
          reason: "TooManyPaths",
          message: `the hops make more than ${mostPaths} ways from the input to a node: every copy of a packet is one. Name fewer nodes, or make it two rules`,
        };
  }
  const wide = rules.find(({ rule }) => rule.to.length > mostOutputs);
  if (wide)
    return {
      reason: "TooManyOutputs",
      message: `hop ${wide.hop} sends to ${wide.rule.to.length} places from ${wide.node}, and ${mostOutputs} is the limit: let another hop between them copy on`,
    };
  return invalid(rules) ?? { rules, paths: placed, hops };
}

/** From an input to where a packet is; text names it for ever, since its paths' numbers are made of it. */
interface Way {
  readonly text: string;
  readonly protocol: RelayHopInput["protocol"];
}

/** A relay refuses a whole plan for one bad rule, so none may come into it. */
function invalid(rules: readonly PlacedRule[]): Refusal | undefined {
  for (const { hop, rule } of rules) {
    const [issue] = relayRule.safeParse(rule).error?.issues ?? [];
    if (issue) return { reason: "Invalid", message: `hop ${hop}: ${issue.path.join(".")}: ${issue.message}` };
  }
  return undefined;
}

/** In the order in which a person would look: is anything selected, does it exist, can it be reached. */
function refusal(
  { spec }: RuleObject,
  hops: ReadonlyMap<string, readonly string[]>,
  nodes: ReadonlyMap<string, NodeFacts>,
): Refusal | undefined {
  for (const hop of spec.hops) {
    const named = hops.get(hop.name) ?? [];
    if (named.length === 0)
      return { reason: "NoNodes", message: `hop ${hop.name} selects no node: kubectl get nodes --show-labels` };
    const unknown = named.filter((node) => !nodes.has(node));
    if (unknown.length > 0)
      return { reason: "UnknownNode", message: `hop ${hop.name} names ${list(unknown)}, which the cluster does not have` }; // biome-ignore format: one row
    const sends = hop.to.some((output) => output.hop !== undefined);
    if (hop.from && sends && named.length > 1)
      return {
        reason: "SeveralSources",
        message: `hop ${hop.name} has an input and a tunnel, and selects ${named.length} nodes (${list(named)}): each would send its own copy. Name one node`,
      };
    for (const [what, wanted] of interfacesOf(hop)) {
      const without = named.filter((node) => nodes.get(node)?.interfaces?.has(wanted) === false);
      if (without.length > 0)
        return {
          reason: "InterfaceMissing",
          message: `hop ${hop.name} ${what} ${wanted}, which ${list(without)} ${without.length === 1 ? "does" : "do"} not have: ip link shows what is there`,
        };
    }
  }
  return unreachable(spec.hops, hops, nodes);
}

function unreachable(
  all: readonly RelayHop[],
  hops: ReadonlyMap<string, readonly string[]>,
  nodes: ReadonlyMap<string, NodeFacts>,
): Refusal | undefined {
  for (const hop of all)
    for (const { hop: next } of hop.to) {
      if (next === undefined) continue;
      for (const node of hops.get(hop.name) ?? [])
        for (const receiver of hops.get(next) ?? []) {
          if (node === receiver)
            return { reason: "SameNode", message: `hops ${hop.name} and ${next} are both on ${node}: a tunnel to itself carries nothing. Give ${hop.name} the outputs of ${next}` }; // biome-ignore format: one row
          if (!tunnelEnds(nodes.get(node), nodes.get(receiver)))
            return { reason: "NoAddress", message: `${node} and ${receiver} have no InternalIP of one IP version: a tunnel from ${hop.name} to ${next} needs one` }; // biome-ignore format: one row
        }
    }
  return undefined;
}

function* interfacesOf(hop: RelayHop): Generator<readonly [string, string]> {
  if (hop.from?.interface !== undefined) yield ["takes packets from", hop.from.interface];
  for (const output of hop.to) if (output.interface !== undefined) yield ["sends to", output.interface];
}

/** The two nodes' addresses of one family: the sender's first that has a match. */
function tunnelEnds(from: NodeFacts | undefined, to: NodeFacts | undefined): readonly [string, string] | undefined {
  for (const source of from?.addresses ?? []) {
    const length = parseAddress(source)?.length;
    const address = to?.addresses.find((one) => length !== undefined && parseAddress(one)?.length === length);
    if (address !== undefined) return [source, address];
  }
  return undefined;
}

const list = (names: readonly string[]): string =>
  names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");

/** A rule's id on a node; counters follow it. Names of RelayRules may be longer than an id: the hop and the path tell them apart. */
const ruleId = (rule: string, hop: string, path?: number): string =>
  `${short(rule)}/${short(hop)}${path === undefined ? "" : `/${path}`}`;
const short = (name: string): string =>
  name.length <= 40 ? name : `${name.slice(0, 31)}-${createHash("sha256").update(name).digest("hex").slice(0, 8)}`;

function wireOutput(output: RelayHopOutput): NodeRule["to"][number] {
  const { hop: _hop, ...wire } = output;
  return wire;
}

function nodeRule(
  { spec }: RuleObject,
  hop: RelayHop,
  id: string,
  to: NodeRule["to"],
  arrived: NodeRule["from"] | undefined,
): PlacedRule["rule"] {
  const { protocol = "UDP", sources = [], ...input } = hop.from ?? {};
  return {
    id,
    from: arrived ?? { ...input, protocol, sources: [...sources] },
    to,
    engine: spec.engine,
    deliverLocal: arrived === undefined && spec.deliverLocal,
    // The limit is on what comes in: once, and not again at every hop.
    ...(arrived === undefined && spec.limit ? { limit: spec.limit } : {}),
    ...(spec.storm ? { storm: spec.storm } : {}),
  };
}
