// What the sensors answer about pinning: it seldom changes, so it is in no report, and each sensor is asked once a minute. Enters: a session, the sensors that report. Leaves: look-ups, by
// pool and node. Bounded by the sensors that are asked about; a few are asked at once.
import type { NatsConnection } from "nats";
import { askAgent } from "#bus/asking.ts";
import { pinningReport } from "#domain/pinning.ts";
import { querySubject, type SensorPlace } from "#domain/subjects.ts";
import type { Log } from "#process/log.ts";
import { type PinningView, pinningView } from "./pinning-view.ts";

type Asked = Pick<SensorPlace, "pool" | "node">;

const everyMs = 60_000;
const patienceMs = 5000;
const atOnce = 16;
const keyOf = ({ pool, node }: Asked): string => `${pool}\n${node}`;

export class PinningBook {
  readonly #fleet: string;
  readonly #log: Log;
  readonly #asked = new Map<string, { at: number; view: PinningView | undefined }>();

  constructor(fleet: string, log: Log) {
    this.#fleet = fleet;
    this.#log = log;
  }

  get(asked: Asked): PinningView | undefined {
    return this.#asked.get(keyOf(asked))?.view;
  }

  /** `sensors`: all that report; what is known of others is forgotten. `now` monotonic, ms. */
  async look(session: NatsConnection, sensors: readonly Asked[], now: number): Promise<void> {
    const keys = new Set(sensors.map(keyOf));
    for (const key of this.#asked.keys()) if (!keys.has(key)) this.#asked.delete(key);
    const due = sensors.filter((one) => now - (this.#asked.get(keyOf(one))?.at ?? -Infinity) >= everyMs);
    const left = due.values();
    await Promise.all(Array.from({ length: Math.min(atOnce, due.length) }, async () => {
      for (const one of left) await this.#ask(session, one, now);
    })); // biome-ignore format: one call
  }

  /** Who does not answer is asked again with the next turn; what it said before stands. */
  async #ask(session: NatsConnection, { pool, node }: Asked, now: number): Promise<void> {
    const key = keyOf({ pool, node });
    const before = this.#asked.get(key)?.view;
    this.#asked.set(key, { at: now, view: before });
    try {
      const answer = await askAgent(session, querySubject({ fleet: this.#fleet, pool, node }), "/api/v1/pinning", patienceMs); // biome-ignore format: one call
      this.#asked.set(key, { at: now, view: pinningView(pinningReport.parse(answer)) });
    } catch (error) {
      this.#log.debug("failed to ask a sensor about pinning", { pool, node, error });
    }
  }
}
