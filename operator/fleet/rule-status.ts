// A RelayRule's status: from where it was laid out, what its nodes have acknowledged, and what their relays tell. Pure. When packets are lost the message names the
// segment: between which hops, or in which; a hop of one node by its own name, else the node's.
import { mostWorst, type ObjectCondition, type WorstNode } from "#domain/custom-resource.ts";
import type { RelayHopStatus, RelayRuleCondition, RelayRuleStatus, RelaySegment } from "#domain/relay-rule-status.ts";
import type { Layout, PlacedPath, Refusal } from "../controllers/relayrule/lay-out.ts";
import { lossToldMs, type PathLedger } from "./path-ledger.ts";
import { lossyRefusals, type RelayState, type RuleTally, total } from "./relay-book.ts";
import { about, byReasonText, exact, listed } from "./words.ts";

export type Holding = Pick<ObjectCondition, "status" | "reason" | "message"> & { readonly type: string };
/** Conditions are without times yet: the last ones decide about those. */
export interface RuleVerdict {
  readonly holding: readonly (Holding & { readonly type: RelayRuleCondition })[];
  readonly figures: Omit<RelayRuleStatus, "conditions" | "observedGeneration">;
}

export interface RuleView {
  readonly layout: Layout | Refusal;
  readonly relay: (node: string) => RelayState | undefined;
  readonly path: (path: number) => PathLedger | undefined;
  /** it runs there, in its newest form, and the relay said so */
  readonly programmed: (node: string, id: string) => boolean;
  /** for whom a node's plan waits: stage.ts */
  readonly waitsFor: (node: string) => readonly string[];
  /** monotonic, ms */
  readonly now: number;
}

export function ruleVerdict(view: RuleView): RuleVerdict {
  const { layout } = view;
  if ("reason" in layout) {
    const off = { status: "False", reason: "NotAccepted", message: "the rule is not accepted: nothing of it runs" } as const; // biome-ignore format: one row
    const holding = [
      { type: "Accepted", status: "False", ...layout } as const,
      ...(["Programmed", "Receiving", "Lossless", "Ready"] as const).map((type) => ({ type, ...off })),
    ];
    return { holding, figures: {} };
  }
  const hops = hopsOf(layout, view);
  const segments = segmentsOf(layout, hops, view);
  const nodes = new Map(layout.rules.map(({ node }) => [node, true]));
  const accepted: Verdict = { status: "True", reason: "Accepted", message: `${counted(layout.rules.length, "rule")} on ${counted(nodes.size, "node")}` }; // biome-ignore format: one row
  const programmed = programmedVerdict(layout, view);
  const first = hops.filter(({ begins }) => begins);
  const sum = (of: readonly HopSum[], pick: (hop: HopSum) => number): number => of.reduce((all, hop) => all + pick(hop), 0); // biome-ignore format: one row
  return {
    holding: [
      { type: "Accepted", ...accepted },
      { type: "Programmed", ...programmed },
      { type: "Receiving", ...receivingVerdict(hops, view.now) },
      { type: "Lossless", ...losslessVerdict(hops, segments, view) },
      { type: "Ready", ...readyVerdict(programmed, hops) },
    ],
    figures: {
      nodes: nodes.size,
      programmed: [...nodes.keys()].filter((node) => layout.rules.every((one) => one.node !== node || view.programmed(node, one.rule.id))).length, // biome-ignore format: one row
      received: sum(first, ({ matched }) => matched),
      sent: sum(hops, ({ wireSent }) => wireSent),
      lost: segments.reduce((all, { lost }) => all + lost, 0),
      dropped: sum(hops, ({ dropped }) => total(dropped)),
      pps: Math.round(sum(first, ({ inPps }) => inPps)),
      hops: hops.map(hopStatus),
      segments: segments.map(({ from, to, sent, lost, worst }) => ({ from, to, sent, lost, ...(worst.length > 0 ? { worst } : {}) })), // biome-ignore format: one row
    },
  };
}

type Verdict = Omit<Holding, "type">;

interface NodeRule {
  readonly node: string;
  readonly reporting: boolean;
  readonly tally: RuleTally | undefined;
  readonly clockOff: boolean;
}
interface HopSum {
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

function hopsOf(layout: Layout, view: RuleView): HopSum[] {
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
    const sums = (pick: (tally: RuleTally) => Readonly<Partial<Record<string, number>>>): Record<string, number> => {
      const all: Record<string, number> = {};
      for (const { tally } of rules)
        for (const [reason, count = 0] of Object.entries(tally ? pick(tally) : {})) all[reason] = (all[reason] ?? 0) + count; // biome-ignore format: one row
      return all;
    };
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

interface Segment extends RelaySegment {
  readonly paths: readonly PlacedPath[];
  readonly worst: WorstNode[];
}

function segmentsOf(layout: Layout, hops: readonly HopSum[], view: RuleView): Segment[] {
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

const endText = ({ hop, node }: { hop: string; node: string }, single: ReadonlyMap<string, boolean>): string =>
  single.get(hop) === true ? hop : node;
const fromText = (paths: readonly PlacedPath[], single: ReadonlyMap<string, boolean>): string =>
  listed([...new Set(paths.map(({ from }) => endText(from, single)))]);

function programmedVerdict(layout: Layout, view: RuleView): Verdict {
  const late = [...new Set(layout.rules.filter(({ node, rule }) => !view.programmed(node, rule.id)).map(({ node }) => node))]; // biome-ignore format: one row
  const nodes = new Set(layout.rules.map(({ node }) => node));
  if (late.length === 0) return { status: "True", reason: "Programmed", message: `${counted(nodes.size, "node")} ${nodes.size === 1 ? "runs" : "run"} this generation` }; // biome-ignore format: one row
  const silent = late.filter((node) => view.relay(node)?.heard.reporting(view.now) !== true);
  if (silent.length > 0)
    return { status: "False", reason: "NotReporting", message: `not reporting: ${listed(silent)}` };
  const refusing = late.filter((node) => view.relay(node)?.head.plan.state === "refused");
  if (refusing.length > 0) {
    const why = view.relay(refusing[0] ?? "")?.head.conditions.find(({ code }) => code.startsWith("RELAY_PLAN"));
    return { status: "False", reason: "PlanRefused", message: `refused by ${listed(refusing)}${why ? `: ${why.message}` : ""}` }; // biome-ignore format: one row
  }
  const waits = [...new Set(late.flatMap(view.waitsFor))].filter((node) => !late.includes(node));
  return {
    status: "False",
    reason: "Waiting",
    message: `not yet run by ${listed(late)}${waits.length > 0 ? `, which wait for ${listed(waits)}` : ""}`,
  };
}

/** A packet within this time: it is receiving. */
const receivingMs = 10_000;

function receivingVerdict(hops: readonly HopSum[], now: number): Verdict {
  const quiet = hops.filter(({ movedAt, silent, nodes }) => now - movedAt > receivingMs && silent.length < nodes.length);
  const [first] = quiet;
  const unheard = hops.filter(({ silent, nodes }) => silent.length === nodes.length);
  if (unheard.length > 0) return { status: "Unknown", reason: "NotReporting", message: `hop ${unheard[0]?.name} is not reporting` }; // biome-ignore format: one row
  if (!first) return { status: "True", reason: "Receiving", message: "packets come in at every hop" };
  const before = hops.filter((hop) => !quiet.includes(hop));
  if (before.length === 0)
    return { status: "False", reason: "NoPackets", message: `no packets come in at hop ${first.name}, where the rule begins` }; // biome-ignore format: one row
  return { status: "False", reason: "HopSilent", message: `no packets come in at hop ${listed(quiet.map(({ name }) => name))}, while they do at ${listed(before.map(({ name }) => name))}` }; // biome-ignore format: one row
}

interface Loss {
  readonly packets: number;
  readonly text: string;
  readonly now: boolean;
}

function losslessVerdict(hops: readonly HopSum[], segments: readonly Segment[], view: RuleView): Verdict {
  const single = new Map(hops.map(({ name, nodes }) => [name, nodes.length === 1]));
  const losses = [...segments.flatMap((one) => pathLosses(one, single, view)), ...hops.flatMap((hop) => nodeLosses(hop, single, view.now))] // biome-ignore format: one list
    .toSorted((a, b) => Number(b.now) - Number(a.now) || b.packets - a.packets);
  const texts = (some: readonly Loss[]): string =>
    some.slice(0, 3).map(({ text }) => text).join("; ") + (some.length > 3 ? `; and ${some.length - 3} more places` : ""); // biome-ignore format: one text
  const standing = losses.filter(({ now }) => now);
  if (standing.length > 0) return { status: "False", reason: "Losing", message: texts(standing) };
  const silent = [...new Set(hops.flatMap((hop) => hop.silent))];
  if (silent.length > 0) return { status: "Unknown", reason: "NotReporting", message: `not reporting: ${listed(silent)}` };
  if (losses.length === 0) return { status: "True", reason: "Lossless", message: "nothing was lost" };
  return { status: "True", reason: "LosslessNow", message: `nothing was lost in the last ${lossToldMs / 1000} s; before: ${texts(losses)}` }; // biome-ignore format: one row
}

/** By node that receives: that is where to look. */
const pathLosses = ({ paths }: Segment, single: ReadonlyMap<string, boolean>, view: RuleView): Loss[] =>
  paths.flatMap(({ path, from, to }) => {
    const ledger = view.path(path);
    if (!ledger) return [];
    const silent = ledger.silent(view.now) && view.relay(to.node)?.heard.reporting(view.now) === true;
    if (ledger.lost === 0 && !silent) return [];
    const text = `${endText(from, single)} → ${endText(to, single)}: ${exact(ledger.lost)} of ${about(ledger.sentTotal)}, in the network${silent ? ": nothing arrives any more" : ""}`;
    return [{ packets: ledger.lost, text, now: silent || ledger.losing(view.now) }];
  });

const nodeLosses = (hop: HopSum, single: ReadonlyMap<string, boolean>, now: number): Loss[] =>
  hop.rules.flatMap(({ node, tally }) => {
    if (!tally) return [];
    const place = endText({ hop: hop.name, node }, single);
    const refused = Object.fromEntries(lossyRefusals.flatMap((reason) => (tally.refused[reason] ? [[reason, tally.refused[reason]]] : []))); // biome-ignore format: one row
    const recent = now - tally.lossAt < lossToldMs;
    const of = (packets: number, all: number, what: string): Loss[] =>
      packets === 0 ? [] : [{ packets, now: recent, text: `${place}: ${exact(packets)} of ${about(all)}, ${what}` }];
    const gone = total(tally.dropped);
    const kept = total(refused);
    return [
      ...of(gone, tally.sent + gone, `dropped there: ${byReasonText(tally.dropped)}`),
      ...of(kept, tally.matched + kept, `refused there: ${byReasonText(refused)}`),
    ];
  });

function readyVerdict(programmed: Verdict, hops: readonly HopSum[]): Verdict {
  if (programmed.status !== "True") return { status: "False", reason: programmed.reason, message: programmed.message };
  const silent = [...new Set(hops.flatMap((hop) => hop.silent))];
  if (silent.length > 0) return { status: "False", reason: "NotReporting", message: `not reporting: ${listed(silent)}` };
  const rules = hops.flatMap((hop) => hop.rules);
  const unknown = rules.filter(({ tally }) => tally === undefined);
  if (unknown.length > 0) return { status: "False", reason: "NotTold", message: `${listed([...new Set(unknown.map(({ node }) => node))])} did not tell yet how it stands` }; // biome-ignore format: one row
  const stuck = rules.filter(({ tally }) => tally?.state !== "active");
  const [one] = stuck;
  if (one) return { status: "False", reason: one.tally?.state === "waiting" ? "RuleWaits" : "OutputWaits", message: `${one.node}: ${one.tally?.why || "an output cannot send"}${stuck.length > 1 ? `; and ${stuck.length - 1} more` : ""}` }; // biome-ignore format: one row
  return { status: "True", reason: "Ready", message: "every output can send" };
}

function hopStatus(hop: HopSum): RelayHopStatus {
  const engines = [...new Set(hop.rules.flatMap(({ tally }) => tally?.engine ?? []))].sort();
  // A node whose clock is off does not say when.
  const last = hop.rules.flatMap(({ tally, clockOff }) => (clockOff ? [] : (tally?.last ?? []))).sort().at(-1); // biome-ignore format: one row
  const worst = worstOf(hop);
  return {
    name: hop.name,
    nodes: hop.nodes.length,
    programmed: hop.programmed,
    reporting: hop.nodes.length - hop.silent.length,
    engines,
    received: hop.matched + total(hop.refused),
    matched: hop.matched,
    refused: hop.refused,
    sent: hop.sent,
    dropped: hop.dropped,
    lost: hop.lost,
    pps: Math.round(hop.pps),
    bps: Math.round(hop.bps),
    ...(last === undefined ? {} : { lastPacket: `${last.slice(0, 19)}Z` }),
    ...(worst.length > 0 ? { worst } : {}),
  };
}

function worstOf({ rules, silent }: HopSum): WorstNode[] {
  const dropping = [...Map.groupBy(rules, ({ node }) => node)].flatMap(([node, own]): WorstNode[] => {
    const dropped = own.reduce((all, { tally }) => all + total(tally?.dropped ?? {}), 0);
    const [waiting] = own.filter(({ tally }) => tally !== undefined && tally.state !== "active");
    if (waiting) return [{ node, reason: "Waiting", message: waiting.tally?.why || "an output cannot send", dropped }];
    return dropped === 0 ? [] : [{ node, reason: "Dropping", message: `${exact(dropped)} dropped there`, dropped }];
  });
  return [
    ...silent.map((node) => ({ node, reason: "NotReporting", message: "not heard for three intervals" })),
    ...dropping.filter(({ node }) => !silent.includes(node)).toSorted((a, b) => (b.dropped ?? 0) - (a.dropped ?? 0)),
  ].slice(0, mostWorst);
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;
