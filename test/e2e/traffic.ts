// Known traffic between the nodes of a cluster, made and counted by the rig's own programs (native/bench/): senders, a sink, and a place in the network that loses packets.
import type { SinkReport, Stream, StreamSent } from "../../cli/relay-ends.ts";
import { Started } from "../../cli/started.ts";
import { benchProgram, type Sent } from "../../cli/wire.ts";
import type { Machine } from "./cluster/machine.ts";

const { signal } = new AbortController();

const inside = (machine: Machine, command: readonly string[], talks = false): Started => {
  const [program, words] = machine.enter(...command);
  return new Started([program, ...words], talks);
};
const words = (options: object): string[] =>
  Object.entries(options).flatMap(([name, value]: [string, number | string]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ]);

/** Frames whose numbers a sensor follows, with holes that were made. */
export async function sendFlows(
  machine: Machine,
  link: string,
  options: { packets: number; pps: number; flows: number; loseEvery: number },
): Promise<Sent> {
  return JSON.parse(await machine.run([benchProgram("wire_sender"), link, ...words(options)])) as Sent;
}

/** A feed, for a relay to carry. */
export class Feed implements Disposable {
  readonly #sender: Started;

  constructor(machine: Machine, link: string, stream: Stream) {
    this.#sender = inside(machine, [benchProgram("relay_sender"), link, ...words(stream)]);
  }

  /** By itself, or `stop`ped. */
  async sent(): Promise<StreamSent> {
    const code = await this.#sender.finished(signal);
    if (code !== 0) throw this.#sender.failure(`it ended with ${code}`);
    return JSON.parse(this.#sender.stdout) as StreamSent;
  }
  stop(): Promise<StreamSent> {
    this.#sender.kill("SIGINT");
    return this.sent();
  }
  [Symbol.dispose](): void {
    this.#sender[Symbol.dispose]();
  }
}

/** What comes in on a link, counted in the kernel. */
export class Arrivals implements Disposable {
  readonly #sink: Started;

  private constructor(sink: Started) {
    this.#sink = sink;
  }

  static async at(machine: Machine, link: string, lane: { group: string; port: number }): Promise<Arrivals> {
    const lanes = ["--lane", `0,${lane.group},${lane.port}`, "--numbers", String(2 ** 21), "--mode", "tc"];
    const sink = inside(machine, [benchProgram("relay_sink"), link, ...lanes], true);
    const said = await sink.line();
    if (said !== "ready") throw sink.failure(`it said ${said}`);
    return new Arrivals(sink);
  }

  /** Of `expected` numbers. */
  async counted(expected: number): Promise<SinkReport["lanes"][number]> {
    const { lanes } = JSON.parse(await this.#sink.ask(`report ${expected}`)) as SinkReport;
    const [lane] = lanes;
    if (!lane) throw this.#sink.failure("it has no lane");
    return lane;
  }
  [Symbol.dispose](): void {
    this.#sink[Symbol.dispose]();
  }
}

/** A port of the nodes' switch that loses tunnel packets on their way from its node to another, and says how many. */
export class Lossy {
  readonly #control: Machine;
  readonly #head: string;

  constructor(control: Machine, from: string, to: string) {
    this.#control = control;
    this.#head = `add table netdev lossy
add counter netdev lossy gone
add chain netdev lossy ingress { type filter hook ingress device "${from}" priority 0; }
add rule netdev lossy ingress ip daddr ${to} udp dport 6087`;
  }

  /** Of so many packets every one that is the last; 1: all. */
  async lose(every: number): Promise<void> {
    await this.#nft(`${this.#head} numgen inc mod ${every} ${every - 1} counter name gone drop\n`);
  }
  /** How many were lost since `lose`; nothing is lost any more. */
  async mend(): Promise<number> {
    const listed = await this.#control.run(["nft", "list", "counter", "netdev", "lossy", "gone"]);
    await this.#nft("delete table netdev lossy");
    return Number(/packets (\d+)/.exec(listed)?.[1]);
  }

  async #nft(input: string): Promise<void> {
    await this.#control.run(["nft", "-f", "-"], { input });
  }
}
