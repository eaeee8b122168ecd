// tapline bench replay: the engine and the whole command beside tcpdump on the same file, in one run.
//
//   rate      500 k MACsec packets in 50 k flows, 1 % lost: engine on two threads and on one, whole command, tcpdump
//   cost      a packet's cost at 500 k and at 10 M packets, 50 k flows both times
//   memory    1 M flows alive at once
//   scaling   the seeds' table
import { interruptedCode, interruption } from "./interruption.ts";
import { availableMemory, freeDisk, machine } from "./machine.ts";
import { commandMemory, engineMemory, removeDatabase, timeCommand, timeEngine, timeTcpdump } from "./measure.ts";
import { bytes, count, duration, grouped, mebibytes, times } from "./numbers.ts";
import { interleave, type Rounds, type Series } from "./rounds.ts";
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
import { styled, table, type Cell } from "./table.ts";
import { atLeast, atMost, targetTable, type Target } from "./target.ts";
import { Workbench, type Made, type Traffic } from "./workbench.ts";

export interface BenchReplayArguments {
  readonly against: "tcpdump" | "all" | "none";
  readonly rounds: number;
  readonly csv?: string;
  readonly svg?: string;
  readonly strict: boolean;
  readonly json?: boolean;
}

type Say = (text: string) => void;
interface Part {
  readonly targets: readonly Target[];
  readonly json: Record<string, unknown>;
}

const millions = (value: number): number => value * 1e6;
const usual = trafficOf(500_000, 1, { flows: 50_000 });

const seriesRow = ({ name, ns, median: middle, best }: Series, packets: number): Cell[] => [
  name, duration(middle), duration(best), duration(Math.max(...ns)), `${count(packets / (middle / 1e9))}`, duration(middle / packets),
]; // biome-ignore format: one list

function seriesTable(series: readonly Series[], packets: number): string {
  const right = ["median", "best", "worst", "packets/s", "a packet"].map(
    (title) => ({ title, align: "right" }) as const,
  );
  return table(
    [{ title: "", align: "left" }, ...right],
    series.map((one) => seriesRow(one, packets)),
  );
}

const voidedText = ({ voided }: Rounds<string>): string =>
  voided === 0 ? "" : ` ${voided} rounds were voided: the hypervisor took more than 1 % of the processor.`;

async function rate(bench: Workbench, typed: BenchReplayArguments, signal: AbortSignal, say: Say): Promise<Part> {
  const made = await bench.make("rate", usual);
  try {
    const two = () => timeEngine(made.path, 2).ns;
    const one = () => timeEngine(made.path, 1).ns;
    const whole = () => timeCommand(made.path, bench.database, 2).ns;
    const ours = { "engine, 2 threads": two, "engine, 1 thread": one, "whole command": whole };
    const head = `Rate: ${grouped(made.packets)} MACsec packets in ${grouped(made.flows)} flows, 1 % lost, ${bytes(made.bytes)}, in the page cache, one pass.`;
    if (typed.against === "none") {
      const rounds = await interleave("measuring", typed.rounds, ours, signal);
      say(`${head}${voidedText(rounds)}\n${seriesTable(Object.values(rounds.series), made.packets)}\n`);
      return { targets: [], json: { ...rounds } };
    }
    const rounds = await interleave(
      "measuring",
      typed.rounds,
      { tcpdump: () => timeTcpdump(made.path), ...ours },
      signal,
    );
    say(
      `${head} Median of ${typed.rounds} interleaved rounds.${voidedText(rounds)}\n${seriesTable(Object.values(rounds.series), made.packets)}\n`,
    );
    const { series } = rounds;
    const than = (mine: Series): number => series.tcpdump.median / mine.median;
    return {
      targets: [
        atLeast("engine on 2 threads, rate beside tcpdump's", than(series["engine, 2 threads"]), 1.6, times),
        atLeast("engine on 1 thread, rate beside tcpdump's", than(series["engine, 1 thread"]), 1, times),
        atMost("whole command, time beside tcpdump's", 1 / than(series["whole command"]), 6, times),
      ],
      json: { ...rounds },
    };
  } finally {
    bench.remove(made);
    removeDatabase(bench.database);
  }
}

/** The largest frames for which ten million of them leave the page cache and the disk room to breathe. */
function pairSizes(folder: string): Pick<Traffic, "minSize" | "maxSize"> {
  const room = Math.min(availableMemory() / 4, freeDisk(folder) / 2);
  return fullSize * (784 + 16) < room ? { minSize: 64, maxSize: 1504 } : { minSize: 64, maxSize: 256 };
}

async function cost(bench: Workbench, typed: BenchReplayArguments, signal: AbortSignal, say: Say): Promise<Part> {
  const sizes = pairSizes(bench.folder);
  const small = await bench.make("small", { ...usual, ...sizes });
  let large: Made | undefined;
  try {
    large = await bench.make("large", { ...usual, ...sizes, packets: fullSize });
    const { path } = large;
    const rounds = await interleave("measuring", Math.min(typed.rounds, 3), {
      "500 k packets": () => timeEngine(small.path, 2).ns / small.packets,
      "10 M packets": () => timeEngine(path, 2).ns / fullSize,
    }, signal); // biome-ignore format: one call
    const { series } = rounds;
    say(
      `Cost: engine on 2 threads, 50 k flows both times, frames of ${sizes.minSize}–${sizes.maxSize} bytes both times.${voidedText(rounds)}\n` +
        `${table(
          [
            { title: "", align: "left" },
            ...["median", "best"].map((title) => ({ title: `${title} a packet`, align: "right" }) as const),
          ],
          Object.values(series).map((s) => [s.name, duration(s.median), duration(s.best)]),
        )}\n`,
    );
    return {
      targets: [
        atMost(
          "least cost of a packet, 10 M beside 500 k packets",
          series["10 M packets"].best / series["500 k packets"].best,
          1.2,
          times,
        ),
      ],
      json: { ...rounds, ...sizes },
    };
  } finally {
    bench.remove(small);
    if (large !== undefined) bench.remove(large);
  }
}

async function memory(bench: Workbench, say: Say): Promise<Part> {
  const made = await bench.make("flows", { ...usual, packets: millions(3), flows: millions(1), maxSize: 128 });
  try {
    const engine = await engineMemory(made.path, 2);
    const whole = await commandMemory(made.path, bench.database, 2);
    say(
      `Memory: ${grouped(made.packets)} packets, ${grouped(whole.result.peak_flows)} flows alive at once. Anonymous memory at most (RssAnon, sampled), Node's own included: ` +
        `engine alone ${mebibytes(engine.peak)}, whole command ${mebibytes(whole.peak)}.\n`,
    );
    return {
      targets: [
        atLeast("flows alive at once", whole.result.peak_flows, millions(1), grouped),
        atMost("anonymous memory of the whole command", whole.peak, 256 * 2 ** 20, mebibytes),
      ],
      json: { engine_rss_anon: engine.peak, whole_rss_anon: whole.peak, peak_flows: whole.result.peak_flows },
    };
  } finally {
    bench.remove(made);
    removeDatabase(bench.database);
  }
}

async function scaling(bench: Workbench, typed: BenchReplayArguments, say: Say): Promise<Part> {
  const rows: Row[] = [];
  const sizes = pairSizes(bench.folder);
  for (const [i, packets] of [...scalingSizes, fullSize].entries()) {
    rows.push(await scalingRow(bench, trafficOf(packets, 100 + i, packets === fullSize ? sizes : {}), 2, rows.at(-1)));
  }
  const last =
    sizes.maxSize < 1504
      ? ` The last row's frames have ${sizes.minSize}–${sizes.maxSize} bytes: a larger file would not stay in the page cache here.`
      : "";
  say(
    `Scaling: frames of 64–1504 bytes, 1 % lost, 2 threads; each size read once, by one process, nothing looped.${last}\n${scalingTable(rows)}\n`,
  );
  writeScaling(rows, typed);
  const equal = rows.filter((row) => row.verdict.equal && row.residue === 0).length;
  return {
    targets: [atLeast("sizes in the scaling table equal to the truth", equal, rows.length, grouped)],
    json: { rows: scalingJson(rows) },
  };
}

export async function benchReplay(typed: BenchReplayArguments): Promise<number> {
  using stop = interruption();
  using bench = new Workbench(stop.signal);
  const say: Say = (text) => void (typed.json === true || process.stdout.write(`${text}\n`));
  const on = machine();
  const caches = [on.l2, on.l3].map((size) => (size === undefined ? "?" : mebibytes(size))).join(" + ");
  say(
    styled(
      `${on.processor}, ${on.cores} cores, L2 + L3 ${caches}, Linux ${on.kernel}; files in ${bench.folder}`,
      "quiet",
    ),
  );
  try {
    const parts = {
      rate: await rate(bench, typed, stop.signal, say),
      cost: await cost(bench, typed, stop.signal, say),
      memory: await memory(bench, say),
      scaling: await scaling(bench, typed, say),
    };
    const targets = Object.values(parts).flatMap((part) => part.targets);
    say(targetTable(targets));
    if (typed.json === true) {
      const figures = Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, part.json]));
      process.stdout.write(`${JSON.stringify({ machine: on, ...figures, targets }, undefined, 2)}\n`);
    }
    return typed.strict && targets.some((target) => !target.met) ? 1 : 0;
  } catch (error) {
    if (await stop.explains()) return interruptedCode;
    throw error;
  }
}
