// The two ends of a relayed stream: who sends it, and who counts what arrives (native/bench/relay_*.cc).
import { setTimeout as sleep } from "node:timers/promises";
import { relayCores, type NodeName, type RelayRig } from "./relay-rig.ts";
import type { Started } from "./started.ts";
import { benchProgram } from "./wire.ts";

/** What the sender is told; see native/bench/relay_sender.cc. Either of packets and seconds ends it. */
export interface Stream {
  readonly packets?: number;
  readonly seconds?: number;
  readonly pps?: number;
  readonly group?: string;
  readonly groups?: number;
  readonly source?: string;
  readonly sources?: number;
  readonly port?: number;
  readonly sourcePort?: number;
  /** payload, bytes */
  readonly size?: number;
  readonly ttl?: number;
  readonly dscp?: number;
  readonly vlan?: number;
  readonly protocol?: "udp" | "esp";
  readonly destinationMac?: string;
  /** 0: what the device refuses is not sent again */
  readonly retry?: 0 | 1;
  readonly loseEvery?: number;
  readonly duplicateEvery?: number;
  readonly swapEvery?: number;
  readonly corruptEvery?: number;
  readonly shortenEvery?: number;
  readonly damageEvery?: number;
}

/** What the sender says at its end. */
export interface StreamSent {
  readonly sent: number;
  /** one past the highest number; of each source */
  readonly numbers: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly pps: number;
  readonly retries: number;
  readonly refused: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly swapped: number;
  readonly corrupted: number;
  readonly shortened: number;
  readonly damaged: number;
}

/** Destinations in a row whose numbers are one series. */
export interface Lane {
  readonly stream?: number;
  readonly address: string;
  readonly count?: number;
  /** 0: any */
  readonly port?: number;
}

export interface LaneReport {
  readonly destination: string;
  readonly stream: number;
  readonly received: number;
  readonly bytes: number;
  readonly unique: number;
  readonly duplicate: number;
  /** of the expected numbers never came, in so many runs */
  readonly lost: number;
  readonly runs: number;
  readonly first_lost: number;
  /** jumped over; came after a higher one */
  readonly ahead: number;
  readonly behind: number;
  readonly beyond: number;
  readonly wrong_length: number;
  /** unlike the first packet in source, ports, TTL, DSCP or VLAN */
  readonly varied: number;
  /** only by the sink that reads everything */
  readonly corrupt: number;
  readonly bad_checksum: number;
  readonly highest: number;
  readonly seconds: number;
  readonly first?: {
    readonly source: string;
    readonly source_port: number;
    readonly ttl: number;
    readonly dscp: number;
    readonly vlan: number;
  };
  readonly latency?: Latency;
}
export interface Latency {
  readonly samples: number;
  readonly p50_ns: number;
  readonly p90_ns: number;
  readonly p99_ns: number;
  readonly p999_ns: number;
  readonly max_ns: number;
}
export interface SinkReport {
  readonly frames: number;
  /** not the rig's */
  readonly other: number;
  /** the rig's, but of no lane */
  readonly unexpected: number;
  readonly damaged: number;
  readonly ring_drops?: number;
  readonly lanes: readonly LaneReport[];
}

/** xdp, tc: in the kernel. hash: a process that reads every byte. What an XDP relay sends is taken by all but tc. */
export type SinkKind = "xdp" | "tc" | "hash";

export interface SinkOptions {
  readonly lanes: readonly Lane[];
  /** numbers of each lane that are kept track of */
  readonly numbers: number;
  readonly how?: SinkKind;
  readonly latency?: boolean;
}

export const source = "10.0.1.1";
export const group = "239.1.1.1";
export const port = 5001;

const optionsOf = (stream: Stream): string[] =>
  Object.entries(stream).flatMap(([name, value]: [string, number | string]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ]);

export const startSending = (rig: RelayRig, stream: Stream): Started =>
  rig.start("a", [benchProgram("relay_sender"), "a1", "--cpu", String(relayCores.sender), ...optionsOf(stream)]);

export async function sendStream(rig: RelayRig, stream: Stream, signal: AbortSignal): Promise<StreamSent> {
  signal.throwIfAborted();
  const sender = startSending(rig, stream);
  const code = await sender.finished(signal);
  if (code !== 0) throw sender.failure(`it ended with ${code}`);
  return JSON.parse(sender.stdout) as StreamSent;
}

const laneText = ({ stream = 0, address, count = 1, port: to = port }: Lane): string =>
  `${stream},${address}+${count},${to}`;

/** Half a second of full frames at 200,000 a second, and more: whoever reads them may have to wait for his core. */
const hashRingMiB = 256;
/** What has not arrived after so long without any arrival does not come. */
const settledMs = 150;

export class Sink {
  readonly #process: Started;

  private constructor(process: Started) {
    this.#process = process;
  }

  /** At a node's way in. */
  static async start(
    rig: RelayRig,
    { lanes, numbers, how = "xdp", latency = false }: SinkOptions,
    node: NodeName = rig.last,
  ): Promise<Sink> {
    const into = `${node}0`;
    const rest = ["--numbers", String(numbers), ...lanes.flatMap((lane) => ["--lane", laneText(lane)])];
    if (how === "hash") {
      rig.said(node, "ethtool", "-K", into, "gro", "on"); // that gives it NAPI
      const command = [benchProgram("relay_hash_sink"), into, ...rest, "--ring", String(hashRingMiB)];
      return Sink.#ready(rig.start(node, command, relayCores.other, true));
    }
    const command = [
      benchProgram("relay_sink"),
      into,
      ...rest,
      "--mode",
      how === "xdp" ? how : "tc",
      "--latency",
      latency ? "1" : "0",
    ];
    return Sink.#ready(rig.start(node, command, undefined, true));
  }
  static async #ready(process: Started): Promise<Sink> {
    const said = await process.line();
    if (said !== "ready") throw process.failure(`it said ${said}`);
    return new Sink(process);
  }

  async reset(): Promise<void> {
    await this.#process.ask("reset");
  }

  async report(expected: number): Promise<SinkReport> {
    return JSON.parse(await this.#process.ask(`report ${expected}`)) as SinkReport;
  }

  /** The report once nothing arrives any more. */
  async settled(expected: number): Promise<SinkReport> {
    for (let before = -1; ; ) {
      const report = await this.report(expected);
      if (report.frames === before) return report;
      before = report.frames;
      await sleep(settledMs);
    }
  }
}
