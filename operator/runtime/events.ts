// Events for `kubectl describe` and `kubectl events` (events.k8s.io/v1). Enters: what happened to an object. Leaves: an Event; the same again within
// six minutes is counted in its series, written at most every `seriesMs`. Bounded: what comes faster than the rate, or while too many wait, is dropped and counted.
import type { Log } from "#process/log.ts";
import { hasCode } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import type { OperatorMetrics } from "./metrics.ts";
import type { KubeObject, Resource } from "./objects.ts";
import { type Rate, TokenBucket } from "./token-bucket.ts";

export interface Happened {
  readonly object: KubeObject;
  readonly type: "Normal" | "Warning";
  /** CamelCase: why, for programs */
  readonly reason: string;
  /** CamelCase: what was done or tried */
  readonly action: string;
  /** for people */
  readonly note: string;
}

interface KubeEvent extends KubeObject {
  readonly [field: string]: unknown;
}
const eventKind: Resource<KubeEvent> = {
  group: "events.k8s.io",
  version: "v1",
  kind: "Event",
  plural: "events",
  namespaced: true,
};

export interface EventOptions {
  readonly client: KubeClient;
  /** "tapline.dev/operator" */
  readonly controller: string;
  /** the pod */
  readonly instance: string;
  readonly metrics: OperatorMetrics;
  readonly log: Log;
  readonly rate?: Rate;
  readonly seriesMs?: number;
  /** milliseconds that only grow */
  readonly now?: () => number;
  /** milliseconds since 1970 */
  readonly wallClock?: () => number;
}

interface Series {
  readonly happened: Happened;
  name: string;
  count: number;
  /** by the clock that only grows */
  last: number;
  lastTime: string;
  /** how many the API knows of; 0: there is no event yet */
  written: number;
  timer?: NodeJS.Timeout | undefined;
}

const sameWithinMs = 360_000;
const mostSeries = 1000;
const mostWaiting = 200;
/** bytes */
const mostNote = 1024;

export class EventRecorder {
  readonly #options: EventOptions;
  readonly #now: () => number;
  readonly #bucket: TokenBucket;
  /** by what they say; the oldest first */
  readonly #series = new Map<string, Series>();
  readonly #waiting = new Set<Series>();
  #writing: Promise<void> | undefined;
  #names = 0;
  readonly #ending = new AbortController();

  constructor(options: EventOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#bucket = new TokenBucket(options.rate ?? { perSecond: 1, burst: 50 }, this.#now);
  }

  /** Never waits, never throws. */
  tell(happened: Happened): void {
    if (this.#ending.signal.aborted) return;
    const { uid, namespace, name } = happened.object.metadata;
    const { type, reason, action, note } = happened;
    const key = JSON.stringify([happened.object.kind, namespace, name, uid, type, reason, action, note]);
    const before = this.#series.get(key);
    const fresh = before === undefined || this.#now() - before.last > sameWithinMs;
    if (fresh && !this.#bucket.take()) {
      this.#count("limited");
      return;
    }
    const series = fresh ? this.#begin(happened) : before;
    series.count++;
    series.last = this.#now();
    series.lastTime = this.#microTime();
    this.#series.delete(key); // so that it becomes the newest
    this.#series.set(key, series);
    this.#bound();
    if (fresh) this.#write(series);
    else this.#writeLater(series);
  }

  /** Writes what waits, until the signal is aborted. */
  async close(signal: AbortSignal): Promise<void> {
    const abort = (): void => this.#ending.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    for (const series of this.#series.values()) {
      if (series.timer === undefined) continue;
      clearTimeout(series.timer);
      this.#write(series);
    }
    this.#series.clear();
    await this.#writing;
    signal.removeEventListener("abort", abort);
    this.#ending.abort();
  }

  #begin(happened: Happened): Series {
    const unique = `${(this.#options.wallClock ?? Date.now)().toString(16)}${(++this.#names).toString(16)}`;
    const name = `${happened.object.metadata.name.slice(0, 200)}.${unique}`;
    return { happened, name, count: 0, last: 0, lastTime: "", written: 0 };
  }

  #bound(): void {
    const [oldest] = this.#series;
    if (this.#series.size <= mostSeries || oldest === undefined) return;
    clearTimeout(oldest[1].timer);
    this.#series.delete(oldest[0]);
  }

  #writeLater(series: Series): void {
    if (series.timer !== undefined || this.#waiting.has(series)) return;
    series.timer = setTimeout(() => this.#write(series), this.#options.seriesMs ?? 30_000).unref();
  }

  #write(series: Series): void {
    series.timer = undefined;
    if (this.#waiting.size >= mostWaiting) {
      this.#count("overflowed");
      return;
    }
    this.#waiting.add(series);
    this.#writing ??= this.#writeAll();
  }

  /** One at a time: they are the least urgent of what is written. */
  async #writeAll(): Promise<void> {
    for (const series of this.#waiting) {
      this.#waiting.delete(series);
      const { count } = series;
      try {
        await (series.written === 0 ? this.#create(series) : this.#update(series));
        this.#count(series.written === 0 ? "created" : "counted");
        series.written = count;
      } catch (error) {
        this.#count("failed");
        this.#options.log.debug("failed to write an event", { event: series.name, error });
      }
    }
    this.#writing = undefined; // in the same turn as the last look: nothing is added in between
  }

  async #create(series: Series): Promise<void> {
    const { client, controller, instance } = this.#options;
    const { object, type, reason, action, note } = series.happened;
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const signal = this.#ending.signal;
    await client.create<KubeEvent>(
      eventKind,
      {
        apiVersion: "events.k8s.io/v1",
        kind: "Event",
        // Those of objects of the whole cluster are kept in `default`.
        metadata: { name: series.name, namespace: namespace ?? "default" },
        eventTime: series.lastTime,
        reportingController: controller,
        reportingInstance: instance.slice(0, 128),
        action: action.slice(0, 128),
        reason: reason.slice(0, 128),
        type,
        note: shortened(note),
        regarding: { apiVersion: object.apiVersion, kind: object.kind, namespace, name, uid, resourceVersion },
        ...(series.count > 1 && { series: { count: series.count, lastObservedTime: series.lastTime } }),
      },
      signal,
    );
  }

  async #update(series: Series): Promise<void> {
    const { namespace = "default" } = series.happened.object.metadata;
    const patch = { series: { count: series.count, lastObservedTime: series.lastTime } };
    try {
      await this.#options.client.merge(eventKind, { namespace, name: series.name }, patch, this.#ending.signal);
    } catch (error) {
      if (!hasCode(error, "KUBE_NOT_FOUND")) throw error;
      await this.#create(series); // the API keeps events for an hour
    }
  }

  #count(outcome: string): void {
    this.#options.metrics.add("tapline_operator_events_total", { outcome }, 1);
  }

  #microTime(): string {
    return new Date((this.#options.wallClock ?? Date.now)()).toISOString().replace("Z", "000Z");
  }
}

/** Half a character at the cut becomes a mark of three bytes. */
function shortened(note: string): string {
  const bytes = Buffer.from(note);
  return bytes.length <= mostNote ? note : `${bytes.subarray(0, mostNote - 6).toString("utf8")}…`;
}
