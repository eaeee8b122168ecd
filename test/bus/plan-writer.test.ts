// The operator's plans against a relay's own reader, on a real nats-server: what is written is taken, generations rise over restarts and lost data, and
// of two operators only one writes.
import { generateKeyPairSync } from "node:crypto";
import { connect, type NatsConnection } from "nats";
import { expect, test } from "vitest";
import type { RunningPlan } from "#bus/plan-seal.ts";
import { PlanWriter } from "#bus/plan-writer.ts";
import { PlanReader } from "#bus/plans.ts";
import type { RelayPlan } from "#domain/relay-plan.ts";
import { planBucket, type RelayPlace } from "#domain/subjects.ts";
import { NatsServer } from "./nats-server.ts";
import { SensorEnd, until } from "./sensor-end.ts";

const place: RelayPlace = { fleet: "prod", node: "node-1.example.com" };
const { node } = place;
const pair = generateKeyPairSync("ed25519");

class Operator implements AsyncDisposable {
  readonly session: NatsConnection;
  readonly writer: PlanWriter;
  private constructor(session: NatsConnection, writer: PlanWriter) {
    this.session = session;
    this.writer = writer;
  }
  static async start(server: NatsServer, key = pair.privateKey): Promise<Operator> {
    const session = await connect({ servers: server.url });
    return new Operator(session, await PlanWriter.open({ session, fleet: place.fleet, key, now: () => "2026-11-21T10:00:00Z" })); // biome-ignore format: one call
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.session.close();
  }
}

class Relay implements AsyncDisposable {
  readonly end: SensorEnd;
  readonly taken: RelayPlan[] = [];
  readonly reader: PlanReader;
  running: RunningPlan = { generation: 0, digest: null };
  constructor(server: NatsServer, running?: RunningPlan) {
    this.running = running ?? this.running;
    this.end = new SensorEnd(server.url);
    this.reader = new PlanReader({
      connection: this.end.connection,
      conditions: this.end.conditions,
      place,
      key: pair.publicKey,
      running: () => this.running,
      take: async (plan, { generation, digest }) => {
        this.taken.push(plan);
        this.running = { generation, digest };
      },
      pauseMs: 100,
    });
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.reader.close();
    await this.end[Symbol.asyncDispose]();
  }
}

test("what is written is taken as it is, and the next operator reads it back and goes on counting", async () => {
  await using server = await NatsServer.start();
  await using relay = new Relay(server);
  await using first = await Operator.start(server);
  expect(await first.writer.read(node)).toBeUndefined();
  const written = await first.writer.write(node, [{ id: "a", to: ["ä"] }]);
  await until("taken", () => relay.running.generation === 1);
  expect(relay.taken).toMatchObject([{ node, generation: 1, rules: [{ id: "a", to: ["ä"] }] }]);
  expect(relay.running).toEqual({ generation: written.generation, digest: written.digest });
  await using second = await Operator.start(server);
  expect(await second.writer.read(node)).toEqual({ ...written, rules: [{ id: "a", to: ["ä"] }] });
  await second.writer.write(node, []);
  await until("the empty one", () => relay.running.generation === 2);
  expect(relay.taken.at(-1)?.rules).toEqual([]);
  expect(relay.end.conditions.list()).toEqual([]);
});

test("NATS has lost everything: the next plan is higher than what the node says it runs", async () => {
  await using server = await NatsServer.start();
  await using relay = new Relay(server, { generation: 57, digest: "kept on disk" });
  await using operator = await Operator.start(server);
  await operator.writer.read(node);
  await operator.writer.write(node, []); // it has not reported yet
  await until("refused", () => relay.reader.state === "refused");
  expect((await operator.writer.write(node, [{ id: "b" }], 57)).generation).toBe(58);
  await until("taken", () => relay.running.generation === 58);
});

test("a plan of another operator's key is not read, and written over with a higher generation", async () => {
  await using server = await NatsServer.start();
  await using stranger = await Operator.start(server, generateKeyPairSync("ed25519").privateKey);
  await stranger.writer.read(node);
  for (let i = 0; i < 3; i++) await stranger.writer.write(node, []);
  await using operator = await Operator.start(server);
  expect(await operator.writer.read(node)).toBeUndefined();
  expect((await operator.writer.write(node, [])).generation).toBe(4);
});

test("of two operators that both think they lead the later one is told, and has to read again", async () => {
  await using server = await NatsServer.start();
  await using relay = new Relay(server);
  await using a = await Operator.start(server);
  await using b = await Operator.start(server);
  for (const { writer } of [a, b]) await writer.read(node);
  await a.writer.write(node, [{ id: "of a" }]);
  await expect(b.writer.write(node, [{ id: "of b" }])).rejects.toMatchObject({ code: "RELAY_PLAN_CONTESTED" });
  await expect(b.writer.write(node, [])).rejects.toMatchObject({ code: "RELAY_PLAN_UNWRITABLE" });
  expect(await b.writer.read(node)).toMatchObject({ generation: 1, rules: [{ id: "of a" }] });
  await b.writer.write(node, [{ id: "of b" }]);
  await until("both, in order", () => relay.running.generation === 2);
  expect(relay.taken.at(-1)?.rules).toEqual([{ id: "of b" }]);
});

test("a key that was deleted by hand is written again, higher; a node that is forgotten leaves nothing", async () => {
  await using server = await NatsServer.start();
  await using operator = await Operator.start(server);
  await operator.writer.read(node);
  await operator.writer.write(node, []);
  const { views } = operator.session.jetstream();
  await (await views.kv(planBucket(place.fleet))).delete("node-1=2Eexample=2Ecom");
  expect(await operator.writer.read(node)).toBeUndefined();
  expect((await operator.writer.write(node, [], 1)).generation).toBe(2);
  await operator.writer.forget(node);
  expect(await operator.writer.nodes((key) => key)).toEqual([]);
  const objects = await (await views.os(planBucket(place.fleet))).list();
  expect(objects.length).toBeLessThanOrEqual(1); // the one whose key was deleted
});

test("of a hundred plans of a node one is kept; ten thousand rules are written in one", async () => {
  await using server = await NatsServer.start();
  await using operator = await Operator.start(server);
  await operator.writer.read(node);
  for (let i = 0; i < 100; i++) await operator.writer.write(node, [{ id: `a${i}` }]);
  const many = Array.from({ length: 10_000 }, (_, i) => ({ id: `rule-${i}`, key: (i * 2654435761).toString(16) }));
  await operator.writer.write(node, many);
  const store = await operator.session.jetstream().views.os(planBucket(place.fleet));
  expect(await store.list()).toHaveLength(1);
  expect((await operator.writer.read(node))?.rules).toEqual(many);
});

test("without JetStream, or with NATS gone, it fails by name", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await expect(Operator.start(server)).rejects.toMatchObject({ code: "RELAY_PLAN_UNWRITABLE" });
  await using other = await NatsServer.start();
  await using operator = await Operator.start(other);
  await operator.writer.read(node);
  await operator.session.close();
  await expect(operator.writer.write(node, [])).rejects.toMatchObject({ code: "RELAY_PLAN_UNWRITABLE" });
});
