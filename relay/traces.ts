// The next packets of a rule, for whoever asked to see them. Enters: what the engines noted. Leaves: a line each, until there were enough or the time is over.
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import { addressText } from "#domain/network.ts";
import type { TracedPacket } from "#domain/relay-control.ts";
import { timeText } from "#domain/time.ts";
import type { RelayTrace } from "#native/relay.ts";
import type { Engines } from "./engines.ts";

export interface TraceWish {
  readonly rule: string;
  readonly packets: number;
  readonly seconds: number;
}

const lookMs = 50;
const mostAtOnce = 16;

export class Traces {
  readonly #engines: Engines;
  /** who waits, by rule: all that wait for one see the same packets */
  readonly #waiting = new Map<string, Set<(trace: RelayTrace) => void>>();
  #looking: NodeJS.Timeout | undefined;

  constructor(engines: Engines) {
    this.#engines = engines;
  }

  /** How many there were. */
  async follow(wish: TraceWish, tell: (packet: TracedPacket) => void, signal: AbortSignal): Promise<number> {
    const { rule, packets, seconds } = wish;
    const all = [...this.#waiting.values()].reduce((total, listeners) => total + listeners.size, 0);
    if (all >= mostAtOnce) throw new TaplineError("CONTROL_TOO_MANY", { most: mostAtOnce });
    let seen = 0;
    const enough = new AbortController();
    const listen = (trace: RelayTrace): void => {
      if (seen >= packets) return;
      seen++;
      tell(tracedPacket(trace));
      if (seen === packets) enough.abort();
    };
    const listeners = this.#waiting.get(rule) ?? new Set();
    this.#waiting.set(rule, listeners.add(listen));
    this.#looking ??= setInterval(() => this.#look(), lookMs);
    try {
      this.#engines.trace(rule, packets);
      const over = AbortSignal.any([signal, enough.signal]);
      await sleep(seconds * 1000, undefined, { signal: over }).catch(() => undefined); // ended before its time
      this.#look();
    } finally {
      listeners.delete(listen);
      if (listeners.size === 0) this.#waiting.delete(rule);
      if (this.#waiting.size === 0) {
        clearInterval(this.#looking);
        this.#looking = undefined;
      }
    }
    return seen;
  }

  #look(): void {
    for (const trace of this.#engines.takeTraces())
      for (const listen of this.#waiting.get(trace.rule) ?? []) listen(trace);
  }
}

function tracedPacket({ atNs, rule, source, length, ttl, refused, outputs }: RelayTrace): TracedPacket {
  const dropped = outputs.filter((output) => output.dropped !== undefined).length;
  const relayed = dropped === 0 ? "relayed" : dropped === outputs.length ? "dropped" : "partial";
  return {
    time: timeText(atNs),
    rule,
    source: addressText(source),
    length,
    ttl,
    verdict: refused ?? relayed,
    outputs: outputs.map((output) => ({ id: output.id, verdict: output.dropped ?? "sent" })),
  };
}
