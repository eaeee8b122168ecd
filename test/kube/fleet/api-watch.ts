// The objects of one kind as the API tells them to whoever watches, the moment that they change. Enters: a client. Leaves: for whoever waits, when a change was seen.
import type { KubeClient } from "#operator/runtime/client.ts";
import type { KubeObject, Resource } from "#operator/runtime/objects.ts";

const seconds = 3600;

export class ApiWatch<T extends KubeObject> {
  readonly #newest = new Map<string, T>();
  readonly #waiting = new Set<() => void>();
  #failure: unknown;

  private constructor() {}

  /** Until the signal is aborted. */
  static async start<T extends KubeObject>(client: KubeClient, resource: Resource<T>, signal: AbortSignal): Promise<ApiWatch<T>> {
    const watch = new ApiWatch<T>();
    const { items, resourceVersion } = await client.list(resource);
    for (const item of items) watch.#see(item);
    void watch.#follow(client, resource, resourceVersion, signal);
    return watch;
  } // biome-ignore format: the signature

  async #follow(client: KubeClient, resource: Resource<T>, from: string, signal: AbortSignal): Promise<void> {
    let resourceVersion = from;
    try {
      while (!signal.aborted)
        for await (const { type, object } of client.watch(resource, { resourceVersion, seconds, silenceMs: seconds * 2000, signal })) {
          resourceVersion = object.metadata.resourceVersion ?? resourceVersion;
          if (type === "DELETED") this.#newest.delete(object.metadata.name);
          else if (type !== "BOOKMARK") this.#see(object);
        }
    } catch (error) {
      this.#failure = signal.aborted ? signal.reason : error;
      this.#wake();
    }
  } // biome-ignore format: one call

  #see(object: T): void {
    this.#newest.set(object.metadata.name, object);
    this.#wake();
  }
  #wake(): void {
    for (const look of this.#waiting) look();
  }

  get(name: string): T | undefined {
    return this.#newest.get(name);
  }
  get size(): number {
    return this.#newest.size;
  }
  values(): T[] {
    return [...this.#newest.values()];
  }

  /** Settles in the moment in which it holds; false when it did not within the time. */
  async until(holds: () => boolean, ms: number): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const look = (): void => {
      if (this.#failure !== undefined) reject(this.#failure);
      else if (holds()) resolve(true);
    };
    this.#waiting.add(look);
    const late = setTimeout(() => resolve(false), ms);
    look();
    return await promise.finally(() => {
      clearTimeout(late);
      this.#waiting.delete(look);
    });
  }
}
