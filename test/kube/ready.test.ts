// When an operator is ready: one that leads as soon as it knows all objects, one that waits as soon as it has seen whose the Lease is.
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { operatorConfig } from "#domain/operator-config.ts";
import { startOperator } from "#operator/main.ts";
import { createHealth, type Health } from "#process/health.ts";
import { createLogs } from "#process/log.ts";
import type { Part, Shutdown } from "#process/shutdown.ts";
import { eventually } from "../e2e/kubectl.ts";
import { ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { FaultyWay } from "./faulty-way.ts";
import { through } from "./parts.ts";
import { crds } from "./with-crds.ts";

let alone: ApiserverAlone;
beforeAll(async () => {
  alone = await ApiserverAlone.start();
  await alone.kubectl.run("create", "namespace", "tapline");
}, firstStartMs);
afterAll(() => alone[Symbol.asyncDispose]());

/** As `tapline operator` runs it, but for the process: whoever disposes of it ends it in order. */
class Operator implements AsyncDisposable {
  readonly health: Health = createHealth();
  readonly #parts: Part[] = [];

  static async start(name: string, url: string): Promise<Operator> {
    const operator = new Operator();
    // Nobody listens there: whether an operator is ready does not depend on NATS.
    const config = operatorConfig.parse({ name, fleet: "prod", namespace: "tapline", nats: { url: "nats://127.0.0.1:1" }, agents: { image: "tapline:1", nats: { sensorSecret: "s", relaySecret: "r" } } }); // biome-ignore format: one call
    const shutdown = { part: (part: Part) => void operator.#parts.push(part), stop: () => undefined } as unknown as Shutdown; // biome-ignore format: one row
    await startOperator(config, { logs: createLogs({ level: "critical" }), health: operator.health, registry: new Registry(), shutdown, refusal: () => undefined }, through(url)); // biome-ignore format: one call
    return operator;
  }
  get says(): string {
    const { ok, checks } = this.health.readiness();
    return `${ok} ${checks.map(({ detail }) => detail).join()}`;
  }
  async until(says: string): Promise<unknown> {
    return await eventually(says, 45, async () => this.says === says);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of this.#parts.splice(0).reverse()) await part.close(AbortSignal.timeout(10_000));
  }
}

test("one that leads is ready when it knows all objects; one that waits when it knows for whom, and it leads when the first one goes", async () => {
  await using way = await FaultyWay.to(alone);
  way.refuse = ({ path }) => path.includes("/leases");
  await using first = await Operator.start("first", way.url);
  await using second = await Operator.start("second", way.url);
  await eventually(
    "both have asked",
    30,
    async () => way.passed.filter(({ path }) => path.includes("/leases")).length >= 2,
  );
  expect([first.says, second.says]).toEqual(Array(2).fill("false has not seen the Lease yet"));

  // The kinds are not there yet: nothing can be known of their objects.
  way.refuse = () => false;
  await eventually(
    "one leads, one waits",
    30,
    async () => [first.says, second.says].sort().join() === "false fills its stores,true waits to lead",
  );
  const [leader, other] = first.says.startsWith("true") ? [second, first] : [first, second];
  await alone.kubectl.run("apply", "--server-side", "-f", crds);
  await leader.until("true leads");
  expect(other.says).toBe("true waits to lead");

  await leader[Symbol.asyncDispose]();
  await other.until("true leads");
}, 150_000);
