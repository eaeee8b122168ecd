// The operator's end of the plans: the counterpart of plans.ts. Enters: all rules of a node. Leaves: gzip JSON in the object store, and the node's key, which
// names it with digest and signature. The object comes first, so that no key ever names what is not there. A plan is never taken away: a node that shall run
// nothing is given an empty one. The generation rises strictly, also for the next operator and after NATS has lost everything: it is one more than the
// highest of what the key says and what the node reports.
import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { KV, KvEntry, NatsConnection, NatsError, ObjectStore } from "nats";
import { TaplineError } from "#domain/errors.ts";
import { planClaim, planVersion } from "#domain/relay-plan.ts";
import { planBucket, planKey } from "#domain/subjects.ts";
import { openPlan, readNotice, type RunningPlan } from "./plan-seal.ts";

/** What is written for a node now. */
export interface WrittenPlan extends RunningPlan {
  readonly digest: string;
  readonly rules: readonly unknown[];
}

export interface PlanWriterOptions {
  /** A new one for each session: after an outage what is written has to be read again. */
  readonly session: NatsConnection;
  readonly fleet: string;
  /** Ed25519, private */
  readonly key: KeyObject;
  /** ISO 8601 in UTC */
  readonly now: () => string;
}

interface Held {
  /** the key's, for writing only over what was read; 0: there is none */
  revision: number;
  generation: number;
  object: string | undefined;
}

const none: Held = { revision: 0, generation: 0, object: undefined };

export class PlanWriter {
  readonly #options: PlanWriterOptions;
  readonly #keys: KV;
  readonly #objects: ObjectStore;
  readonly #public: KeyObject;
  /** by node */
  readonly #held = new Map<string, Held>();

  private constructor(options: PlanWriterOptions, keys: KV, objects: ObjectStore) {
    this.#options = options;
    this.#keys = keys;
    this.#objects = objects;
    this.#public = createPublicKey(options.key);
  }

  /** Makes the bucket and the store when they are not there. */
  static async open(options: PlanWriterOptions): Promise<PlanWriter> {
    const bucket = planBucket(options.fleet);
    try {
      const { views } = options.session.jetstream();
      // No options for the store: the client passes them on as they are, and a newer server refuses words that it does not know.
      return new PlanWriter(options, await views.kv(bucket, { history: 1 }), await views.os(bucket)); // biome-ignore format: one call
    } catch (cause) {
      throw unwritable("*", cause);
    }
  }

  /** What a node was given before, by this operator or an earlier one. Undefined: no plan, or none that this operator's key has signed. */
  async read(node: string): Promise<WrittenPlan | undefined> {
    const { fleet } = this.#options;
    const place = { fleet, node };
    try {
      const entry = await this.#keys.get(planKey(node));
      const held: Held = { ...none, revision: entry?.revision ?? 0 };
      this.#held.set(node, held);
      if (entry?.operation !== "PUT") return undefined;
      held.generation = claimed(entry);
      const notice = readNotice(entry.value, place, this.#public, { generation: 0, digest: null });
      if (!notice) return undefined;
      held.generation = notice.generation;
      held.object = notice.object;
      const data = await this.#objects.getBlob(notice.object);
      if (data === null) return undefined;
      const { rules } = openPlan(data, notice, place);
      return { generation: notice.generation, digest: notice.digest, rules };
    } catch (cause) {
      // Signed by another key, or damaged: to be written anew, with a higher generation.
      if (cause instanceof TaplineError && cause.code === "RELAY_PLAN_REFUSED") return undefined;
      throw unwritable(node, cause);
    }
  }

  /** `reported`: the generation that the node says it runs. The node's plan must have been read before. */
  async write(node: string, rules: readonly unknown[], reported = 0): Promise<WrittenPlan> {
    const held = this.#held.get(node);
    if (!held) throw unwritable(node, new Error("it was not read before"));
    const { fleet, key, now } = this.#options;
    const generation = Math.max(held.generation, reported) + 1;
    const plan = { v: planVersion, fleet, node, generation, made: now(), rules };
    const data = gzipSync(JSON.stringify(plan));
    const digest = createHash("sha256").update(data).digest("hex");
    const object = `${planKey(node)}/${generation}/${digest.slice(0, 16)}`;
    const claim = planClaim(fleet, node, { v: planVersion, generation, digest });
    const signature = sign(null, Buffer.from(claim), key).toString("base64");
    const notice = JSON.stringify({ v: planVersion, generation, object, digest, signature });
    try {
      await this.#objects.putBlob({ name: object }, data);
      // Over what was read and nothing else: of two operators that both think they lead, one is told that it does not.
      const revision = await this.#keys.put(planKey(node), notice, { previousSeq: held.revision });
      this.#held.set(node, { revision, generation, object });
    } catch (cause) {
      this.#held.delete(node);
      // Not when only the answer was lost: then the key may name the object.
      if (!isOutdated(cause)) throw unwritable(node, cause);
      await this.#forget(object);
      throw new TaplineError("RELAY_PLAN_CONTESTED", { node }, { cause });
    }
    if (held.object !== undefined && held.object !== object) await this.#forget(held.object);
    return { generation, digest, rules };
  }

  /** The node is no more: its key and plan go, too. Not for a node that still runs something. */
  async forget(node: string): Promise<void> {
    const held = this.#held.get(node);
    this.#held.delete(node);
    try {
      await this.#keys.purge(planKey(node));
      if (held?.object !== undefined) await this.#forget(held.object);
    } catch (cause) {
      throw unwritable(node, cause);
    }
  }

  /** Nodes that have a key. */
  async nodes(named: (key: string) => string | undefined): Promise<string[]> {
    try {
      const found: string[] = [];
      for await (const key of await this.#keys.keys()) found.push(named(key) ?? key);
      return found;
    } catch (cause) {
      throw unwritable("*", cause);
    }
  }

  /** What is left behind costs room and nothing else; the next plan's turn comes. */
  async #forget(object: string): Promise<void> {
    await this.#objects.delete(object).catch(() => undefined);
  }
}

/** Also of a notice that is not ours: the next one must be higher for the node to take it. */
function claimed(entry: KvEntry): number {
  try {
    const { generation } = entry.json<{ generation?: unknown }>();
    return Number.isSafeInteger(generation) && Number(generation) > 0 ? Number(generation) : 0;
  } catch {
    return 0; // no JSON: it claims nothing
  }
}

const wrongSequence = 10_071;
const isOutdated = (cause: unknown): boolean => (cause as NatsError).api_error?.err_code === wrongSequence;

const unwritable = (node: string, cause: unknown): TaplineError =>
  cause instanceof TaplineError
    ? cause
    : new TaplineError("RELAY_PLAN_UNWRITABLE", { node, detail: (cause as Error).message }, { cause });
