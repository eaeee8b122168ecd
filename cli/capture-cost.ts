// A captured packet's processor time, ours beside the peers', in interleaved rounds on one wire.
import { writeFileSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";
import { bars } from "./bars.ts";
import type { Kind, Peer } from "./capture-peers.ts";
import { readingOf, type Reading } from "./capture-run.ts";
import { count, duration, grouped, mebibytes, median, percent, times } from "./numbers.ts";
import { interleaved } from "./rounds.ts";
import { table, type Cell, type Column } from "./table.ts";
import { atMost, type Target } from "./target.ts";
import { frameBytes, Wire, type Sending } from "./wire.ts";

/** A peer that lost more than this share did less work than the others: its figure is marked. */
const noticedLoss = 0.001;
/** How much of whose cost ours may be, by the peer's name. */
const promised: Readonly<Record<string, number>> = { tcpdump: 1.5, softflowd: 0.5, argus: 0.5 };

export const trafficOf = (kind: Kind, seconds: number): Sending => ({ kind, flows: 50_000, loss: 0.0005, seconds });
export const kindText: Readonly<Record<Kind, string>> = {
  macsec: "MACsec",
  mixed: "MACsec, ESP, TCP and UDP, a quarter each",
};

interface Figure {
  readonly median: number;
  readonly best: number;
  readonly worst: number;
}
export interface Row {
  readonly name: string;
  readonly settings: string;
  readonly ours: boolean;
  /** ns a sent packet: at work, of it the threads that carry packets, and with start-up and end */
  readonly atWork: Figure;
  readonly carrying?: Figure;
  readonly whole: Figure;
  /** packets a second that the sender offered, median */
  readonly offered: number;
  readonly sent: number;
  /** packets that it says it lost, or did not see, over all rounds */
  readonly lost: number;
  readonly marked: boolean;
  /** resident at most, bytes */
  readonly peak: number;
}
export interface Cost {
  readonly kind: Kind;
  readonly seconds: number;
  readonly rounds: number;
  readonly voided: number;
  /** cores that other programs used meanwhile, median */
  readonly others: number;
  readonly rows: readonly Row[];
}

const figure = (values: readonly number[]): Figure => ({
  median: median(values),
  best: Math.min(...values),
  worst: Math.max(...values),
});
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

function rowOf(peer: Peer, ours: boolean, readings: readonly Reading[]): Row {
  const each = (ns: (reading: Reading) => number): Figure =>
    figure(readings.map((reading) => ns(reading) / reading.sent.sent));
  const sent = sum(readings.map((reading) => reading.sent.sent));
  const lost = sum(
    readings.map((reading) => reading.count.dropped + Math.max(reading.sent.sent - reading.count.seen, 0)),
  );
  return {
    name: peer.name,
    settings: peer.settings,
    ours,
    atWork: each(({ ns }) => ns),
    ...(peer.carries === undefined ? {} : { carrying: each(({ carryingNs }) => carryingNs ?? 0) }),
    whole: each(({ wholeNs }) => wholeNs),
    offered: median(readings.map((reading) => reading.sent.pps)),
    sent,
    lost,
    marked: lost > sent * noticedLoss,
    peak: Math.max(...readings.map((reading) => reading.memory.peak)),
  };
}

/** Nothing captured would be a very low cost. */
function mustHaveSeen(peer: Peer, { count: { seen, dropped }, sent }: Reading): void {
  if (seen - dropped > sent.sent / 100) return;
  throw new TaplineError("BENCH_PROCESS_FAILED", {
    tool: peer.name,
    detail: `of ${grouped(sent.sent)} packets it took ${grouped(seen - dropped)}`,
    command: peer.settings,
  });
}

export async function costOf(
  subject: Peer,
  peers: readonly Peer[],
  wanted: { readonly kind: Kind; readonly seconds: number; readonly rounds: number },
  folder: string,
  signal: AbortSignal,
): Promise<Cost> {
  const { kind, seconds, rounds } = wanted;
  using wire = new Wire();
  const all = [...peers.filter((peer) => peer.kinds.includes(kind)), subject];
  const measurements = Object.fromEntries(
    all.map((peer) => [
      peer.name,
      async () => {
        const reading = await readingOf(peer, wire, trafficOf(kind, seconds), folder, signal);
        mustHaveSeen(peer, reading);
        return reading;
      },
    ]),
  );
  const { found, voided } = await interleaved(`capturing ${kind}`, rounds, measurements, signal);
  return {
    kind,
    seconds,
    rounds,
    voided,
    others: median(Object.values(found).flatMap((readings) => readings.map((reading) => reading.others))),
    rows: all.map((peer) => rowOf(peer, peer === subject, found[peer.name] ?? [])),
  };
}

const right = (title: string): Column => ({ title, align: "right" });
const columns: readonly Column[] = [
  { title: "", align: "left" },
  ...["a packet", "best", "worst", "beside tcpdump", "with start and end", "offered/s", "lost", "memory"].map(right),
];

function cells(row: Row, yardstick: Row | undefined): Cell[][] {
  const { atWork, carrying } = row;
  const beside = (ns: number): string => (yardstick === undefined ? "–" : times(ns / yardstick.atWork.median));
  const lost = percent(row.lost, row.sent);
  const own: Cell[] = [
    row.name,
    duration(atWork.median),
    duration(atWork.best),
    duration(atWork.worst),
    beside(atWork.median),
    duration(row.whole.median),
    count(row.offered),
    row.marked ? { text: `${lost} *`, mood: "bad" } : lost,
    mebibytes(row.peak),
  ];
  if (carrying === undefined) return [own];
  return [own, [
    "  of it the engine's threads", duration(carrying.median), duration(carrying.best), duration(carrying.worst), beside(carrying.median),
  ]]; // biome-ignore format: one list
}

export function costText({ kind, seconds, rounds, voided, others, rows }: Cost): string {
  const yardstick = rows.find((row) => row.name === "tcpdump");
  return [
    `Processor time of a captured packet: ${kindText[kind]}, 50,000 flows, frames of ${frameBytes} bytes, 0.05 % of the numbers left out; ${seconds} s at full rate, median of ${rounds} interleaved rounds.` +
      (voided === 0 ? "" : ` ${voided} rounds were voided: the hypervisor took more than 1 % of the processor.`),
    table(
      columns,
      rows.flatMap((row) => cells(row, yardstick)),
    ),
    `User and system time of the whole process by the number of packets sent; start-up excluded, but for the column that names it. Others used ${others.toFixed(2)} cores meanwhile. Memory: resident at most, ring included.`,
    ...(rows.some((row) => row.marked) ? ["* it lost more than 0.1 %, by its own account: what it did not take cost it nothing, so its packet cost more."] : []),
    ...rows.map((row) => `  ${row.name}: ${row.settings}`),
    "",
  ].join("\n"); // biome-ignore format: one list
}

export function costTargets({ kind, rows }: Cost): Target[] {
  const ours = rows.find((row) => row.ours);
  if (ours === undefined) return [];
  return rows.flatMap((row) => {
    const limit = promised[row.name];
    return limit === undefined
      ? []
      : [atMost(`${kind}: a packet's cost beside ${row.name}'s`, ours.atWork.median / row.atWork.median, limit, times)];
  });
}

export function writeCosts(
  costs: readonly Cost[],
  { csv, svg }: { readonly csv?: string; readonly svg?: string },
): void {
  const write = (path: string, text: string): void => {
    try {
      writeFileSync(path, text);
    } catch (cause) {
      throw new TaplineError("FILE_WRITE_FAILED", { path, detail: (cause as Error).message }, { cause });
    }
  };
  if (csv !== undefined) {
    const head =
      "traffic,name,ns_median,ns_best,ns_worst,engine_ns_median,ns_with_start_and_end,offered_pps,sent,lost,memory_bytes";
    const lines = costs.flatMap(({ kind, rows }) =>
      rows.map((row) =>
        [
          kind, row.name, row.atWork.median, row.atWork.best, row.atWork.worst, row.carrying?.median ?? "", row.whole.median,
          row.offered, row.sent, row.lost, row.peak,
        ].join(","),
      ),
    ); // biome-ignore format: one list
    write(csv, `${[head, ...lines].join("\n")}\n`);
  }
  if (svg !== undefined) {
    const all = costs.flatMap(({ kind, rows }) =>
      rows.map((row) => ({
        name: `${row.name}${row.marked ? " *" : ""}, ${kind}`,
        value: row.atWork.median,
        from: row.atWork.best,
        to: row.atWork.worst,
        ours: row.ours,
      })),
    );
    write(
      svg,
      bars("Processor time of a captured packet", "ns a packet: median, best to worst (* lost more than 0.1 %)", all),
    );
  }
}
