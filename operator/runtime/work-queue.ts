// Which objects to look at next, as client-go's work queue has it: a key waits once however often it is added; one that is added while it is
// worked on comes again afterwards, never twice at a time; a failure comes back later and later, until it is forgotten.
// Enters: keys. Leaves: keys, one for each worker. It holds each key once, so it is bounded by the objects there are.
import { type Backoff, pauseMs } from "./backoff.ts";
import type { OperatorMetrics } from "./metrics.ts";

export interface QueueOptions {
  /** label of its metrics */
  readonly name: string;
  readonly metrics: OperatorMetrics;
  /** after failures, for each key */
  readonly backoff?: Backoff;
  /** milliseconds that only grow */
  readonly now?: () => number;
  /** [0, 1) */
  readonly random?: () => number;
}

/** setTimeout takes no more. */
const longestDelayMs = 2 ** 31 - 1;

export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #now: () => number;
  readonly #label: { readonly controller: string };
  /** wait, first come first served: since when */
  readonly #waiting = new Map<string, number>();
  /** are worked on: true when they were added again meanwhile */
  readonly #working = new Map<string, boolean>();
  readonly #delayed = new Map<string, { readonly due: number; readonly timer: NodeJS.Timeout }>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#label = { controller: options.name };
    for (const name of ["tapline_operator_queue_added_total", "tapline_operator_queue_retries_total"] as const)
      options.metrics.add(name, this.#label, 0);
    this.#show();
  }

  add(key: string): void {
    if (this.#closed) return;
    const again = this.#working.get(key);
    if (again === true || this.#waiting.has(key)) return;
    this.#options.metrics.add("tapline_operator_queue_added_total", this.#label, 1);
    if (again === false) this.#working.set(key, true);
    else this.#enqueue(key);
  }

  /** Of several delays of a key the shortest holds. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const due = this.#now() + ms;
    if ((this.#delayed.get(key)?.due ?? Number.POSITIVE_INFINITY) <= due) return;
    clearTimeout(this.#delayed.get(key)?.timer);
    const over = (): void => {
      this.#delayed.delete(key);
      this.add(key);
    };
    const timer = setTimeout(over, Math.min(ms, longestDelayMs));
    this.#delayed.set(key, { due, timer });
  }

  /** After a failure: later each time. `atLeastMs`: what the API asked for. */
  retry(key: string, atLeastMs = 0): void {
    const { backoff = { firstMs: 100, longestMs: 300_000 }, random = Math.random, metrics } = this.#options;
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    metrics.add("tapline_operator_queue_retries_total", this.#label, 1);
    this.addAfter(key, Math.max(atLeastMs, pauseMs(backoff, failures, random)));
  }

  /** The next failure is the first. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next one, when there is one; undefined when the queue was closed and is empty. Each that is taken must be done(). */
  take(): Promise<string | undefined> {
    const [next] = this.#waiting;
    if (next !== undefined) return Promise.resolve(this.#hand(next[0]));
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    const again = this.#working.get(key);
    this.#working.delete(key);
    if (again === true) this.#enqueue(key);
  }

  /** Nothing more comes in, delays are dropped; what waits is still handed out. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#delayed.values()) clearTimeout(timer);
    this.#delayed.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  /** Also what waits is dropped: somebody else will look at it. */
  drop(): void {
    this.close();
    this.#waiting.clear();
    for (const key of this.#working.keys()) this.#working.set(key, false);
    this.#show();
  }

  get depth(): number {
    return this.#waiting.size;
  }

  /** Milliseconds. */
  get oldest(): number {
    const [first] = this.#waiting.values();
    return first === undefined ? 0 : this.#now() - first;
  }

  #enqueue(key: string): void {
    this.#waiting.set(key, this.#now());
    const taker = this.#takers.shift();
    if (taker !== undefined) taker(this.#hand(this.#waiting.keys().next().value as string));
    this.#show();
  }

  #hand(key: string): string {
    const since = this.#waiting.get(key) ?? this.#now();
    this.#options.metrics.took("tapline_operator_queue_seconds", this.#label, (this.#now() - since) / 1000);
    this.#waiting.delete(key);
    this.#working.set(key, false);
    this.#show();
    return key;
  }

  #show(): void {
    this.#options.metrics.set("tapline_operator_queue_depth", this.#label, this.#waiting.size);
  }
}
