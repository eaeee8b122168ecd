// The objects of one kind as they are known here. Enters: what lists and watches tell. Leaves: look-ups, and to handlers each change, once.
// Bounded by what the API holds; `trim` takes off what nobody here reads.
import { keyOf, type KubeObject } from "./objects.ts";

export type Change<T> =
  | { readonly type: "added"; readonly key: string; readonly now: T; readonly before?: undefined }
  | { readonly type: "updated"; readonly key: string; readonly now: T; readonly before: T }
  /** `before`: as it was last known; when it went while nobody watched, that may be older than its end */
  | { readonly type: "deleted"; readonly key: string; readonly now?: undefined; readonly before: T };

export type Handler<T> = (change: Change<T>) => void;

export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<Handler<T>>();
  readonly #trim: (object: T) => T;

  constructor(trim: (object: T) => T = (object) => object) {
    this.#trim = trim;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }
  get size(): number {
    return this.#objects.size;
  }
  values(): IterableIterator<T> {
    return this.#objects.values();
  }
  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  /** Called at once with what is known, as added. Must not throw. Returns what ends it. */
  onChange(handler: Handler<T>): () => void {
    this.#handlers.add(handler);
    for (const [key, now] of this.#objects) handler({ type: "added", key, now });
    return () => void this.#handlers.delete(handler);
  }

  /** True when it was news. */
  put(object: T): boolean {
    const key = keyOf(object.metadata);
    const before = this.#objects.get(key);
    if (before !== undefined && versionOf(before) === versionOf(object)) return false;
    const now = this.#trim(object);
    this.#objects.set(key, now);
    if (before !== undefined && before.metadata.uid !== now.metadata.uid) {
      // Deleted and made again while nobody watched: two objects, not one.
      this.#tell({ type: "deleted", key, before });
      this.#tell({ type: "added", key, now });
    } else this.#tell(before === undefined ? { type: "added", key, now } : { type: "updated", key, now, before });
    return true;
  }

  /** `last`: as the watch told it at its end. */
  remove(key: string, last?: T): boolean {
    const before = this.#objects.get(key);
    if (before === undefined) return false;
    this.#objects.delete(key);
    this.#tell({ type: "deleted", key, before: last === undefined ? before : this.#trim(last) });
    return true;
  }

  /** All there is. What is not in it was deleted while nobody watched. */
  replace(objects: readonly T[]): void {
    const present = new Set(objects.map(({ metadata }) => keyOf(metadata)));
    for (const key of this.#objects.keys()) if (!present.has(key)) this.remove(key);
    for (const object of objects) this.put(object);
  }

  #tell(change: Change<T>): void {
    for (const handler of this.#handlers) handler(change);
  }
}

export const versionOf = ({ metadata }: KubeObject): string => metadata.resourceVersion ?? "";
