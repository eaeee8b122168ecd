// What each step of the capture is worth: native/bench/capture_ablation.cc in interleaved rounds, pinned and not.
import type { Kind } from "./capture-peers.ts";
import { kindText, trafficOf } from "./capture-cost.ts";
import { count, duration, mebibytes, median, percent, times } from "./numbers.ts";
import { interleaved } from "./rounds.ts";
import { table, type Cell, type Column } from "./table.ts";
import { benchProgram, cores, Wire, type Sent } from "./wire.ts";
import { ringMiB } from "./capture-peers.ts";
import { setTimeout as sleep } from "node:timers/promises";

const modes = {
  recvmsg: "copied, one system call a frame",
  recvmmsg: "copied, up to 64 frames a system call",
  "ring-copy": "ring, each frame copied out",
  "ring-single": "ring, zero copy, frame by frame",
  "ring-block": "ring, zero copy, a block at a time (the sensor)",
} as const;
type Mode = keyof typeof modes;

/** What the program prints. */
interface Printed {
  readonly frames: number;
  readonly seen: number;
  readonly dropped: number;
  readonly wall_ns: number;
  readonly cpu_ns: number;
  readonly rss_bytes: number;
  readonly flows: number;
  readonly lost: number;
}

export interface AblationRow {
  readonly mode: Mode;
  readonly pinned: boolean;
  /** packets a second that were read; ns of the reading thread a packet that it read: median, best, worst */
  readonly rate: number;
  readonly ns: readonly [number, number, number];
  readonly rss: number;
  /** share of what was sent */
  readonly dropped: number;
}
export interface Ablation {
  readonly kind: Kind;
  readonly seconds: number;
  readonly rounds: number;
  readonly voided: number;
  readonly rows: readonly AblationRow[];
}

const readyMs = 5000;

async function once(
  mode: Mode,
  pinned: boolean,
  kind: Kind,
  seconds: number,
  signal: AbortSignal,
): Promise<Printed & { readonly sent: Sent }> {
  using wire = new Wire();
  const place = pinned ? ["--cpu", String(cores.reader)] : [];
  using reader = wire.start(
    [benchProgram("capture_ablation"), wire.far, "--mode", mode, "--ring", String(ringMiB), ...place],
    false,
  );
  for (const until = performance.now() + readyMs; !wire.watched; await sleep(20)) {
    if (reader.over || performance.now() > until) throw reader.failure("it does not capture");
  }
  await sleep(100, undefined, { signal }); // its ring is there before it listens; its table is touched page by page anyway
  const sent = await wire.send(trafficOf(kind, seconds), signal);
  await sleep(200, undefined, { signal });
  if ((await reader.stop()) !== 0) throw reader.failure("it ended with an error");
  const printed = JSON.parse(reader.stdout) as Printed;
  if (printed.seen !== sent.sent || printed.frames + printed.dropped !== sent.sent)
    throw reader.failure(`of ${sent.sent} packets it read ${printed.frames} and dropped ${printed.dropped}`);
  if (printed.dropped === 0 && printed.lost !== sent.skipped)
    throw reader.failure(`it found ${printed.lost} numbers lost of ${sent.skipped}`);
  return { ...printed, sent };
}

export async function ablation(kind: Kind, seconds: number, rounds: number, signal: AbortSignal): Promise<Ablation> {
  const variants = (Object.keys(modes) as Mode[]).flatMap((mode) => [true, false].map((pinned) => ({ mode, pinned })));
  const nameOf = ({ mode, pinned }: (typeof variants)[number]): string => `${mode} ${pinned}`;
  const { found, voided } = await interleaved(
    "ablation",
    rounds,
    Object.fromEntries(variants.map((one) => [nameOf(one), () => once(one.mode, one.pinned, kind, seconds, signal)])),
    signal,
  );
  const rows = variants.map((one): AblationRow => {
    const all = found[nameOf(one)] ?? [];
    const ns = all.map((each) => each.cpu_ns / each.frames);
    return {
      ...one,
      rate: median(all.map((each) => each.frames / (each.wall_ns / 1e9))),
      ns: [median(ns), Math.min(...ns), Math.max(...ns)],
      rss: Math.max(...all.map((each) => each.rss_bytes)),
      dropped: median(all.map((each) => each.dropped / each.sent.sent)),
    };
  });
  return { kind, seconds, rounds, voided, rows };
}

const right = (title: string): Column => ({ title, align: "right" });

export function ablationText({ kind, seconds, rounds, voided, rows }: Ablation): string {
  const ours = rows.find((row) => row.mode === "ring-block" && row.pinned);
  const shown = (row: AblationRow): Cell[] => [
    modes[row.mode],
    row.pinned ? "yes" : "no",
    count(row.rate),
    ...row.ns.map(duration),
    ours === undefined ? "–" : times(row.ns[0] / ours.ns[0]),
    row.dropped > 0 ? { text: percent(row.dropped, 1), mood: "bad" } : "0 %",
    mebibytes(row.rss),
  ];
  return [
    `Ablation: ${kindText[kind]}, 50,000 flows, ${seconds} s at full rate, median of ${rounds} interleaved rounds, decoding and flow table the same in all.` +
      (voided === 0 ? "" : ` ${voided} rounds were voided: the hypervisor took more than 1 % of the processor.`),
    table(
      [
        { title: "how frames are taken", align: "left" },
        { title: "pinned", align: "left" },
        ...["packets/s", "a packet", "best", "worst", "beside ours", "dropped", "memory"].map(right),
      ],
      rows.map(shown),
    ),
    `Processor time of the reading thread by the packets it read. Ring or socket buffer ${ringMiB} MiB; the socket's is the kernel's own memory, and not in the column. Pinned: the reader on core ${cores.reader}; the sender is always on core ${cores.sender}, and what is read cannot be more than it sends.`,
    "",
  ].join("\n");
}
