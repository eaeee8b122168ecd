// The seeds' scaling table: captures of growing size, each read once, by the engine and by the whole command.
import { writeFileSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";
import { chart } from "./chart.ts";
import { usualFlows } from "./generate.ts";
import { machine } from "./machine.ts";
import { countersOf, timeCommand, timeEngine } from "./measure.ts";
import { bitRate, count, duration, grouped, mebibytes } from "./numbers.ts";
import { table, type Cell } from "./table.ts";
import { compareRun } from "./truth.ts";
import type { Verdict } from "./verdict.ts";
import type { Made, Traffic, Workbench } from "./workbench.ts";

export const scalingSizes = [1e3, 1e4, 5e4, 1e5, 2.5e5, 5e5] as const;
export const fullSize = 1e7;

export interface Row {
  readonly packets: number;
  readonly flows: number;
  readonly bytes: number;
  readonly engineNs: number;
  readonly wholeNs: number;
  readonly verdict: Verdict;
  readonly residue: number;
  readonly note: string;
}

const perSecond = (amount: number, ns: number): number => amount / (ns / 1e9);

/** A dip is a row whose rate is a tenth below that of the row before it. */
const dips = (row: Pick<Row, "packets" | "engineNs">, before: Row): boolean =>
  perSecond(row.packets, row.engineNs) < 0.9 * perSecond(before.packets, before.engineNs);

/** A flow's hot cache line; the rest of its record is touched when something is lost. */
const hotBytes = 64;

/** Whether the size or the moment was to blame: read again, with hardware counters where there are any. */
function explainDip(made: Made, threads: number, before: Row): string {
  const { l2, l3 } = machine();
  const hot = made.flows * hotBytes;
  const again = timeEngine(made.path, threads);
  const cost = again.ns / made.packets;
  const usual = before.engineNs / before.packets;
  const counters = countersOf(made.path, threads);
  const per = (events: number): string => (events / made.packets).toFixed(2);
  const seen =
    counters === undefined
      ? `${per(again.faults)} page faults a packet (no hardware counters here)`
      : `${per(counters.cycles)} cycles, ${per(counters["cache-misses"])} cache misses and ${per(counters["branch-misses"])} branch misses a packet`;
  if (cost < usual / 0.9)
    return `dip, gone when read again (${duration(cost)} a packet): the machine was busy, the size is not the cause; ${seen}`;
  const fits =
    l2 !== undefined && hot <= l2
      ? `fit the L2 of ${mebibytes(l2)}`
      : l3 !== undefined && hot <= l3
        ? `fit the L3 of ${mebibytes(l3)}, no longer the L2`
        : "fit no cache";
  return `dip, there again when read again (${duration(cost)} a packet): the flows' hot lines (${mebibytes(hot)}) ${fits}; ${seen}`;
}

/** One size: made, analyzed once, compared with the truth, explained. */
export async function scalingRow(
  bench: Workbench,
  traffic: Traffic,
  threads: number,
  before: Row | undefined,
): Promise<Row> {
  const made = await bench.make(`scaling-${traffic.packets}`, traffic);
  try {
    const { ns, result } = timeCommand(made.path, bench.database, threads);
    const verdict = await compareRun(bench.database, result.run, made.truth);
    const row = {
      packets: made.packets,
      flows: made.flows,
      bytes: made.bytes,
      engineNs: result.engine_ns,
      wholeNs: ns,
      verdict,
      residue: result.residue,
    };
    const startUp = (ns - result.engine_ns) / ns;
    const notes = [
      ...(before === undefined ? [`${Math.round(startUp * 100)} % of the whole is start-up and database`] : []),
      ...(before !== undefined && dips(row, before) ? [explainDip(made, threads, before)] : []),
      ...(verdict.equal && result.residue === 0
        ? []
        : [`${grouped(verdict.differences)} figures differ from the truth, residue ${result.residue}`]),
    ];
    return { ...row, note: notes.join("; ") };
  } finally {
    bench.remove(made);
  }
}

export const trafficOf = (packets: number, seed: number, more: Partial<Traffic> = {}): Traffic => ({
  packets,
  flows: usualFlows(packets),
  protocol: "macsec",
  seed,
  loss: 0.01,
  minSize: 64,
  maxSize: 1504,
  ...more,
});

export function scalingTable(rows: readonly Row[]): string {
  const right = [
    "packets",
    "flows",
    "engine",
    "packets/s",
    "a packet",
    "bandwidth",
    "whole",
    "packets/s",
    "a packet",
    "bandwidth",
  ];
  // Notes are sentences: below the table they cost no column.
  const notes = rows.filter((row) => row.note !== "").map((row) => `  ${grouped(row.packets)}: ${row.note}`);
  const figures = table(
    [...right.map((title) => ({ title, align: "right" }) as const), { title: "truth", align: "left" }],
    rows.map((row): Cell[] => [
      grouped(row.packets),
      grouped(row.flows),
      ...[row.engineNs, row.wholeNs].flatMap((ns) => [
        duration(ns),
        count(perSecond(row.packets, ns)),
        duration(ns / row.packets),
        bitRate(perSecond(row.bytes * 8, ns)),
      ]),
      row.verdict.equal && row.residue === 0 ? { text: "equal", mood: "good" } : { text: "DIFFERENT", mood: "bad" },
    ]),
  );
  return [figures, ...notes].join("\n");
}

export const scalingJson = (rows: readonly Row[]): object[] =>
  rows.map((row) => ({
    packets: row.packets,
    flows: row.flows,
    bytes: row.bytes,
    engine_ns: row.engineNs,
    engine_packets_per_second: perSecond(row.packets, row.engineNs),
    whole_ns: row.wholeNs,
    whole_packets_per_second: perSecond(row.packets, row.wholeNs),
    equal_to_truth: row.verdict.equal,
    residue: row.residue,
    note: row.note,
  }));

const write = (path: string, text: string): void => {
  try {
    writeFileSync(path, text);
  } catch (cause) {
    throw new TaplineError("FILE_WRITE_FAILED", { path, detail: (cause as Error).message }, { cause });
  }
};

export function writeScaling(
  rows: readonly Row[],
  { csv, svg }: { readonly csv?: string; readonly svg?: string },
): void {
  if (csv !== undefined) {
    const objects = scalingJson(rows) as Record<string, number | string | boolean>[];
    const quoted = (value: number | string | boolean): string =>
      typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : String(value);
    write(
      csv,
      `${[Object.keys(objects[0] ?? {}).join(","), ...objects.map((row) => Object.values(row).map(quoted).join(","))].join("\n")}\n`,
    );
  }
  if (svg !== undefined) {
    const line = (name: string, colour: string, ns: (row: Row) => number): Parameters<typeof chart>[1][number] => ({
      name,
      colour,
      points: rows.map((row) => [row.packets, perSecond(row.packets, ns(row))] as const),
    });
    write(
      svg,
      chart("Packets per second by capture size, each read once", [
        line("engine", "#0b5cad", (r) => r.engineNs),
        line("whole process", "#a8430b", (r) => r.wholeNs),
      ]),
    );
  }
}
