// tapline stress: generate → analyze → query, with fresh numbers each time, until the time is over.
import { serve } from "#api/server.ts";
import type { TrafficKind } from "#native/engine.ts";
import { usualFlows } from "./generate.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { timeCommand } from "./measure.ts";
import { count, duration, grouped, median } from "./numbers.ts";
import {
  fullSize,
  scalingJson,
  scalingRow,
  scalingSizes,
  scalingTable,
  trafficOf,
  writeScaling,
  type Row,
} from "./scaling.ts";
import { styled } from "./table.ts";
import { compareRun } from "./truth.ts";
import { Workbench, type Traffic } from "./workbench.ts";

export interface StressArguments {
  readonly packets: number;
  readonly duration: number;
  readonly flows?: number;
  readonly protocol: TrafficKind;
  readonly seed: number;
  readonly loss: number;
  readonly threads: number;
  readonly full: boolean;
  readonly csv?: string;
  readonly svg?: string;
  readonly json?: boolean;
}

const queries = [
  "/api/v1/stats/summary",
  "/api/v1/flows?limit=1000",
  "/api/v1/flows?filter=lost%3E0&sort=-lost&limit=100",
  "/api/v1/gaps?limit=100",
  "/api/v1/ledger",
];

interface Round {
  readonly packets: number;
  readonly engineNs: number;
  readonly wholeNs: number;
  readonly queryNs: readonly number[];
  readonly equal: boolean;
}

/** Asks the API on a free loopback port, as a client would; the summary must say what the analysis said. */
async function queryAll(
  database: string,
  packets: number,
): Promise<{ readonly ns: number[]; readonly agrees: boolean }> {
  const server = await serve({ db: database, host: "127.0.0.1", port: 0 });
  try {
    const ns: number[] = [];
    let agrees = true;
    for (const path of queries) {
      const started = process.hrtime.bigint();
      const response = await fetch(new URL(path, server.url));
      const body = (await response.json()) as { total_packets_received?: number };
      ns.push(Number(process.hrtime.bigint() - started));
      if (!response.ok) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(body)}`);
      if (body.total_packets_received !== undefined) agrees &&= body.total_packets_received === packets;
    }
    return { ns, agrees };
  } finally {
    await server.close();
  }
}

async function oneRound(bench: Workbench, traffic: Traffic, threads: number): Promise<Round> {
  const made = await bench.make(`round-${traffic.seed}`, traffic);
  try {
    const { ns, result } = timeCommand(made.path, bench.database, threads);
    const verdict = await compareRun(bench.database, result.run, made.truth);
    const asked = await queryAll(
      bench.database,
      result.ledger.reduce((sum, entry) => sum + entry.tracked, 0),
    );
    return {
      packets: made.packets,
      engineNs: result.engine_ns,
      wholeNs: ns,
      queryNs: asked.ns,
      equal: verdict.equal && asked.agrees && result.residue === 0,
    };
  } finally {
    bench.remove(made);
  }
}

function roundsText(rounds: readonly Round[], seconds: number): string {
  const rates = (ns: (round: Round) => number): number[] => rounds.map((round) => round.packets / (ns(round) / 1e9));
  const spread = (values: readonly number[]): string =>
    `median ${count(median(values))} packets/s (${count(Math.min(...values))} … ${count(Math.max(...values))})`;
  const asked = rounds.flatMap((round) => round.queryNs);
  const wrong = rounds.filter((round) => !round.equal).length;
  return [
    `${grouped(rounds.length)} ${rounds.length === 1 ? "round" : "rounds"} in ${duration(seconds * 1e9)}, each a fresh capture of ${grouped(rounds[0]?.packets ?? 0)} packets`,
    `engine   ${spread(rates((round) => round.engineNs))}`,
    `whole    ${spread(rates((round) => round.wholeNs))}`,
    `queries  ${grouped(asked.length)} over HTTP: median ${duration(median(asked))}, slowest ${duration(Math.max(...asked))}`,
    wrong === 0
      ? styled("Every figure of every round equals the truth.", "good")
      : styled(`${grouped(wrong)} of the rounds ${wrong === 1 ? "differs" : "differ"} from the truth.`, "bad"),
  ].join("\n");
}

const roundsJson = (rounds: readonly Round[]): object[] =>
  rounds.map((round) => ({
    packets: round.packets,
    engine_ns: round.engineNs,
    whole_ns: round.wholeNs,
    query_ns: round.queryNs,
    equal_to_truth: round.equal,
  }));

export async function stress(typed: StressArguments): Promise<number> {
  using stop = interruption();
  using bench = new Workbench(stop.signal);
  const kind = { protocol: typed.protocol, loss: typed.loss };
  let seed = typed.seed;
  const sizes = [
    ...new Set([
      ...scalingSizes.filter((size) => size < typed.packets),
      typed.packets,
      ...(typed.full ? [fullSize] : []),
    ]),
  ];
  const rows: Row[] = [];
  const rounds: Round[] = [];
  let started = performance.now();
  try {
    for (const packets of sizes)
      rows.push(await scalingRow(bench, trafficOf(packets, seed++, kind), typed.threads, rows.at(-1)));
    const traffic = { ...kind, flows: typed.flows ?? usualFlows(typed.packets) };
    started = performance.now();
    const until = started + typed.duration * 1000;
    do rounds.push(await oneRound(bench, trafficOf(typed.packets, seed++, traffic), typed.threads));
    while (performance.now() < until && !stop.signal.aborted);
  } catch (error) {
    if (!(await stop.explains())) throw error; // an interrupted step fails; what was measured before it counts
  }
  const seconds = (performance.now() - started) / 1000;
  const text = [
    ...(rows.length > 0 ? [scalingTable(rows)] : []),
    ...(rounds.length > 0 ? [roundsText(rounds, seconds)] : []),
  ];
  const json = { scaling: scalingJson(rows), rounds: roundsJson(rounds) };
  process.stdout.write(`${typed.json === true ? JSON.stringify(json, undefined, 2) : text.join("\n\n")}\n`);
  if (rows.length > 0) writeScaling(rows, typed);
  if (stop.signal.aborted) return interruptedCode;
  return rows.every((row) => row.verdict.equal && row.residue === 0) && rounds.every((round) => round.equal) ? 0 : 1;
}
