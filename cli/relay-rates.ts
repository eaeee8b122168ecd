// Rates of relayed packets, ours beside the peers', and what was lost; their table and their targets.
import { writeFileSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";
import { count, duration, grouped, median, times } from "./numbers.ts";
import { rateCases, type RatedCase } from "./relay-cases.ts";
import { bad, figure, right, sum, type Figure } from "./relay-figures.ts";
import { rateCaseNames, type BenchRelayArguments, type RateCaseName } from "./relay-parts.ts";
import { relayCores, steeringText } from "./relay-rig.ts";
import { readingOf, type RelayReading } from "./relay-run.ts";
import { interleaved } from "./rounds.ts";
import { table, type Cell } from "./table.ts";
import { atLeast, atMost, exactly, type Target } from "./target.ts";

interface Row {
  readonly name: string;
  readonly setting: string;
  readonly rate: Figure;
  readonly offered: Figure;
  readonly sent: number;
  /** over all rounds */
  readonly lost: number;
  readonly duplicate: number;
  readonly wrong: number;
  readonly reordered: number;
  /** refused by the sender's device and sent again, of each sent packet */
  readonly retries: number;
  readonly others: number;
  readonly loadSeconds?: number;
}

function rowOf({ name, steering, sink, forwarder }: RatedCase, readings: readonly RelayReading[]): Row {
  const all = (of: (reading: RelayReading) => number): number => sum(readings.map(of));
  const loads = readings.flatMap(({ said }) => (said as { loadSeconds?: number } | undefined)?.loadSeconds ?? []);
  return {
    name,
    setting: [forwarder.settings, ...steering.map(steeringText), `sink by ${sink}`].join(", "),
    rate: figure(readings.map(({ rate }) => rate)),
    offered: figure(readings.map(({ sent }) => sent.pps)),
    sent: all(({ sent }) => sent.sent),
    lost: all(({ lost }) => lost),
    duplicate: all(({ duplicate }) => duplicate),
    wrong: all(({ wrong }) => wrong),
    reordered: all(({ reordered }) => reordered),
    retries: all(({ sent }) => sent.retries) / all(({ sent }) => sent.sent),
    others: median(readings.map(({ others }) => others)),
    ...(loads.length === 0 ? {} : { loadSeconds: median(loads) }),
  };
}

const smcroutes = ["smcroute", "smcroute-rps"] as const satisfies readonly RateCaseName[];
const bestOf = (rows: readonly Row[]): Row | undefined =>
  rows
    .filter(({ name }) => (smcroutes as readonly string[]).includes(name))
    .toSorted((a, b) => b.rate.median - a.rate.median)[0];

function rateText(rows: readonly Row[], { rounds, seconds }: BenchRelayArguments, voided: number): string {
  const yardstick = bestOf(rows);
  return [
    `Packets a second that came out, frames of 1,442 bytes, ${seconds} s at the sender's full rate (three hops: 10 M packets); median of ${rounds} interleaved rounds.` +
      (voided === 0 ? "" : ` ${voided} rounds were voided: the hypervisor took more than 1 % of the processor.`),
    table(
      [{ title: "", align: "left" }, ...["out/s", "least", "most", "beside smcroute", "sent/s", "lost", "twice", "wrong", "out of order"].map(right)],
      rows.map((row): Cell[] => [
        row.name,
        count(row.rate.median),
        count(row.rate.least),
        count(row.rate.most),
        yardstick === undefined ? "–" : times(row.rate.median / yardstick.rate.median),
        count(row.offered.median),
        bad(row.lost),
        bad(row.duplicate),
        bad(row.wrong),
        grouped(row.reordered),
      ]),
    ),
    `Sender on core ${relayCores.sender}; where nothing is said, the relaying is done on its core. What the first device refuses is sent again: a slow relay slows the sender. Lost: sent, and never arrived, over all rounds.`,
    ...rows.map((row) => `  ${row.name}: ${row.setting}`),
    "",
  ].join("\n"); // biome-ignore format: one table
}

function rateTargets(rows: readonly Row[], cases: readonly RatedCase[]): Target[] {
  const yardstick = bestOf(rows);
  return cases.flatMap((one) => {
    const row = rows.find(({ name }) => name === one.name);
    if (row === undefined || (one.promised === undefined && one.asFastAs === undefined)) return [];
    const beside = rows.find(({ name }) => name === one.asFastAs);
    return [
      ...(one.promised !== undefined && yardstick !== undefined
        ? [atLeast(`${one.name}: beside smcroute's best`, row.rate.median / yardstick.rate.median, one.promised.times, times)]
        : []),
      ...(beside === undefined ? [] : [atLeast(`${one.name}: beside ${beside.name}`, row.rate.median / beside.rate.median, 0.9, times)]),
      ...(one.asFastAs !== undefined && row.loadSeconds !== undefined
        ? [atMost(`${one.name}: loaded`, row.loadSeconds * 1e9, 2e9, duration)]
        : []),
      exactly(`${one.name}: lost`, row.lost, 0, grouped),
      exactly(`${one.name}: twice or wrong`, row.duplicate + row.wrong, 0, grouped),
    ];
  }); // biome-ignore format: one list
}

function writeRows(path: string, rows: readonly Row[]): void {
  const head =
    "name,rate_median,rate_least,rate_most,offered_median,sent,lost,duplicate,wrong,reordered,retries_per_packet,load_seconds";
  const lines = rows.map((row) =>
    [row.name, row.rate.median, row.rate.least, row.rate.most, row.offered.median, row.sent, row.lost, row.duplicate, row.wrong, row.reordered, row.retries, row.loadSeconds ?? ""].join(","),
  ); // biome-ignore format: one list
  try {
    writeFileSync(path, `${[head, ...lines].join("\n")}\n`);
  } catch (cause) {
    throw new TaplineError("FILE_WRITE_FAILED", { path, detail: (cause as Error).message }, { cause });
  }
}

interface Rates {
  readonly text: string;
  readonly targets: readonly Target[];
  readonly rows: readonly Row[];
  readonly voided: number;
}

/** The yardstick is always measured. */
export async function ratesOf(typed: BenchRelayArguments, folder: string, signal: AbortSignal): Promise<Rates> {
  const wanted = rateCaseNames.filter((name) => {
    if ((smcroutes as readonly string[]).includes(name)) return true;
    if (name === "socat" && typed.against === "smcroute") return false;
    return typed.case === undefined || typed.case.includes(name);
  });
  const cases = wanted.map((name): RatedCase => rateCases[name](typed.seconds));
  const measured = Object.fromEntries(cases.map((one) => [one.name, () => readingOf(one, folder, signal)]));
  const { found, voided } = await interleaved("relaying", typed.rounds, measured, signal);
  const rows = cases.map((one) => rowOf(one, found[one.name] ?? []));
  if (typed.csv !== undefined) writeRows(typed.csv, rows);
  return { text: rateText(rows, typed, voided), targets: rateTargets(rows, cases), rows, voided };
}
