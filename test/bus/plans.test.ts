// A relay's plans on a real nats-server: signed, whole and newer ones are taken, all else is refused and told, and no plan is not an empty plan.
import { generateKeyPairSync } from "node:crypto";
import { gzipSync } from "node:zlib";
import { connect } from "nats";
import { expect, test } from "vitest";
import type { RunningPlan } from "#bus/plan-seal.ts";
import { PlanReader } from "#bus/plans.ts";
import { TaplineError } from "#domain/errors.ts";
import type { RelayPlan } from "#domain/relay-plan.ts";
import { planKey, type RelayPlace } from "#domain/subjects.ts";
import { NatsServer } from "./nats-server.ts";
import { PlanMaker } from "./plan-maker.ts";
import { SensorEnd, until } from "./sensor-end.ts";

const place: RelayPlace = { fleet: "prod", node: "node-1.example.com" };

/** A relay's end: what runs, what it was given. */
class RelayEnd implements AsyncDisposable {
  readonly end: SensorEnd;
  readonly taken: RelayPlan[] = [];
  readonly plans: PlanReader;
  running: RunningPlan = { generation: 0, digest: null };
  refuse: Error | undefined;

  constructor(server: NatsServer, key: PlanMaker["publicKey"], running?: RunningPlan) {
    this.running = running ?? this.running;
    this.end = new SensorEnd(server.url);
    this.plans = new PlanReader({
      connection: this.end.connection,
      conditions: this.end.conditions,
      place,
      key,
      running: () => this.running,
      take: async (plan, { generation, digest }) => {
        if (this.refuse) throw this.refuse;
        this.taken.push(plan);
        this.running = { generation, digest };
      },
      pauseMs: 100,
    });
  }
  get generations(): number[] {
    return this.taken.map(({ generation }) => generation);
  }
  told(): string[] {
    return this.end.conditions.list().map(({ code, message }) => `${code} ${message}`);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.plans.close();
    await this.end[Symbol.asyncDispose]();
  }
}

test("a plan that is there is taken, and each later one; the key of a node with dots in its name", async () => {
  await using server = await NatsServer.start();
  await using operator = await PlanMaker.open(server.url, place);
  await operator.put({ generation: 3, rules: [{ id: "a" }] });
  await using relay = new RelayEnd(server, operator.publicKey);
  expect(planKey(place.node)).toBe("node-1=2Eexample=2Ecom");
  await until("the first", () => relay.generations.length === 1);
  expect(relay.taken[0]).toMatchObject({ generation: 3, node: place.node, rules: [{ id: "a" }] });
  await operator.put({ generation: 4, rules: [] });
  await until("the empty one", () => relay.generations.includes(4));
  expect(relay.taken[1]?.rules).toEqual([]);
  await until("applied", () => relay.plans.state === "applied");
  expect(relay.told()).toEqual([]);
});

test("ten thousand rules come in one plan", async () => {
  await using server = await NatsServer.start();
  await using operator = await PlanMaker.open(server.url, place);
  const rules = Array.from({ length: 10_000 }, (_, i) => ({ id: `rule-${i}`, secret: generateName(i) }));
  await operator.put({ generation: 1, rules });
  await using relay = new RelayEnd(server, operator.publicKey);
  await until("the plan", () => relay.generations.length === 1);
  expect(relay.taken[0]?.rules).toEqual(rules);
});
/** Hardly to be packed: the plan is larger than a message. */
const generateName = (i: number): string => Buffer.from(Float64Array.of(Math.sin(i), Math.cos(i), Math.tan(i)).buffer).toString("base64").repeat(8); // biome-ignore format: one line

test("no key, a key that was taken away, no bucket, no NATS: what runs goes on", async () => {
  await using server = await NatsServer.start();
  const pair = generateKeyPairSync("ed25519");
  await using early = new RelayEnd(server, pair.publicKey, { generation: 7, digest: "old" });
  await until("told", () => early.told().some((one) => one.includes("tapline-plans-prod")));
  expect(early.told()).toMatchObject([expect.stringMatching(/^RELAY_PLAN_UNREADABLE/)]);
  const manager = await connect({ servers: server.url });
  // A reader makes no buckets.
  expect(await (await manager.jetstreamManager()).streams.list().next()).toEqual([]);
  await manager.close();

  await using operator = await PlanMaker.open(server.url, place);
  await until("the bucket is there", () => early.told().length === 0);
  await using relay = new RelayEnd(server, operator.publicKey);
  await operator.put({ generation: 1, rules: [] });
  await until("the first", () => relay.generations.length === 1);
  await operator.takeAway();
  await server.down();
  await until("away", () => relay.end.connection.state.state === "away");
  await server.up();
  await relay.end.connected();
  await operator.back();
  await operator.put({ generation: 2, rules: [] });
  await until("the second", () => relay.generations.length === 2);
  expect(relay.generations).toEqual([1, 2]);
  expect(early.taken).toEqual([]);
});

test.each([
  ["an older one", { generation: 4 }, /older than the one that runs \(5\)/],
  ["another of the same generation", { generation: 5 }, /another plan of this generation runs/],
  ["a newer version", { generation: 6, v: 2 }, /newer version \(2; this relay understands 1\)/],
  ["somebody else's signature", { generation: 6, signer: generateKeyPairSync("ed25519").privateKey }, /not signed by the operator for node-1/],
  ["bytes that are not those that were signed", { generation: 6, damage: (data: Buffer) => data.fill(7, 20, 21) }, /not what was signed/],
  ["one for another node", { generation: 6, node: "node-2" }, /it is plan 6 for node-2 of prod/],
  ["one that is not packed", { generation: 6, data: Buffer.from('{"v":1}') }, /cannot be unpacked/],
  ["one that unpacks to too much", { generation: 6, data: gzipSync(Buffer.alloc(65 * 2 ** 20)) }, /cannot be unpacked/],
  ["one that is no plan", { generation: 6, data: gzipSync("[]") }, /RELAY_PLAN_REFUSED/],
])("%s is refused, told, and followed by the next good one", async (_, parts, expected) => {
  await using server = await NatsServer.start();
  await using operator = await PlanMaker.open(server.url, place);
  await using relay = new RelayEnd(server, operator.publicKey, { generation: 5, digest: "five" });
  await operator.put({ rules: [], ...parts });
  await until("told", () => relay.told().length > 0);
  expect(relay.told()[0]).toMatch(expected);
  expect(relay.told()[0]).toMatch(/^RELAY_PLAN_REFUSED/);
  expect(relay.plans.state).toBe("refused");
  expect(relay.taken).toEqual([]);
  await operator.put({ generation: 9, rules: [] });
  await until("the good one", () => relay.generations.length === 1);
  await until("cleared", () => relay.told().length === 0);
}); // biome-ignore format: a table

test.each(["", "{", '{"v":1}', '{"v":1,"generation":"x"}', "null"])("a key that says %j is refused", async (text) => {
  await using server = await NatsServer.start();
  await using operator = await PlanMaker.open(server.url, place);
  await using relay = new RelayEnd(server, operator.publicKey);
  await operator.say(text === "" ? " " : text);
  await until("told", () => relay.told().length > 0);
  expect(relay.told()[0]).toMatch(/^RELAY_PLAN_REFUSED/);
});

test("what cannot be programmed or fetched at the moment is tried again", async () => {
  await using server = await NatsServer.start();
  await using operator = await PlanMaker.open(server.url, place);
  await using relay = new RelayEnd(server, operator.publicKey);
  relay.refuse = new TaplineError("RELAY_APPLY_FAILED", { detail: "no memory" });
  await operator.put({ generation: 1, rules: [] });
  await until("told", () => relay.told().some((one) => one.startsWith("RELAY_APPLY_FAILED")));
  expect(relay.plans.state).toBe("waiting");
  relay.refuse = undefined;
  await until("taken", () => relay.generations.length === 1);
  await until("cleared", () => relay.told().length === 0);
  const notice = { v: 1, generation: 2, object: "not-there", digest: "0".repeat(64), signature: "" };
  await operator.say(notice);
  await until("refused for its signature first", () => relay.told().length === 1);
});
