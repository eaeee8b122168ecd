// Keeps a store the same as the API, for ever. A list, then watches that go on where the one before ended; a cut, a 500 or a silent connection
// costs nothing but a pause, for the next watch begins at the last change heard. Only when the API has forgotten that moment (410) all is listed
// again. Every `compareMs` a list is compared with the store: what a watch should have told and did not is counted, and mended by listing.
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import type { Log } from "#process/log.ts";
import { hasCode, patience } from "./api-error.ts";
import { type Backoff, pauseMs } from "./backoff.ts";
import type { KubeClient, Selection } from "./client.ts";
import { Comparison } from "./comparison.ts";
import type { OperatorMetrics } from "./metrics.ts";
import { keyOf, type KubeObject, type Resource } from "./objects.ts";
import { ObjectStore } from "./object-store.ts";

export interface ReflectorOptions<T extends KubeObject> extends Selection {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  readonly metrics: OperatorMetrics;
  readonly log: Log;
  readonly pageSize?: number;
  /**
   * The API is asked to end each watch after so long, or up to twice that: one that is still there later and says nothing
   * is dead. Bookmarks do not tell: of a kind that has not changed since the apiserver began there are none.
   */
  readonly watchSeconds?: number;
  /** absent: what the watch was asked to last, and ten seconds more */
  readonly silenceMs?: number;
  /** between comparisons; a tenth more or less by chance */
  readonly compareMs?: number;
  readonly backoff?: Backoff;
  /** takes off what nobody reads, before it is stored */
  readonly trim?: (object: T) => T;
  /** [0, 1) */
  readonly random?: () => number;
}

type ListReason = "start" | "expired" | "missed" | "silent" | "compare";

/** So many watches in a row that said nothing: what is asked for may not be what the API has any more (an etcd that was set back). */
const mostSilences = 3;
/** A watch that ended in order so long after a list was made has told all that the list has, though no bookmark said so. */
const settledMs = 2000;

export class Reflector<T extends KubeObject> {
  readonly store: ObjectStore<T>;
  readonly resource: Resource<T>;
  readonly #options: ReflectorOptions<T>;
  readonly #label: { readonly resource: string };
  readonly #random: () => number;
  readonly #synced = Promise.withResolvers<void>();
  #failures = 0;
  #silences = 0;
  #version = "";
  #comparison: Comparison | undefined;
  /** while a comparison is on its way */
  #deleted: Set<string> | undefined;
  #comparing: Promise<void> | undefined;
  #comparedAt = 0;
  #compareAt = 0;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.resource = options.resource;
    this.store = new ObjectStore(options.trim);
    this.#label = { resource: options.resource.plural };
    options.metrics.add("tapline_operator_missed_total", this.#label, 0);
  }

  /** The store has had all there was, once. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Until the signal is aborted; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    let why: ListReason | undefined = "start";
    while (!signal.aborted) {
      try {
        if (why !== undefined) await this.#list(why, signal);
        why = undefined;
        why = await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) break;
        if (hasCode(error, "KUBE_EXPIRED")) why = "expired";
        if (this.#silences >= mostSilences) why = "silent";
        await this.#failed(error, signal);
      }
    }
    await this.#comparing;
  }

  async #list(why: ListReason, signal: AbortSignal): Promise<void> {
    this.#comparison = undefined;
    this.#deleted = undefined;
    const { resourceVersion, items } = await this.#ask(why, signal);
    this.store.replace(items);
    this.#version = resourceVersion;
    this.#failures = 0;
    this.#silences = 0;
    this.#planComparison();
    this.#options.metrics.set("tapline_operator_objects", this.#label, this.store.size);
    this.#synced.resolve();
  }

  #ask(why: ListReason, signal: AbortSignal) {
    const { client, resource, namespace, labels, fields, pageSize, metrics, trim } = this.#options;
    metrics.add("tapline_operator_lists_total", { ...this.#label, why }, 1);
    return client.list(resource, { namespace, labels, fields, signal, trim, ...(pageSize && { pageSize }) });
  }

  /** Undefined when it ended in order; a reason when all has to be listed again. */
  async #watch(signal: AbortSignal): Promise<ListReason | undefined> {
    const { client, resource, namespace, labels, fields, metrics } = this.#options;
    const { watchSeconds = 40 } = this.#options;
    const seconds = Math.round(watchSeconds * (1 + this.#random()));
    const silenceMs = this.#options.silenceMs ?? seconds * 1000 + 10_000;
    const begun = performance.now();
    const asked = { namespace, labels, fields, resourceVersion: this.#version, seconds, silenceMs, signal };
    try {
      for await (const { type, object } of client.watch(resource, asked)) {
        const { metadata } = object;
        this.#version = metadata.resourceVersion ?? this.#version;
        this.#failures = 0;
        this.#silences = 0;
        metrics.add("tapline_operator_watched_total", { ...this.#label, type: type.toLowerCase() }, 1);
        if (type === "DELETED") {
          this.#deleted?.add(keyOf(metadata));
          this.store.remove(keyOf(metadata), object);
        } else if (type !== "BOOKMARK") this.store.put(object);
        metrics.set("tapline_operator_objects", this.#label, this.store.size);
        if (this.#hasMissed(signal, false)) return "missed";
      }
      this.#count("closed");
    } catch (error) {
      if (!signal.aborted) this.#count(endOf(error));
      if (hasCode(error, "KUBE_SILENT")) this.#silences++;
      throw error;
    }
    // Something between us and the API may end every watch at once: that is a failure, too.
    if (performance.now() - begun < 1000 && !signal.aborted) {
      const { plural } = resource;
      throw new TaplineError("KUBE_FAILED", { what: `watch ${plural}`, detail: "it was ended within a second" });
    }
    return this.#hasMissed(signal, performance.now() - this.#comparedAt > settledMs) ? "missed" : undefined;
  }

  /** `passed`: the watch is certainly further than the list that is compared with. */
  #hasMissed(signal: AbortSignal, passed: boolean): boolean {
    if (this.#comparison === undefined) {
      if (this.#comparing === undefined && performance.now() >= this.#compareAt)
        this.#comparing = this.#compare(signal).finally(() => {
          this.#comparing = undefined;
        });
      return false;
    }
    if (!passed && !this.#comparison.isPassedBy(this.#version)) return false;
    const missed = this.#comparison.missed(this.store);
    this.#planComparison();
    if (missed === 0) return false;
    this.#options.metrics.add("tapline_operator_missed_total", this.#label, missed);
    this.#options.log.error("found changes that a watch had not told", { ...this.#label, missed });
    return true;
  }

  /** Beside the watch, which goes on; its next changes and bookmarks say when both are at one moment. */
  async #compare(signal: AbortSignal): Promise<void> {
    const deleted = new Set<string>();
    this.#deleted = deleted;
    try {
      const { resourceVersion, items } = await this.#ask("compare", signal);
      // A list for another reason came between: it has mended what there was to mend.
      if (this.#deleted === deleted) this.#comparison = new Comparison(resourceVersion, items, deleted);
      this.#comparedAt = performance.now();
    } catch (error) {
      this.#planComparison();
      if (!signal.aborted) this.#options.log.warning("failed to compare with the API", { ...this.#label, error });
    }
  }

  #planComparison(): void {
    const { compareMs = 600_000 } = this.#options;
    this.#comparison = undefined;
    this.#deleted = undefined;
    this.#compareAt = performance.now() + compareMs * (0.9 + this.#random() / 5);
  }

  #count(end: string): void {
    this.#options.metrics.add("tapline_operator_watches_total", { ...this.#label, end }, 1);
  }

  async #failed(error: unknown, signal: AbortSignal): Promise<void> {
    const { log, backoff = { firstMs: 200, longestMs: 30_000 } } = this.#options;
    this.#failures++;
    // A watch that is cut now and then is no news.
    log[this.#failures > 2 ? "warning" : "debug"]("failed to follow the API", {
      ...this.#label,
      failures: this.#failures,
      error,
    });
    const pause = Math.max(patience(error) ?? 0, pauseMs(backoff, this.#failures, this.#random));
    await sleep(pause, undefined, { signal }).catch(() => undefined); // the loop looks at the signal
  }
}

function endOf(error: unknown): string {
  if (hasCode(error, "KUBE_EXPIRED")) return "expired";
  if (hasCode(error, "KUBE_SILENT")) return "silent";
  return hasCode(error, "KUBE_UNREACHABLE") ? "cut" : "failed";
}
