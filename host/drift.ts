// What differs from what is wished, and since when.
import type { PinnedItem, PinningDrift } from "#domain/pinning.ts";
import { timeText } from "#domain/time.ts";
import type { InterfaceView } from "./pinning-view.ts";

export class Drift {
  /** differences ever noticed; one that lasts counts once */
  noticed = 0;
  readonly #since = new Map<string, bigint>();

  /** `now`: nanoseconds since 1970 */
  compare(views: readonly InterfaceView[], now: bigint): PinningDrift[] {
    const found = views.flatMap((view) => differing(view, (key) => this.#first(key, now)));
    const lasting = new Set(found.map(({ interface: nic, name }) => key(nic, name)));
    for (const known of this.#since.keys()) if (!lasting.has(known)) this.#since.delete(known);
    return found;
  }

  #first(key: string, now: bigint): string {
    const known = this.#since.get(key);
    if (known !== undefined) return timeText(known);
    this.#since.set(key, now);
    this.noticed++;
    return timeText(now);
  }
}

const key = (nic: string, name: string): string => `${nic} ${name}`;

function differing(view: InterfaceView, since: (key: string) => string): PinningDrift[] {
  const parts = { thread: view.threads, memory: view.memory, irq: view.irqs, rps: view.rps, threaded: view.threaded };
  return Object.entries(parts).flatMap(([item, part]) =>
    part.items
      .filter(({ desired, actual }) => desired !== null && actual !== null && desired !== actual)
      .map(({ name, desired, actual }) => ({
        interface: view.interface,
        item: name.startsWith("thread napi/") ? "napi" : (item as PinnedItem),
        name,
        desired: desired ?? "",
        actual,
        since: since(key(view.interface, name)),
      })),
  );
}
