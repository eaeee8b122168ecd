// A wire for a measurement: two network namespaces joined by a veth pair, a sender on one end. Gone when disposed of, and at
// the process's exit, however it comes about.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { TaplineError } from "#domain/errors.ts";
import { Started } from "./started.ts";

/** What native/bench/wire_sender.cc says at its end. */
export interface Sent {
  readonly sent: number;
  readonly bytes: number;
  /** numbers left out between sent ones, and runs of them */
  readonly skipped: number;
  readonly gaps: number;
  readonly flows: number;
  readonly seconds: number;
  readonly pps: number;
}

export interface Sending {
  readonly kind: "macsec" | "mixed";
  readonly flows: number;
  /** either of them ends the sending */
  readonly seconds?: number;
  readonly packets?: number;
  /** share of numbers left out */
  readonly loss?: number;
  /** each n-th number of every flow is left out */
  readonly loseEvery?: number;
}

/** Sender on the first core, reader on the second, where there are two: who takes whose time must not differ by round. */
export const cores = { sender: 0, reader: availableParallelism() > 1 ? 1 : 0 } as const;
/** bytes of a frame that is sent */
export const frameBytes = 1442;

/** A program of native/bench/. */
export function benchProgram(
  name: "wire_sender" | "capture_ablation" | "relay_sender" | "relay_sink" | "relay_hash_sink",
): string {
  const path = fileURLToPath(new URL(`../native/build/${name}`, import.meta.url));
  if (!existsSync(path)) throw new TaplineError("BENCH_NOT_BUILT", { path });
  return path;
}

let made = 0;

export class Wire implements Disposable {
  readonly #sender: string;
  readonly #receiver: string;
  readonly #near = "near";
  /** the interface that is captured */
  readonly far = "far";
  readonly #started = new Set<Started>();
  readonly #remove = (): void => this[Symbol.dispose]();

  constructor() {
    if (process.getuid?.() !== 0) throw new TaplineError("BENCH_NEEDS_ROOT", {});
    const name = `tapline-bench-${process.pid}-${made++}`;
    this.#sender = `${name}-tx`;
    this.#receiver = `${name}-rx`;
    process.once("exit", this.#remove);
    try {
      for (const end of [this.#sender, this.#receiver]) ip("netns", "add", end);
      ip("link", "add", this.#near, "netns", this.#sender, "type", "veth", "peer", this.far, "netns", this.#receiver);
      for (const [end, link] of [
        [this.#sender, this.#near],
        [this.#receiver, this.far],
      ] as const) {
        // No neighbour discovery: every frame on the wire is the sender's own.
        ip("netns", "exec", end, "sysctl", "-qw", `net.ipv6.conf.${link}.disable_ipv6=1`);
        for (const one of [link, "lo"]) ip("-n", end, "link", "set", one, "up");
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** A process beside the captured interface; `ip` and `taskset` become it, so that its pid is its own. */
  start(command: readonly string[], pinned = true): Started {
    const place = pinned ? ["taskset", "-c", String(cores.reader)] : [];
    return this.#run(["ip", "netns", "exec", this.#receiver, ...place, ...command]);
  }

  /** As fast as one core can. */
  startSending({ kind, flows, seconds, packets, loss, loseEvery }: Sending): Started {
    const option = (name: string, value: number | undefined): string[] =>
      value === undefined ? [] : [name, String(value)];
    return this.#run([
      "ip", "netns", "exec", this.#sender, benchProgram("wire_sender"), this.#near, "--kind", kind, "--size", String(frameBytes),
      "--cpu", String(cores.sender), ...option("--flows", flows), ...option("--seconds", seconds),
      ...option("--packets", packets), ...option("--loss", loss), ...option("--lose-every", loseEvery),
    ]); // biome-ignore format: one list
  }

  async send(what: Sending, signal: AbortSignal): Promise<Sent> {
    signal.throwIfAborted();
    const sender = this.startSending(what);
    const code = await sender.finished(signal);
    if (code !== 0) throw sender.failure(`it ended with ${code}`);
    return JSON.parse(sender.stdout) as Sent;
  }

  /** Whether somebody captures: every capture puts its interface into promiscuous mode. */
  get watched(): boolean {
    return /promiscuity [1-9]/.test(ip("-n", this.#receiver, "-d", "link", "show", this.far));
  }

  /** What a short program says beside the captured interface. */
  said(...command: string[]): string {
    return ip("netns", "exec", this.#receiver, ...command);
  }

  #run(command: [string, ...string[]]): Started {
    const started = new Started(command);
    this.#started.add(started);
    void started.ended.then(
      () => this.#started.delete(started),
      () => this.#started.delete(started),
    );
    return started;
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    for (const started of this.#started) started[Symbol.dispose]();
    // The pair goes with its namespaces; what is not there any more is no error.
    for (const end of [this.#sender, this.#receiver]) spawnSync("ip", ["netns", "del", end]);
  }
}

/** What `ip` says. */
export function ip(...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync("ip", args, { encoding: "utf8" });
  if (error !== undefined)
    throw new TaplineError(
      "TOOL_MISSING",
      { tool: "ip", detail: `${error.message} (Debian: iproute2)` },
      { cause: error },
    );
  if (status !== 0)
    throw new TaplineError("BENCH_PROCESS_FAILED", {
      tool: "ip",
      detail: stderr.trim(),
      command: `ip ${args.join(" ")}`,
    });
  return stdout;
}
