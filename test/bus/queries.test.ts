import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { ErrorCode, type NatsConnection, type NatsError, RequestStrategy } from "nats";
import { expect, test } from "vitest";
import { askAgent } from "#bus/asking.ts";
import { type Answer, type QueryOptions, QueryService } from "#bus/queries.ts";
import type { Problem } from "#domain/problem.ts";
import { querySubject } from "#domain/subjects.ts";
import { NatsServer } from "./nats-server.ts";
import { place, reader, SensorEnd, service, until } from "./sensor-end.ts";

interface Said {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
  readonly wire: number;
  readonly packed: boolean;
}

class Asked implements AsyncDisposable {
  readonly end: SensorEnd;
  readonly service: QueryService;
  readonly asker: NatsConnection;
  /** what reached the answering function */
  readonly paths: string[] = [];

  private constructor(end: SensorEnd, asker: NatsConnection, options: Partial<QueryOptions>) {
    this.end = end;
    this.asker = asker;
    const { answer = async (): Promise<Answer> => json({}) } = options;
    this.service = new QueryService({
      connection: end.connection,
      service: service(place),
      version: "0.1.0",
      ...options,
      answer: (path) => {
        this.paths.push(path);
        return answer(path);
      },
    });
  }
  static async open(server: NatsServer, options: Partial<QueryOptions> = {}): Promise<Asked> {
    const end = new SensorEnd(server.url);
    await end.connected();
    const asked = new Asked(end, await reader(server.url), options);
    await asked.ready();
    return asked;
  }
  ready(): Promise<void> {
    return until("the service answers", async () => (await this.#found()) === 1);
  }
  /** Instances of the service that introduce themselves. */
  async #found(): Promise<number> {
    let found = 0;
    const client = this.asker.services.client({ strategy: RequestStrategy.Timer, maxWait: 200 });
    try {
      for await (const _one of await client.ping("tapline-sensor")) found++;
    } catch (error) {
      if ((error as NatsError).code !== ErrorCode.NoResponders) throw error;
    }
    return found;
  }
  async ask(data: string | Uint8Array | { path: string }): Promise<Said> {
    const payload = typeof data === "string" || data instanceof Uint8Array ? data : JSON.stringify(data);
    const message = await this.asker.request(querySubject(place), payload, { timeout: 10_000 });
    const packed = message.headers?.get("Content-Encoding") === "gzip";
    return {
      status: Number(message.headers?.get("Tapline-Status")),
      type: message.headers?.get("Content-Type") ?? "",
      body: packed ? gunzipSync(message.data) : message.data,
      wire: message.data.length,
      packed,
    };
  }
  async problem(data: string | Uint8Array | { path: string }): Promise<Problem> {
    const { status, type, body } = await this.ask(data);
    expect(type).toBe("application/problem+json");
    const problem = JSON.parse(Buffer.from(body).toString()) as Problem;
    expect(problem.status).toBe(status);
    return problem;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.service.drain(1000);
    await this.end[Symbol.asyncDispose]();
    await this.asker.close();
  }
}

const json = (value: unknown, status = 200): Answer => ({
  status,
  type: "application/json",
  body: new TextEncoder().encode(JSON.stringify(value)),
});

test("a question gets the API's own answer, status and all", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using asked = await Asked.open(server, {
    answer: async (path) => json({ path }, path.includes("none") ? 404 : 200),
  });
  const said = await asked.ask({ path: "/api/v1/flows?filter=lost>0&limit=5" });
  expect(said).toMatchObject({ status: 200, type: "application/json", packed: false });
  expect(JSON.parse(Buffer.from(said.body).toString())).toEqual({ path: "/api/v1/flows?filter=lost%3E0&limit=5" });
  expect((await asked.ask({ path: "/api/v1/none" })).status).toBe(404);
  expect(asked.service.figures).toMatchObject({ answered: 2, refused: 0, failed: 0 });
});

test("a large answer is compressed; one that is too large even so says how to ask for less", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using asked = await Asked.open(server, {
    answer: async (path) => {
      if (path.endsWith("random")) return { ...json({}), body: randomBytes(1 << 20) };
      return json(Array.from({ length: 50_000 }, (_, flow) => ({ flow, protocol: "macsec", lost: 0 })));
    },
  });
  const said = await asked.ask({ path: "/api/v1/flows" });
  expect(said.packed).toBe(true);
  expect(said.body.length).toBeGreaterThan(1 << 20); // more than a message holds
  expect(said.wire).toBeLessThan(said.body.length / 4);
  expect(JSON.parse(Buffer.from(said.body).toString())).toHaveLength(50_000);
  const problem = await asked.problem({ path: "/api/v1/random" });
  expect(problem).toMatchObject({ code: "BUS_ANSWER_TOO_LARGE", status: 413, instance: "/api/v1/random" });
  expect(problem.hint).toContain("limit");
  expect(asked.service.figures).toMatchObject({ answered: 1, tooLarge: 1 });
});

test("malformed questions are refused and reach nothing", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using asked = await Asked.open(server);
  for (const data of ["", "GET /api/v1/flows", "{}", '{"path":"/metrics"}', randomBytes(100), "x".repeat(100_000)])
    expect(await asked.problem(data)).toMatchObject({ code: "BUS_BAD_QUERY", status: 400 });
  expect(asked.paths).toEqual([]);
  expect(asked.service.figures).toMatchObject({ answered: 0, refused: 6 });
  expect((await asked.ask({ path: "/healthz" })).status).toBe(200); // still there
});

test("an answering function that fails is told as a problem", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using asked = await Asked.open(server, { answer: () => Promise.reject(new Error("the disk is on fire")) });
  expect(await asked.problem({ path: "/healthz" })).toMatchObject({ code: "API_FAILED", status: 500 });
  expect(asked.service.figures).toMatchObject({ answered: 0, failed: 1 });
});

test("8 at once, some wait, the rest are told so; one that waited too long is not answered in vain", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  let running = 0;
  let most = 0;
  const gate = Promise.withResolvers<void>();
  await using asked = await Asked.open(server, {
    limits: { running: 8, waiting: 10 },
    patienceMs: 500,
    answer: async () => {
      most = Math.max(most, ++running);
      await gate.promise;
      running--;
      return json({});
    },
  });
  const asking = Array.from({ length: 30 }, () => asked.ask({ path: "/healthz" }));
  await until("the surplus is told", () => asked.service.figures.overloaded === 12);
  await sleep(600);
  gate.resolve();
  const said = await Promise.all(asking);
  expect(most).toBe(8);
  expect(said.filter(({ status }) => status === 200)).toHaveLength(8);
  expect(said.filter(({ status }) => status === 503)).toHaveLength(22);
  expect(asked.service.figures).toMatchObject({ answered: 8, overloaded: 22 });
  expect((await asked.ask({ path: "/healthz" })).status).toBe(200);
});

test("after a lost connection the service is there again, once", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using asked = await Asked.open(server);
  await server.down();
  await server.up();
  await until("asker", () => !asked.asker.isClosed() && asked.end.connection.state.reconnects === 1);
  await asked.ready();
  expect((await asked.ask({ path: "/healthz" })).status).toBe(200);
  expect(asked.paths).toHaveLength(1);
});

test("a drain takes no more questions and finishes those under way", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  const gate = Promise.withResolvers<void>();
  await using asked = await Asked.open(server, {
    answer: async () => {
      await gate.promise;
      return json({});
    },
  });
  const under = asked.ask({ path: "/healthz" });
  await until("asked", () => asked.paths.length === 1);
  const drained = asked.service.drain(5000);
  await sleep(100);
  await expect(asked.asker.request(querySubject(place), '{"path":"/healthz"}', { timeout: 500 })).rejects.toThrow(
    "503",
  );
  let ended = false;
  const end = drained.then(() => {
    ended = true;
  });
  await sleep(100);
  expect(ended).toBe(false);
  gate.resolve();
  await end;
  expect((await under).status).toBe(200);
});

test("who asks gets the answer's JSON, a large one too; a refusal and a silence are told in the agent's or the server's words", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  const large = { text: "x".repeat(100_000) };
  await using asked = await Asked.open(server, {
    answer: async (path) => (path.includes("none") ? json({ detail: "there is no such flow" }, 404) : path.includes("large") ? json(large) : json({ path })), // biome-ignore format: one choice
  });
  const ask = (path: string, subject = querySubject(place)) => askAgent(asked.asker, subject, path, 5000);
  expect(await ask("/api/v1/flows")).toEqual({ path: "/api/v1/flows" });
  expect(await ask("/api/v1/large")).toEqual(large);
  await expect(ask("/api/v1/none")).rejects.toMatchObject({ code: "BUS_UNANSWERED", message: expect.stringMatching(/\/api\/v1\/none.*404: .*there is no such flow/) as string }); // biome-ignore format: one row
  const other = querySubject({ ...place, node: "node-2" });
  await expect(ask("/api/v1/flows", other)).rejects.toMatchObject({ code: "BUS_UNANSWERED" });
});
