// A RelayRule's status: from where it was laid out, what its nodes have acknowledged, and what their relays tell. Pure. When packets are lost the message names the
// segment: between which hops, or in which; a hop of one node by its own name, else the node's.
import { mostWorst, type ObjectCondition, type WorstNode } from "#domain/custom-resource.ts";
import type { RelayHopStatus, RelayRuleCondition, RelayRuleStatus } from "#domain/relay-rule-status.ts";
import type { Layout } from "../controllers/relayrule/lay-out.ts";
import { type HopSum, hopsOf, type RuleView, segmentsOf } from "./hop-sums.ts";
import { losslessVerdict } from "./losses.ts";
import { total } from "./relay-book.ts";
import { exact, listed } from "./words.ts";

export type Holding = Pick<ObjectCondition, "status" | "reason" | "message"> & { readonly type: string };
/** Conditions are without times yet: the last ones decide about those. */
export interface RuleVerdict {
  readonly holding: readonly (Holding & { readonly type: RelayRuleCondition })[];
  readonly figures: Omit<RelayRuleStatus, "conditions" | "observedGeneration">;
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

export type Verdict = Omit<Holding, "type">;

function programmedVerdict(layout: Layout, view: RuleView): Verdict {
  const late = [...new Set(layout.rules.filter(({ node, rule }) => !view.programmed(node, rule.id)).map(({ node }) => node))]; // biome-ignore format: one row
  const nodes = new Set(layout.rules.map(({ node }) => node));
  if (late.length === 0) return { status: "True", reason: "Programmed", message: `${counted(nodes.size, "node")} ${nodes.size === 1 ? "runs" : "run"} this generation` }; // biome-ignore format: one row
  const silent = late.filter((node) => view.relay(node)?.heard.reporting(view.now) !== true);
  if (silent.length > 0 && view.podsRefused !== undefined)
    return { status: "False", reason: "PodsRefused", message: view.podsRefused };
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
  const quiet = hops.filter(
    ({ movedAt, silent, nodes }) => now - movedAt > receivingMs && silent.length < nodes.length,
  );
  const [first] = quiet;
  const unheard = hops.filter(({ silent, nodes }) => silent.length === nodes.length);
  if (unheard.length > 0) return { status: "Unknown", reason: "NotReporting", message: `hop ${unheard[0]?.name} is not reporting` }; // biome-ignore format: one row
  if (!first) return { status: "True", reason: "Receiving", message: "packets come in at every hop" };
  const before = hops.filter((hop) => !quiet.includes(hop));
  if (before.length === 0)
    return { status: "False", reason: "NoPackets", message: `no packets come in at hop ${first.name}, where the rule begins` }; // biome-ignore format: one row
  return { status: "False", reason: "HopSilent", message: `no packets come in at hop ${listed(quiet.map(({ name }) => name))}, while they do at ${listed(before.map(({ name }) => name))}` }; // biome-ignore format: one row
}

function readyVerdict(programmed: Verdict, hops: readonly HopSum[]): Verdict {
  if (programmed.status !== "True") return { status: "False", reason: programmed.reason, message: programmed.message };
  const silent = [...new Set(hops.flatMap((hop) => hop.silent))];
  if (silent.length > 0)
    return { status: "False", reason: "NotReporting", message: `not reporting: ${listed(silent)}` };
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
