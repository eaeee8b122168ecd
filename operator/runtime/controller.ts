// One controller: what changes → a queue → `reconcile`, for each object one at a time. Enters: reflectors' changes. Leaves: calls of `reconcile` with
// the object as it is known then; each has one outcome, one metric, one log line and one span. A failure is tried again, later and later.
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import type { reconcileOutcomes } from "#domain/metrics.ts";
import { everySecond } from "#process/every-second.ts";
import type { Log } from "#process/log.ts";
import { traced } from "#process/traces.ts";
import { hasCode, patience } from "./api-error.ts";
import type { Backoff } from "./backoff.ts";
import type { OperatorMetrics } from "./metrics.ts";
import { type KubeObject, nameOf, type ObjectName } from "./objects.ts";
import type { Change } from "./object-store.ts";
import type { Reflector } from "./reflector.ts";
import { WorkQueue } from "./work-queue.ts";

export interface Look<T> {
  readonly key: string;
  readonly name: ObjectName;
  /** as it is known; undefined when there is none any more */
  readonly object: T | undefined;
  /** in the log lines and the span of this look */
  readonly id: string;
  readonly signal: AbortSignal;
}
/** `againMs`: look again after so long, even if nothing changes. */
export interface Looked {
  readonly againMs?: number | undefined;
}

/** Changes of other objects that are a reason to look at ours. */
export interface Source {
  readonly synced: Promise<void>;
  readonly follow: (add: (key: string) => void) => () => void;
}
export const changesOf = <S extends KubeObject>(
  reflector: Reflector<S>,
  keysOf: (change: Change<S>) => Iterable<string>,
): Source => ({
  synced: reflector.synced,
  follow: (add) =>
    reflector.store.onChange((change) => {
      for (const key of keysOf(change)) add(key);
    }),
});

/** Not a change of the status alone, which is our own. */
export function specChanged<T extends KubeObject>({ type, now, before }: Change<T>): boolean {
  if (type !== "updated" || now.metadata.generation === undefined) return true;
  const judged = ({ metadata }: T): string => {
    const { generation, deletionTimestamp, labels, annotations, finalizers } = metadata;
    return JSON.stringify([generation, deletionTimestamp, labels, annotations, finalizers]);
  };
  return judged(now) !== judged(before);
}

export interface ControllerOptions<T extends KubeObject> {
  /** in metrics, logs and spans */
  readonly name: string;
  readonly reflector: Reflector<T>;
  readonly also?: readonly Source[];
  /** absent: every change is a reason to look */
  readonly wanted?: (change: Change<T>) => boolean;
  readonly reconcile: (look: Look<T>) => Promise<Looked | undefined>;
  readonly log: Log;
  readonly metrics: OperatorMetrics;
  readonly workers?: number;
  /** for one look; its signal is aborted then */
  readonly timeoutMs?: number;
  /** for looks under way when the end has begun */
  readonly drainMs?: number;
  readonly backoff?: Backoff;
}

type Outcome = (typeof reconcileOutcomes)[number];

export class Controller<T extends KubeObject> {
  readonly queue: WorkQueue;
  readonly #options: ControllerOptions<T>;
  #looks = 0;

  constructor(options: ControllerOptions<T>) {
    this.#options = options;
    const { name, metrics, backoff } = options;
    this.queue = new WorkQueue({ name, metrics, ...(backoff && { backoff }) });
  }

  /** From the moment when all sources are known, until the signal is aborted and no look is under way. The reflectors are run by others. */
  async run(signal: AbortSignal): Promise<void> {
    const {
      name: controller,
      reflector,
      also = [],
      wanted = () => true,
      metrics,
      workers = 4,
      drainMs = 5000,
    } = this.#options;
    const ended = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([Promise.all([reflector.synced, ...also.map(({ synced }) => synced)]), ended]);
    if (signal.aborted) return;

    const unfollow = [
      reflector.store.onChange((change) => {
        if (wanted(change)) this.queue.add(change.key);
      }),
      ...also.map(({ follow }) => follow((key) => this.queue.add(key))),
    ];
    const age = everySecond(() =>
      metrics.set("tapline_operator_queue_oldest_seconds", { controller }, this.queue.oldest / 1000),
    );
    const late = new AbortController();
    const working = Promise.all(Array.from({ length: workers }, () => this.#work(late.signal)));
    try {
      await ended;
    } finally {
      for (const stop of unfollow) stop();
      this.queue.drop();
      const drained = new AbortController();
      const timer = sleep(drainMs, undefined, { signal: drained.signal }).then(
        () => late.abort(signal.reason),
        () => undefined, // all was done before
      );
      await working;
      drained.abort();
      await timer;
      await age.stop();
    }
  }

  async #work(late: AbortSignal): Promise<void> {
    for (let key = await this.queue.take(); key !== undefined; key = await this.queue.take()) {
      await this.#look(key, late);
      this.queue.done(key);
    }
  }

  async #look(key: string, late: AbortSignal): Promise<void> {
    const { name: controller, reflector, reconcile, log, metrics, timeoutMs = 60_000 } = this.#options;
    const id = `${controller}-${++this.#looks}`;
    const begun = performance.now();
    const overdue = new AbortController();
    const timer = setTimeout(
      () => overdue.abort(new TaplineError("RECONCILE_OVERDUE", { controller, what: key, seconds: timeoutMs / 1000 })),
      timeoutMs,
    );
    const signal = AbortSignal.any([late, overdue.signal]);
    let outcome: Outcome;
    let looked: Looked | undefined;
    let failure: unknown;
    try {
      const attributes = { "tapline.controller": controller, "tapline.object": key, "tapline.reconcile": id };
      const object = reflector.store.get(key);
      const look = async () => await reconcile({ key, name: nameOf(key), object, id, signal });
      looked = await traced("reconcile", attributes, look);
      outcome = looked?.againMs === undefined ? "done" : "again";
    } catch (error) {
      failure = error;
      if (late.aborted) outcome = "stopped";
      else outcome = hasCode(error, "RECONCILE_OVERDUE") ? "overdue" : "failed";
    } finally {
      clearTimeout(timer);
    }

    const seconds = (performance.now() - begun) / 1000;
    metrics.add("tapline_operator_reconciles_total", { controller, outcome }, 1);
    metrics.took("tapline_operator_reconcile_seconds", { controller }, seconds);
    const values = { controller, object: key, reconcile: id, outcome, ms: Math.round(seconds * 1000) };
    switch (outcome) {
      case "done":
      case "again":
        this.queue.forget(key);
        if (looked?.againMs !== undefined) this.queue.addAfter(key, looked.againMs);
        log.debug("reconciled", values);
        break;
      case "failed":
      case "overdue":
        this.queue.retry(key, patience(failure));
        log.warning("failed to reconcile", { ...values, failures: this.queue.failures(key), error: failure });
        break;
      case "stopped":
        log.notice("stopped reconciling", values);
        break;
    }
  }
}
