// What a rule's packets were lost to, in words: between which hops, or in which; the numbers, and whether it goes on. Pure.
import { endText, type HopSum, type RuleView, type Segment } from "./hop-sums.ts";
import { lossToldMs } from "./path-ledger.ts";
import { lossyRefusals, total } from "./relay-book.ts";
import type { Verdict } from "./rule-status.ts";
import { about, byReasonText, exact, listed } from "./words.ts";

interface Loss {
  readonly packets: number;
  readonly text: string;
  readonly now: boolean;
}

export function losslessVerdict(hops: readonly HopSum[], segments: readonly Segment[], view: RuleView): Verdict {
  const single = new Map(hops.map(({ name, nodes }) => [name, nodes.length === 1]));
  const losses =
    [...segments.flatMap((one) => pathLosses(one, single, view)), ...hops.flatMap((hop) => nodeLosses(hop, single, view.now))] // biome-ignore format: one list
      .toSorted((a, b) => Number(b.now) - Number(a.now) || b.packets - a.packets);
  const texts = (some: readonly Loss[]): string =>
    some.slice(0, 3).map(({ text }) => text).join("; ") + (some.length > 3 ? `; and ${some.length - 3} more places` : ""); // biome-ignore format: one text
  const standing = losses.filter(({ now }) => now);
  if (standing.length > 0) return { status: "False", reason: "Losing", message: texts(standing) };
  const silent = [...new Set(hops.flatMap((hop) => hop.silent))];
  if (silent.length > 0)
    return { status: "Unknown", reason: "NotReporting", message: `not reporting: ${listed(silent)}` };
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
