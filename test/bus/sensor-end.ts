// What the tests of the bus have in common: a sensor's end of it, a reader's end, and waiting for something to become true.
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection } from "nats";
import { BusConnection, type BusOptions } from "#bus/connection.ts";
import { Conditions, type Told } from "#bus/conditions.ts";
import { FindingPublisher, type FindingOptions } from "#bus/findings.ts";
import { type Finding, findingBatch, type FindingBatch } from "#domain/finding.ts";
import { everyFinding, inboxPrefix, querySubject, type SensorPlace } from "#domain/subjects.ts";

export const place: SensorPlace = { fleet: "test fleet", pool: "edge", node: "node-1.example.com" };

export const service = (of: SensorPlace) => ({
  name: "tapline-sensor",
  subject: querySubject(of),
  metadata: { ...of },
});

export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  for (const end = performance.now() + ms; !(await holds()); await sleep(10))
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
}

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;

/** A connection that hurries, and what it told. */
export class SensorEnd implements AsyncDisposable {
  readonly told: Told[] = [];
  readonly conditions = new Conditions(now, (told) => void this.told.push(told));
  readonly connection: BusConnection;
  readonly #publishers: FindingPublisher[] = [];

  constructor(servers: string | readonly string[], options: Partial<BusOptions> = {}) {
    this.connection = new BusConnection({
      servers: typeof servers === "string" ? [servers] : servers,
      name: "a test",
      inboxPrefix: inboxPrefix(place),
      conditions: this.conditions,
      now,
      pauseMs: [50, 300],
      attemptMs: 1000,
      ...options,
    });
  }

  publisher(options: Partial<FindingOptions> = {}): FindingPublisher {
    const publisher = new FindingPublisher({
      connection: this.connection,
      conditions: this.conditions,
      place,
      run: crypto.randomUUID(),
      limits: { count: 100_000, bytes: 1 << 26 },
      stream: { maxBytes: 1 << 28 },
      batchMs: 20,
      acknowledgeMs: 1000,
      pauseMs: [50, 300],
      ...options,
    });
    this.#publishers.push(publisher);
    return publisher;
  }

  connected(): Promise<void> {
    return until("connected", () => this.connection.state.state === "connected");
  }

  /** Codes raised so far, in order. */
  get raised(): string[] {
    return this.told.filter(({ state }) => state === "raised").map(({ error }) => error.code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const publisher of this.#publishers) await publisher.drain(0);
    await this.connection.drain(1000);
  }
}

/** Number `n` of a series, told by `first`. */
export const gap = (n: number, padding = ""): Finding => ({
  v: 1,
  kind: "gap",
  flow: {
    flow_id: `1-${n}`,
    protocol: "macsec",
    source: `02:00:00:00:00:01${padding}`,
    destination: "01:80:c2:00:00:03",
    sci: "0200000000010001",
    an: 1,
  },
  first: n,
  last: n + 2,
  size: 3,
  noticed: "2026-11-21T10:00:00.000000001Z",
  confirmed: "2026-11-21T10:00:02.000000001Z",
  jump: false,
  suspect: false,
  interface: "eth0",
});

/** All batches in the stream, in its order, as their schema reads them, and the ids they are stored under. */
export async function stored(session: NatsConnection): Promise<{ batches: FindingBatch[]; ids: string[] }> {
  const batches: FindingBatch[] = [];
  const ids: string[] = [];
  const manager = await session.jetstreamManager();
  const stream = await manager.streams.find(everyFinding(place.fleet));
  const { state } = await manager.streams.info(stream);
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage(stream, { seq });
    batches.push(findingBatch.parse(message.json()));
    ids.push(message.header.get("Nats-Msg-Id"));
  }
  return { batches, ids };
}

export const numbersOf = (batches: readonly FindingBatch[]): number[] =>
  batches.flatMap(({ findings }) => findings.map((one) => (one.kind === "gap" ? one.first : -1)));

/** A reader with all rights. */
export const reader = (url: string): Promise<NatsConnection> => connect({ servers: url });
