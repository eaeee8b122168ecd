// A rule's hops and segments as sums over its nodes. Pure. Enters: where it was laid out, and what its relays told. Leaves: one sum for each hop, and for each pair of hops with tunnels between.
import { mostWorst, type WorstNode } from "#domain/custom-resource.ts";
import type { RelaySegment } from "#domain/relay-rule-status.ts";
import type { Layout, PlacedPath, Refusal } from "../controllers/relayrule/lay-out.ts";
import type { PathLedger } from "./path-ledger.ts";
import { type RelayState, type RuleTally, sumsOf } from "./relay-book.ts";
import { about, exact, listed } from "./words.ts";

export interface RuleView {
  readonly layout: Layout | Refusal;
  readonly relay: (node: string) => RelayState | undefined;
  readonly path: (path: number) => PathLedger | undefined;
  /** it runs there, in its newest form, and the relay said so */
  readonly programmed: (node: string, id: string) => boolean;
  /** for whom a node's plan waits: stage.ts */
  readonly waitsFor: (node: string) => readonly string[];
  /** why the apiserver takes no more pods of relays; undefined: it takes all */
  readonly podsRefused: string | undefined;
  /** monotonic, ms */
  readonly now: number;
}

export interface NodeRule {
  readonly node: string;
  readonly reporting: boolean;
  readonly tally: RuleTally | undefined;
  readonly clockOff: boolean;
}
export interface HopSum {
  readonly name: string;
  readonly begins: boolean;
  readonly nodes: readonly string[];
  readonly programmed: number;
  readonly silent: readonly string[];
  readonly rules: readonly NodeRule[];
  readonly matched: number;
  readonly refused: Record<string, number>;
  readonly sent: number;
  readonly wireSent: number;
  readonly dropped: Record<string, number>;
  readonly lost: number;
  readonly inPps: number;
  readonly pps: number;
  readonly bps: number;
  readonly movedAt: number;
}

export function hopsOf(layout: Layout, view: RuleView): HopSum[] {
  const byHop = Map.groupBy(layout.rules, ({ hop }) => hop);
  const into = Map.groupBy(layout.paths, ({ to }) => to.hop);
  return [...layout.hops].map(([name, nodes]) => {
    const placed = byHop.get(name) ?? [];
    const rules = placed.map(({ node, rule }): NodeRule => {
      const state = view.relay(node);
      const reporting = state?.heard.reporting(view.now) ?? false;
      return { node, reporting, tally: state?.rules.get(rule.id), clockOff: state?.clockOffMs !== undefined };
    });
    const add = (pick: (tally: RuleTally) => number): number => rules.reduce((all, { tally }) => all + (tally ? pick(tally) : 0), 0); // biome-ignore format: one row
    const sums = (pick: (tally: RuleTally) => Readonly<Partial<Record<string, number>>>): Record<string, number> =>
      sumsOf(rules.flatMap(({ tally }) => (tally ? [pick(tally)] : [])));
    const outputs = placed[0]?.rule.to ?? [];
    const wire = outputs.filter(({ tunnel }) => !tunnel).length;
    const tunnelled = layout.paths.filter(({ from }) => from.hop === name).reduce((all, { path }) => all + (view.path(path)?.sentTotal ?? 0), 0); // biome-ignore format: one row
    const live = rules.filter((one) => one.reporting);
    return {
      name,
      begins: placed.some(({ rule }) => rule.from.tunnel === undefined),
      nodes,
      programmed: nodes.filter((node) => placed.every((one) => one.node !== node || view.programmed(node, one.rule.id))).length, // biome-ignore format: one row
      silent: nodes.filter((node) => view.relay(node)?.heard.reporting(view.now) !== true),
      rules,
      matched: add(({ matched }) => matched),
      refused: sums(({ refused }) => refused),
      sent: add(({ sent }) => sent),
      wireSent: wire === 0 ? 0 : Math.max(0, add(({ sent }) => sent) - tunnelled),
      dropped: sums(({ dropped }) => dropped),
      lost: (into.get(name) ?? []).reduce((all, { path }) => all + (view.path(path)?.lost ?? 0), 0),
      inPps: outputs.length === 0 ? 0 : live.reduce((all, { tally }) => all + (tally?.pps ?? 0), 0) / outputs.length, // biome-ignore format: one row
      pps: live.reduce((all, { tally }) => all + (tally?.pps ?? 0), 0),
      bps: live.reduce((all, { tally }) => all + (tally?.bps ?? 0), 0),
      movedAt: Math.max(-Infinity, ...rules.map(({ tally }) => tally?.movedAt ?? -Infinity)),
    };
  });
}

export interface Segment extends RelaySegment {
  readonly paths: readonly PlacedPath[];
  readonly worst: WorstNode[];
}

export function segmentsOf(layout: Layout, hops: readonly HopSum[], view: RuleView): Segment[] {
  const single = new Map(hops.map(({ name, nodes }) => [name, nodes.length === 1]));
  const pairs = Map.groupBy(layout.paths, ({ from, to }) => `${from.hop}\n${to.hop}`);
  return [...pairs.values()].map((paths) => {
    const [{ from, to } = { from: { hop: "" }, to: { hop: "" } }] = paths;
    const add = (pick: (ledger: PathLedger) => number): number =>
      paths.reduce((all, { path }) => {
        const ledger = view.path(path);
        return all + (ledger ? pick(ledger) : 0);
      }, 0);
    const worst = [...Map.groupBy(paths, (one) => one.to.node)]
      .map(([node, own]) => {
        const lost = own.reduce((all, { path }) => all + (view.path(path)?.lost ?? 0), 0);
        const sent = own.reduce((all, { path }) => all + (view.path(path)?.sentTotal ?? 0), 0);
        return { node, lost, reason: "Lost", message: `${exact(lost)} of ${about(sent)} on the way from ${fromText(own, single)}` }; // biome-ignore format: one row
      })
      .filter(({ lost }) => lost > 0)
      .toSorted((a, b) => b.lost - a.lost)
      .slice(0, mostWorst);
    return { from: from.hop, to: to.hop, sent: add(({ sentTotal }) => sentTotal), lost: add(({ lost }) => lost), paths, worst }; // biome-ignore format: one row
  });
}

export const endText = ({ hop, node }: { hop: string; node: string }, single: ReadonlyMap<string, boolean>): string =>
  single.get(hop) === true ? hop : node;
const fromText = (paths: readonly PlacedPath[], single: ReadonlyMap<string, boolean>): string =>
  listed([...new Set(paths.map(({ from }) => endText(from, single)))]);
