// The test's end of driver.ts: a capture in the receiving namespace that can be changed while it runs.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect } from "vitest";
import type { ChildProcess } from "node:child_process";
import type { CaptureFigures } from "#domain/analysis.ts";
import type { BlindReason } from "#domain/vocabulary.ts";
import type { CaptureOptions, LimitsChange, Link, PortOptions } from "#native/engine.ts";
import type { Command } from "./driver.ts";
import type { Network } from "./network.ts";

const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const driver = new URL("driver.ts", import.meta.url).pathname;

/** As JSON brings it: times are text. */
export type Figures = Omit<CaptureFigures, "firstTimeNs" | "lastTimeNs">;

export interface Flow {
  readonly packet: number;
  readonly packets: number;
  readonly lost: number;
  readonly end: number;
  readonly first_ns: string;
  readonly last_ns: string;
}
export interface Blind {
  readonly port: number;
  readonly reason: BlindReason;
  readonly since_ns: string;
  readonly until_ns: string;
}
export interface Everything {
  readonly figures: Figures;
  readonly flows: readonly Flow[];
  readonly gaps: readonly { readonly first: number; readonly last: number; readonly suspect: 0 | 1 }[];
  readonly blinds: readonly Blind[];
}

export const usual: CaptureOptions = {
  ports: [{ name: "far" }],
  wait: false,
  threads: 1,
  filter: "",
  direction: "In",
  promiscuous: true,
  ring: { blockKiB: 256, blocks: 64, retireMs: 4 },
  settleNs: 2e9,
  idleNs: 60e9,
  maxFlows: 1 << 20,
};

export class Driven implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #problems: string[] = [];
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("no output");
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#problems.push(text));
    this.#ended = once(child, "exit");
  }

  /** Captures as asked; what is left out is as `usual`. */
  static async start(network: Network, options: Partial<CaptureOptions> = {}): Promise<Driven> {
    const driven = new Driven(network.start(network.receiver, node, driver));
    await driven.#tell({ do: "capture", options: { ...usual, ...options } });
    return driven;
  }

  async #tell(command: Command): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`the driver ended: ${this.#problems.join("")}`);
    const answer = JSON.parse(value) as { value?: unknown; error?: { code?: string; detail?: string; text: string } };
    if (answer.error !== undefined) throw Object.assign(new Error(answer.error.text), answer.error);
    return answer.value;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }
  add = (port: PortOptions): Promise<unknown> => this.#tell({ do: "add", port });
  remove = (name: string): Promise<unknown> => this.#tell({ do: "remove", name });
  setFilter = (text: string): Promise<unknown> => this.#tell({ do: "setFilter", text });
  setLimits = (change: LimitsChange): Promise<unknown> => this.#tell({ do: "setLimits", change });
  figures = async (): Promise<Figures> => (await this.#tell({ do: "figures" })) as Figures;
  links = async (): Promise<{ links: readonly Link[]; told: number }> =>
    (await this.#tell({ do: "links" })) as { links: readonly Link[]; told: number };
  stop = async (): Promise<Everything> => (await this.#tell({ do: "stop" })) as Everything;

  /** Until a figure is as wanted; the figures then. */
  async until(wanted: (now: Figures) => boolean): Promise<Figures> {
    let now = await this.figures();
    for (let i = 0; i < 200 && !wanted(now); i++) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      now = await this.figures();
    }
    if (!wanted(now)) throw new Error(`never so: ${JSON.stringify(now)}`);
    return now;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    await this.#ended;
    clearTimeout(late);
  }
}

/** Long enough for a block to retire. */
export const soon = 300;
export const words = (text: string): string[] => text.split(" ");

export const port = (figures: Figures, name: string): Figures["ledger"][number] => {
  const found = figures.ledger.find((row) => row.interface === name);
  if (found === undefined) throw new Error(`${name} is not in the ledger`);
  return found;
};
export const state = (name: string, wanted: string) => (now: Figures) => port(now, name).state === wanted;

export function accounted(figures: Figures): void {
  for (const row of figures.ledger) {
    expect(row, row.interface).toMatchObject({ residue: 0, inFlight: 0 });
    expect(row.seen, row.interface).toBe(row.ringDrops + row.delivered);
  }
}
export const reasons = (end: Everything, position: number): string[] =>
  // One that goes on is told each second, always of the same beginning.
  [
    ...new Map(
      end.blinds
        .filter((blind) => blind.port === position)
        .map((blind) => [`${blind.reason} ${blind.since_ns}`, blind.reason]),
    ).values(),
  ];
