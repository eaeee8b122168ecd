// Full rate, exactly: no packet dropped, none unaccounted for, every number that was left out found, none suspected to be ours.
import { setTimeout as sleep } from "node:timers/promises";
import type { Kind } from "./capture-peers.ts";
import { Capturing } from "./capture-run.ts";
import { resultOf, type Result, type Subject } from "./capture-subject.ts";
import { othersFromNow } from "./process-cost.ts";
import { count, duration, grouped } from "./numbers.ts";
import { table, type Column } from "./table.ts";
import { exactly, type Target } from "./target.ts";
import { Wire, type Sent } from "./wire.ts";
import { trafficOf } from "./capture-cost.ts";

/** After the last packet, until a ring's block has been handed over by its timer. */
const drainMs = 500;

export interface Exact {
  readonly kind: Kind;
  readonly sent: Sent;
  readonly result: Result;
  /** cores that other programs used meanwhile */
  readonly others: number;
}

export async function exactAt(
  subject: Subject,
  kind: Kind,
  seconds: number,
  folder: string,
  signal: AbortSignal,
): Promise<Exact> {
  using wire = new Wire();
  await using capturing = await Capturing.start(subject, wire, folder, signal);
  const othersUsed = othersFromNow(capturing.pid);
  const sent = await wire.send(trafficOf(kind, seconds), signal);
  const others = othersUsed();
  await sleep(drainMs, undefined, { signal });
  await capturing.stop(sent.sent);
  return { kind, sent, result: resultOf(capturing.folder), others };
}

export const exactTargets = ({ kind, sent, result }: Omit<Exact, "others">): Target[] => {
  const target = (what: string, value: number, wanted: number): Target =>
    exactly(`${kind}, ${duration(sent.seconds * 1e9)}: ${what}`, value, wanted, grouped);
  return [
    target("packets seen", result.seen, sent.sent),
    target("ring drops", result.ringDrops, 0),
    target("residue", result.residue + result.inFlight, 0),
    target("flows", result.flows, sent.flows),
    target("numbers lost", result.lost, sent.skipped),
    target("gaps", result.gaps, sent.gaps),
    target("gaps called suspect", result.suspect, 0),
  ];
};

const right = (title: string): Column => ({ title, align: "right" });

export const exactText = (all: readonly Exact[]): string =>
  [
    "At full rate: what was sent and what was found.",
    table(
      [
        { title: "traffic", align: "left" },
        ...["sent", "offered/s", "seen", "ring drops", "residue", "left out", "found lost", "gaps", "suspect", "others' cores"].map(right),
      ],
      all.map(({ kind, sent, result, others }) => [
        kind,
        grouped(sent.sent),
        count(sent.pps),
        ...[result.seen, result.ringDrops, result.residue + result.inFlight, sent.skipped, result.lost, result.gaps, result.suspect].map(grouped),
        others.toFixed(2),
      ]),
    ),
    ...all.flatMap(({ kind, result: { full } }) =>
      full.map(({ afterSeconds, ms }) => `${kind}: a ring was full ${afterSeconds.toFixed(1)} s after the start, for ${ms.toFixed(0)} ms`),
    ),
    "Others' cores: what other programs of the machine used meanwhile. A reader that does not get its core in time drops packets.",
    "",
  ].join("\n"); // biome-ignore format: one table
