// An operator's end of the plans, for tests: a key pair, and plans put where relays look for them.
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { gzipSync } from "node:zlib";
import { connect, type ConnectionOptions, type KV, type NatsConnection, type ObjectStore } from "nats";
import { planClaim } from "#domain/relay-plan.ts";
import { planBucket, planKey, type RelayPlace } from "#domain/subjects.ts";
import { until } from "./sensor-end.ts";

export interface PlanParts {
  readonly generation: number;
  readonly rules: readonly unknown[];
  readonly v?: number;
  readonly node?: string;
  /** in place of the operator's */
  readonly signer?: KeyObject;
  /** of the stored bytes, after they were signed */
  readonly damage?: (data: Buffer) => Uint8Array;
  /** in place of gzip JSON */
  readonly data?: Buffer;
}

export class PlanMaker implements AsyncDisposable {
  readonly #session: NatsConnection;
  readonly #keys: KV;
  readonly #objects: ObjectStore;
  readonly #place: RelayPlace;
  readonly #bucket: string;
  readonly #signer: KeyObject;
  readonly publicKey: KeyObject;

  private constructor(session: NatsConnection, keys: KV, objects: ObjectStore, place: RelayPlace) {
    this.#session = session;
    this.#keys = keys;
    this.#objects = objects;
    this.#place = place;
    this.#bucket = planBucket(place.fleet);
    const pair = generateKeyPairSync("ed25519");
    this.#signer = pair.privateKey;
    this.publicKey = pair.publicKey;
  }

  static async open(url: string, place: RelayPlace, login: ConnectionOptions = {}): Promise<PlanMaker> {
    const session = await connect({ ...login, servers: url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
    const { views } = session.jetstream();
    const bucket = planBucket(place.fleet);
    return new PlanMaker(session, await views.kv(bucket), await views.os(bucket), place);
  }

  /** After the server was away: its streams answer this session again. */
  back(): Promise<void> {
    return until("the operator is back", async () => {
      const manager = await this.#session.jetstreamManager({ timeout: 500, checkAPI: false });
      const asked = [`KV_${this.#bucket}`, `OBJ_${this.#bucket}`].map((name) => manager.streams.info(name));
      return (await Promise.allSettled(asked)).every(({ status }) => status === "fulfilled");
    });
  }

  get publicPem(): string {
    return this.publicKey.export({ type: "spki", format: "pem" }).toString();
  }

  async put(parts: PlanParts): Promise<void> {
    const { generation, rules, v = 1, signer = this.#signer, damage = (same) => same } = parts;
    const { fleet, node } = this.#place;
    const plan = { v, fleet, node: parts.node ?? node, generation, made: "2026-11-21T10:00:00Z", rules };
    const data = parts.data ?? gzipSync(JSON.stringify(plan));
    const digest = createHash("sha256").update(data).digest("hex");
    const object = `${planKey(node)}/${generation}/${digest.slice(0, 8)}`;
    await this.#objects.putBlob({ name: object }, damage(data));
    const signature = sign(null, Buffer.from(planClaim(fleet, node, { v, generation, digest })), signer);
    await this.say({ v, generation, object, digest, signature: signature.toString("base64") });
  }
  /** Only the key. */
  async say(notice: unknown): Promise<void> {
    await this.#keys.put(planKey(this.#place.node), typeof notice === "string" ? notice : JSON.stringify(notice));
  }
  async takeAway(): Promise<void> {
    await this.#keys.delete(planKey(this.#place.node));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.close();
  }
}
