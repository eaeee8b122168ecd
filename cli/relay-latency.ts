// How late a hop makes a packet, at a rate that nobody has trouble with: ours beside the kernel's multicast routing.
import { duration } from "./numbers.ts";
import { latencyCases, type LatencyCaseName } from "./relay-cases.ts";
import { bad, figure, right, sum, type Figure } from "./relay-figures.ts";
import type { BenchRelayArguments } from "./relay-parts.ts";
import { readingOf, type RelayReading } from "./relay-run.ts";
import { interleaved } from "./rounds.ts";
import { table, type Cell } from "./table.ts";
import { atMost, type Target } from "./target.ts";

interface LatencyRow {
  readonly name: string;
  readonly p50: Figure;
  readonly p99: Figure;
  readonly most: number;
  readonly lost: number;
}

const latencyRow = (name: string, readings: readonly RelayReading[]): LatencyRow => {
  const of = (key: "p50_ns" | "p99_ns"): Figure => figure(readings.map(({ latency }) => latency?.[key] ?? Number.NaN));
  return {
    name,
    p50: of("p50_ns"),
    p99: of("p99_ns"),
    most: Math.max(...readings.map(({ latency }) => latency?.max_ns ?? Number.NaN)),
    lost: sum(readings.map(({ lost }) => lost)),
  };
};

const latencyText = (rows: readonly LatencyRow[]): string =>
  [
    "From the sender's stamp to the sink, one hop, 100,000 packets/s, two at a time; median of the rounds (3 % wide steps).",
    table(
      [{ title: "", align: "left" }, ...["p50", "p99", "least p99", "most p99", "longest", "lost"].map(right)],
      rows.map((row): Cell[] => [row.name, ...[row.p50.median, row.p99.median, row.p99.least, row.p99.most, row.most].map(duration), bad(row.lost)]),
    ),
    "",
  ].join("\n"); // biome-ignore format: one table

/** The best setting of each beside the best of smcroute. */
function latencyTargets(rows: readonly LatencyRow[]): Target[] {
  const best = (who: string): number =>
    Math.min(...rows.filter(({ name }) => name.startsWith(who)).map(({ p99 }) => p99.median));
  return ["xdp", "tc"].map((who) =>
    atMost(`${who}: p99 of a hop's latency, beside smcroute's`, best(who), best("smcroute"), duration),
  );
}

interface Latencies {
  readonly text: string;
  readonly targets: readonly Target[];
  readonly rows: readonly LatencyRow[];
  readonly voided: number;
}

export async function latenciesOf(typed: BenchRelayArguments, folder: string, signal: AbortSignal): Promise<Latencies> {
  const names = Object.keys(latencyCases) as LatencyCaseName[];
  const measured = Object.fromEntries(
    names.map((name) => [name, () => readingOf(latencyCases[name](typed.seconds), folder, signal)]),
  );
  const { found, voided } = await interleaved("latency", typed.rounds, measured, signal);
  const rows = names.map((name) => latencyRow(name, found[name] ?? []));
  return { text: latencyText(rows), targets: latencyTargets(rows), rows, voided };
}
