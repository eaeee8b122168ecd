// One program captures while the sender sends: what it cost, by the kernel's account, and what it lost, by its own.
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Count, Peer } from "./capture-peers.ts";
import {
  endedChildrenNs,
  memoryOf,
  othersFromNow,
  processorNs,
  threadsOf,
  type Memory,
  type Thread,
} from "./process-cost.ts";
import type { Started } from "./started.ts";
import type { Sending, Sent, Wire } from "./wire.ts";

const pollMs = 25;
const readyMs = 20_000;
const quiet = { everyMs: 300, ns: 2e7, atMostMs: 15_000 } as const;

/** A running capture that has started up: it watches its interface, and its start-up work is over. */
export class Capturing implements AsyncDisposable {
  readonly #peer: Peer;
  readonly folder: string;
  readonly #wire: Wire;
  readonly #process: Started;
  readonly #companions: readonly Started[];

  private constructor(peer: Peer, wire: Wire, folder: string, process: Started, companions: readonly Started[]) {
    this.#peer = peer;
    this.#wire = wire;
    this.folder = folder;
    this.#process = process;
    this.#companions = companions;
  }

  static async start(peer: Peer, wire: Wire, under: string, signal: AbortSignal): Promise<Capturing> {
    signal.throwIfAborted();
    const folder = mkdtempSync(join(under, "capture-"));
    const place = { wire, folder };
    const companions = (await peer.companions?.(place)) ?? [];
    const started = new Capturing(peer, wire, folder, wire.start(peer.command(place)), companions);
    try {
      await started.#ready(signal);
      return started;
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  async #ready(signal: AbortSignal): Promise<void> {
    const until = performance.now() + readyMs;
    while (!this.#wire.watched) {
      signal.throwIfAborted();
      if (this.#process.over) throw this.#process.failure("it ended before it captured anything");
      if (performance.now() > until) throw this.#process.failure(`it did not capture within ${readyMs / 1000} s`);
      await sleep(pollMs);
    }
    await this.quiet(signal);
  }

  /** Waits until it uses next to no processor time: it has started up, or worked off what it was sent. */
  async quiet(signal: AbortSignal): Promise<void> {
    const until = performance.now() + quiet.atMostMs;
    for (let before = processorNs(this.pid); performance.now() < until; ) {
      await sleep(quiet.everyMs);
      signal.throwIfAborted();
      if (this.#process.over) throw this.#process.failure("it ended by itself");
      const now = processorNs(this.pid);
      if (now - before <= quiet.ns) return;
      before = now;
    }
  }

  /** Ends it as Ctrl-C would. `wholeNs` is the processor time of its life, start-up and end included. */
  async stop(sent: number): Promise<{ readonly wholeNs: number; readonly count: Count; readonly stdout: string }> {
    const place = { wire: this.#wire, folder: this.folder };
    const asked = this.#peer.ask?.(place) ?? "";
    const before = endedChildrenNs();
    const code = await this.#process.stop();
    const wholeNs = endedChildrenNs() - before;
    const { stdout, stderr } = this.#process;
    if (code !== 0 && code !== null) throw this.#process.failure(`it ended with ${code}`);
    return { wholeNs, stdout, count: this.#peer.count({ stderr, asked }, place, sent) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of [this.#process, ...this.#companions]) {
      one[Symbol.dispose]();
      await one.ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What a program cost while so much was sent. */
export interface Reading {
  readonly sent: Sent;
  /** processor time from before the sending to after the last packet was worked off */
  readonly ns: number;
  /** of it, the threads that carry packets */
  readonly carryingNs?: number;
  /** processor time of its whole life */
  readonly wholeNs: number;
  readonly count: Count;
  readonly memory: Memory;
  /** cores that other programs used meanwhile */
  readonly others: number;
}

const carryingNs = (threads: readonly Thread[], peer: Peer, pid: number): number =>
  threads.filter((thread) => peer.carries?.(thread, pid)).reduce((sum, { ns }) => sum + ns, 0);

export async function readingOf(
  peer: Peer,
  wire: Wire,
  sending: Sending,
  under: string,
  signal: AbortSignal,
): Promise<Reading> {
  await using capturing = await Capturing.start(peer, wire, under, signal);
  const { pid } = capturing;
  const before = { all: processorNs(pid), threads: threadsOf(pid) };
  const othersUsed = othersFromNow(pid);
  const sent = await wire.send(sending, signal);
  const others = othersUsed();
  await capturing.quiet(signal);
  const carried = carryingNs(threadsOf(pid), peer, pid) - carryingNs(before.threads, peer, pid);
  const ns = processorNs(pid) - before.all;
  const memory = memoryOf(pid);
  const { wholeNs, count } = await capturing.stop(sent.sent);
  return { sent, ns, ...(peer.carries === undefined ? {} : { carryingNs: carried }), wholeNs, count, memory, others };
}
