// Does the store have what the API has? Enters: a list taken while the watch went on, and then the watch's changes until it has passed the list's
// moment. Leaves: how many changes the watch has missed. Pure.
import { keyOf, type KubeObject } from "./objects.ts";
import type { ObjectStore } from "./object-store.ts";

export class Comparison {
  readonly #at: bigint;
  /** what there was at that moment: key → resourceVersion */
  readonly #versions: ReadonlyMap<string, bigint>;
  /** deleted since the list was asked for, by what the watch told */
  readonly #deleted: ReadonlySet<string>;

  constructor(resourceVersion: string, items: readonly KubeObject[], deleted: ReadonlySet<string>) {
    this.#at = BigInt(resourceVersion);
    this.#versions = new Map(items.map(({ metadata }) => [keyOf(metadata), BigInt(metadata.resourceVersion ?? 0)]));
    this.#deleted = deleted;
  }

  isPassedBy(watched: string): boolean {
    return BigInt(watched) >= this.#at;
  }

  missed(store: Pick<ObjectStore<KubeObject>, "get" | "values">): number {
    let missed = 0;
    for (const [key, version] of this.#versions) {
      const known = store.get(key);
      if (known === undefined ? !this.#deleted.has(key) : BigInt(known.metadata.resourceVersion ?? 0) < version)
        missed++;
    }
    // Known as of before that moment, and not there any more at it.
    for (const { metadata } of store.values())
      if (!this.#versions.has(keyOf(metadata)) && BigInt(metadata.resourceVersion ?? 0) <= this.#at) missed++;
    return missed;
  }
}
