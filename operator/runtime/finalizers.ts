// What has to be ended before an object may go. Enters: an object, and how to end what it stands for. Leaves: the object with our finalizer, or let
// go: when the end succeeded, or could not for `limitMs` (a dead node, no NATS), and then it is told.
import { TaplineError } from "#domain/errors.ts";
import { hasCode } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import type { OperatorMetrics } from "./metrics.ts";
import { type KubeObject, type Resource, spoken } from "./objects.ts";

export interface FinalizerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  /** "tapline.dev/relay" */
  readonly finalizer: string;
  /** from when this process first saw the deletion: a restart begins anew, clocks are not compared */
  readonly limitMs: number;
  readonly metrics: OperatorMetrics;
  /** the object was let go all the same */
  readonly overdue: (object: T, error: TaplineError) => void;
  /** milliseconds that only grow */
  readonly now?: () => number;
}

export class Finalizer<T extends KubeObject> {
  readonly #options: FinalizerOptions<T>;
  readonly #now: () => number;
  /** uid → when its deletion was first seen; bounded by the objects that are being deleted */
  readonly #since = new Map<string, number>();

  constructor(options: FinalizerOptions<T>) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  isOn({ metadata }: T): boolean {
    return metadata.finalizers?.includes(this.#options.finalizer) ?? false;
  }

  /** Before anything is begun that would have to be ended. */
  async put(object: T, signal: AbortSignal): Promise<T> {
    if (this.isOn(object)) return object;
    return await this.#set(object, [...(object.metadata.finalizers ?? []), this.#options.finalizer], signal);
  }

  /** Of an object that is being deleted: ends it and lets it go. Throws what `end` threw until the time is over. */
  async end(object: T, end: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    const { resource, metrics, limitMs, overdue } = this.#options;
    if (!this.isOn(object)) return;
    const uid = object.metadata.uid ?? "";
    const since = this.#since.get(uid) ?? this.#now();
    this.#since.set(uid, since);
    let failure: TaplineError | undefined;
    try {
      await end(signal);
    } catch (error) {
      if (this.#now() - since < limitMs || signal.aborted) throw error;
      const details = {
        what: spoken(resource, object.metadata),
        seconds: limitMs / 1000,
        detail: (error as Error).message,
      };
      failure = new TaplineError("FINALIZER_OVERDUE", details, { cause: error });
    }
    await this.takeOff(object, signal);
    this.#since.delete(uid);
    metrics.add("tapline_operator_finalizers_total", { outcome: failure === undefined ? "ended" : "overdue" }, 1);
    if (failure !== undefined) overdue(object, failure);
  }

  /** Whatever became of what it stands for. */
  async takeOff(object: T, signal: AbortSignal): Promise<void> {
    if (!this.isOn(object)) return;
    const others = (object.metadata.finalizers ?? []).filter((name) => name !== this.#options.finalizer);
    try {
      await this.#set(object, others, signal);
    } catch (error) {
      if (!hasCode(error, "KUBE_NOT_FOUND")) throw error; // gone already
    }
  }

  /** Guarded: of two who change the list at once, the second is told to look again. */
  async #set(object: T, finalizers: readonly string[], signal: AbortSignal): Promise<T> {
    const { client, resource } = this.#options;
    const { uid, resourceVersion } = object.metadata;
    return await client.merge(resource, object.metadata, { metadata: { uid, resourceVersion, finalizers } }, signal);
  }
}
