// One forwarder carries one stream through a rig of its own: how many packets a second came out, and what became of the others.
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import {
  sendStream,
  Sink,
  type Lane,
  type Latency,
  type SinkKind,
  type SinkReport,
  type Stream,
  type StreamSent,
} from "./relay-ends.ts";
import type { Forwarder } from "./relay-peers.ts";
import { RelayRig, type Steering } from "./relay-rig.ts";
import { othersFromNow } from "./process-cost.ts";

/** What is measured, and in which setting. */
export interface RelayCase {
  readonly name: string;
  readonly forwarder: Forwarder;
  readonly hops: 1 | 2 | 3;
  readonly steering: readonly Steering[];
  /** what comes out, of each number that goes in */
  readonly lanes: readonly Lane[];
  readonly sink: SinkKind;
  readonly stream: Stream;
}

export interface RelayReading {
  readonly sent: StreamSent;
  /** what came out, over all lanes: packets a second from the first to the last */
  readonly rate: number;
  readonly lost: number;
  readonly duplicate: number;
  /** wrong length, varied headers, damaged or corrupt content, of no lane */
  readonly wrong: number;
  /** out of order; duplicates are not */
  readonly reordered: number;
  readonly latency?: Latency;
  /** cores that others used meanwhile; softirqs count here, too */
  readonly others: number;
  /** what the forwarder says of itself afterwards */
  readonly said?: unknown;
}

const warmUp = { packets: 50, pps: 1000, atMostMs: 10_000 } as const;
/** More numbers than a second at any rate that this rig has seen. */
const numbersPerSecond = 4_000_000;

const numbersOf = ({ packets, seconds = 1, pps }: Stream): number =>
  packets ?? Math.ceil(seconds * (pps === undefined ? numbersPerSecond : pps * 1.1));

/** Sends a few until all of them arrive: neighbours, routes, memberships and caches are there then. */
async function warm(rig: RelayRig, sink: Sink, { name, stream, lanes }: RelayCase, signal: AbortSignal): Promise<void> {
  const { seconds: _, ...few } = stream;
  for (const late = performance.now() + warmUp.atMostMs; ; await sleep(100, undefined, { signal })) {
    await sendStream(rig, { ...few, packets: warmUp.packets, pps: warmUp.pps }, signal);
    const report = await sink.settled(warmUp.packets);
    await sink.reset();
    if (report.lanes.every(({ lost }) => lost === 0)) return;
    if (performance.now() > late)
      throw new TaplineError("BENCH_PROCESS_FAILED", {
        tool: name,
        detail: `of ${warmUp.packets * lanes.length} packets, slowly sent, ${report.lanes.reduce((sum, { unique }) => sum + unique, 0)} arrived`,
        command: `ip netns exec ${rig.namespace(rig.last)} tcpdump -i ${rig.last}0`,
      });
  }
}

export async function readingOf(one: RelayCase, folder: string, signal: AbortSignal): Promise<RelayReading> {
  using rig = new RelayRig({ hops: one.hops });
  const numbers = numbersOf(one.stream);
  const latency = one.stream.pps !== undefined;
  const sink = await Sink.start(rig, { lanes: one.lanes, numbers, how: one.sink, latency });
  const carrying = await one.forwarder.start(rig, folder, signal);
  for (const steering of one.steering) rig.steer(steering);
  await warm(rig, sink, one, signal);
  const others = othersFromNow(process.pid);
  const sent = await sendStream(rig, one.stream, signal);
  const used = others();
  const report = await sink.settled(sent.numbers);
  return {
    ...judged(report, sent),
    others: used,
    ...(carrying.says === undefined ? {} : { said: await carrying.says() }),
  };
}

function judged({ lanes, damaged, unexpected }: SinkReport, sent: StreamSent): Omit<RelayReading, "others"> {
  const sum = (of: (lane: (typeof lanes)[number]) => number): number => lanes.reduce((all, lane) => all + of(lane), 0);
  const latency = lanes[0]?.latency;
  return {
    sent,
    rate: sum((lane) => lane.unique) / Math.max(...lanes.map((lane) => lane.seconds)),
    lost: sum((lane) => lane.lost),
    duplicate: sum((lane) => lane.duplicate),
    wrong: sum((lane) => lane.wrong_length + lane.varied + lane.corrupt + lane.bad_checksum) + damaged + unexpected,
    reordered: sum((lane) => lane.behind - lane.duplicate),
    ...(latency === undefined ? {} : { latency }),
  };
}
