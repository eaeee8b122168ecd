// The fleet's plan for this node. Enters: the key of the node, watched; the object it names. Leaves: plans that are signed, whole and newer than what runs,
// one after the other. No key, a deleted key, no bucket and no NATS are all the same: no plan has come, and what runs goes on.
import type { KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamClient, KV, NatsConnection, NatsError } from "nats";
import { TaplineError } from "#domain/errors.ts";
import type { planStates, PlanNotice, RelayPlan } from "#domain/relay-plan.ts";
import { planBucket, planKey, type RelayPlace } from "#domain/subjects.ts";
import type { Conditions } from "./conditions.ts";
import type { BusConnection } from "./connection.ts";
import { openPlan, planRefused, readNotice, type RunningPlan } from "./plan-seal.ts";

export interface PlanOptions {
  readonly connection: BusConnection;
  readonly conditions: Conditions;
  readonly place: RelayPlace;
  /** the operator's */
  readonly key: KeyObject;
  readonly running: () => RunningPlan;
  /** Throws when it cannot be programmed or kept; then the old one runs on, and it is tried again. */
  readonly take: (plan: RelayPlan, notice: PlanNotice) => Promise<void>;
  /** until what failed is tried again */
  readonly pauseMs?: number;
}

type PlanState = (typeof planStates)[number];

const mostObjectBytes = 16 * 2 ** 20;
const fetchMs = 30_000;

export class PlanReader {
  readonly #options: PlanOptions;
  readonly #ending = new AbortController();
  readonly #forget: () => void;
  #working: Promise<void> = Promise.resolve();
  #state: PlanState = "none";

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#forget = options.connection.onSession((session) => {
      this.#working = this.#follow(session);
    });
  }

  get state(): PlanState {
    return this.#state === "none" && this.#options.running().generation > 0 ? "applied" : this.#state;
  }

  async close(): Promise<void> {
    this.#forget();
    this.#ending.abort();
    await Promise.race([this.#working, sleep(1000)]);
  }

  get #over(): boolean {
    return this.#ending.signal.aborted;
  }

  /** For as long as the session stands. */
  async #follow(session: NatsConnection): Promise<void> {
    const { place, conditions } = this.#options;
    const bucket = planBucket(place.fleet);
    while (!session.isClosed() && !this.#over) {
      try {
        const jetstream = session.jetstream();
        // Bound, not made: without rights to make streams, and without leaving one behind.
        const keys = await jetstream.views.kv(bucket, { bindOnly: true });
        await this.#watch(jetstream, keys, session);
      } catch (cause) {
        if (session.isClosed() || this.#over) return;
        const detail = `${bucket}: ${(cause as Error).message}`;
        conditions.raise("plan", new TaplineError("RELAY_PLAN_UNREADABLE", { generation: "?", detail }, { cause }));
        await this.#pause();
      }
    }
  }

  async #watch(jetstream: JetStreamClient, keys: KV, session: NatsConnection): Promise<void> {
    const { place, conditions } = this.#options;
    // Of several that came meanwhile only the newest counts; the watch itself is never held up.
    let newest: Uint8Array | undefined;
    let working: Promise<void> | undefined;
    const work = async (): Promise<void> => {
      for (let data = newest; data !== undefined && !this.#over && !session.isClosed(); data = newest) {
        const settled = await this.#consider(jetstream, data);
        if (newest === data && settled) newest = undefined;
        else if (newest === data) await this.#pause();
      }
      working = undefined;
    };
    const watch = await keys.watch({ key: planKey(place.node) });
    const stop = (): void => watch.stop();
    this.#ending.signal.addEventListener("abort", stop, { once: true });
    if (conditions.of("plan")?.details["generation"] === "?") conditions.clear("plan");
    try {
      for await (const entry of watch) {
        if (entry.operation !== "PUT") continue; // a plan that was taken away is not an empty plan
        newest = entry.value;
        working ??= work();
      }
    } finally {
      this.#ending.signal.removeEventListener("abort", stop);
      newest = undefined;
      await working;
    }
  }

  /** True when nothing more is to be done about it: it runs, or it will never be taken. */
  async #consider(jetstream: JetStreamClient, data: Uint8Array): Promise<boolean> {
    const { conditions, place, key, running, take } = this.#options;
    const about = "plan";
    try {
      const notice = readNotice(data, place, key, running());
      if (notice) {
        this.#state = "waiting";
        await take(openPlan(await this.#fetch(jetstream, notice), notice, place), notice);
      }
      this.#state = "applied";
      conditions.clear(about);
      return true;
    } catch (cause) {
      const error = cause instanceof TaplineError ? cause : planRefused("?", (cause as Error).message, cause);
      // Another plan is another matter, though it be refused under the same code.
      if (conditions.of(about)?.message !== error.message) conditions.clear(about);
      conditions.raise(about, error);
      const final = error.code === "RELAY_PLAN_REFUSED";
      this.#state = final ? "refused" : "waiting";
      return final;
    }
  }

  async #fetch(jetstream: JetStreamClient, { object, generation }: PlanNotice): Promise<Uint8Array> {
    const unreadable = (detail: string, cause?: unknown): TaplineError =>
      new TaplineError("RELAY_PLAN_UNREADABLE", { generation, detail }, { cause });
    const bucket = planBucket(this.#options.place.fleet);
    try {
      const manager = await jetstream.jetstreamManager(false);
      await manager.streams.info(`OBJ_${bucket}`); // else the client would make it
      const store = await jetstream.views.os(bucket);
      const found = await store.get(object);
      if (!found) throw unreadable(`there is no object ${object}`);
      if (found.info.size > mostObjectBytes) throw unreadable(`${object} has ${found.info.size} bytes`);
      const parts: Uint8Array[] = [];
      const late = AbortSignal.any([AbortSignal.timeout(fetchMs), this.#ending.signal]);
      await found.data.pipeTo(new WritableStream({ write: (part) => void parts.push(part) }), { signal: late });
      const error = await found.error;
      if (error) throw error;
      return Buffer.concat(parts);
    } catch (cause) {
      if (cause instanceof TaplineError) throw cause;
      throw unreadable((cause as NatsError).message, cause);
    }
  }

  async #pause(): Promise<void> {
    await sleep(this.#options.pauseMs ?? 10_000, undefined, { signal: this.#ending.signal }).catch(() => undefined);
  }
}
