import { once } from "node:events";
import { connect } from "node:net";
import { hostname } from "node:os";
import { request } from "node:http";
import { Counter, Gauge, Registry } from "prom-client";
import { afterEach, expect, test } from "vitest";
import { createHealth, type Health } from "./health.ts";
import { startMetrics } from "./metrics.ts";
import type { Endpoint } from "./endpoint.ts";
import { ownMetrics } from "./own-metrics.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function started(registry = new Registry(), health: Health = createHealth(), host = "127.0.0.1", port = 0) {
  const failures: unknown[] = [];
  const endpoint: Endpoint = await startMetrics({
    host,
    port,
    registry,
    health,
    failed: (path, error) => failures.push([path, (error as Error).message]),
  });
  open.push(() => endpoint.close(AbortSignal.abort()));
  const get = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${endpoint.url}${path}`, init);
    return { status: response.status, type: response.headers.get("content-type"), body: await response.text() };
  };
  return { endpoint, get, failures, registry, health };
}

/** fetch sets the Host header itself. */
async function asHost(url: string, host: string, headers: Record<string, string> = {}): Promise<number | undefined> {
  const asked = request(url, { headers: { host, ...headers } });
  asked.end();
  const [response] = (await once(asked, "response")) as [import("node:http").IncomingMessage];
  response.resume();
  return response.statusCode;
}

test("metrics are Prometheus text, collected once for all who ask at one moment", async () => {
  const { get, registry } = await started();
  let collected = 0;
  new Gauge({
    name: "made",
    help: "m",
    registers: [registry],
    async collect() {
      await new Promise((resolve) => setTimeout(resolve, 100));
      this.set(++collected);
    },
  });
  const answers = await Promise.all(Array.from({ length: 10 }, () => get("/metrics")));
  for (const answer of answers)
    expect(answer).toEqual({
      status: 200,
      type: "text/plain; version=0.0.4; charset=utf-8",
      body: "# HELP made m\n# TYPE made gauge\nmade 1\n",
    });
  expect((await get("/metrics")).body).toContain("made 2");
});

test("a process tells of itself, and reading changes no count", async () => {
  const { get, registry } = await started();
  open.push(
    ownMetrics(registry, {
      logs: () => ({ suppressed: 3, dropped: 2 }),
      tracesLost: () => 1,
      reloads: () => ({ applied: 4 }),
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 250)); // it has looked once
  const until = performance.now() + 400;
  while (performance.now() < until); // the loop stands still
  await new Promise((resolve) => setTimeout(resolve, 150));
  const value = async (name: string): Promise<number> => {
    const line = (await get("/metrics")).body.split("\n").find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length));
  };
  for (let twice = 0; twice < 2; twice++) {
    expect(await value("tapline_process_loop_stall_seconds")).toBeGreaterThan(0.295);
    expect(await value("tapline_log_suppressed_total")).toBe(3);
    expect(await value("tapline_log_dropped_total")).toBe(2);
    expect(await value("tapline_traces_lost_total")).toBe(1);
  }
  expect(await value("tapline_process_resident_bytes")).toBeGreaterThan(20e6);
  expect(await value('tapline_process_cpu_seconds_total{mode="user"}')).toBeGreaterThan(0.1);
  expect(Math.abs((await value("tapline_process_start_seconds")) - Date.now() / 1000 + process.uptime())).toBeLessThan(
    2,
  );
});

test("a metric that fails is a 500 and is told of; the next scrape is right again", async () => {
  const { get, registry, failures } = await started();
  let broken = true;
  new Counter({
    name: "made",
    help: "m",
    registers: [registry],
    collect() {
      if (broken) throw new Error("no figures");
    },
  });
  expect((await get("/metrics")).status).toBe(500);
  expect(failures).toEqual([["/metrics", "no figures"]]);
  broken = false;
  expect((await get("/metrics")).status).toBe(200);
});

test("health says what is wrong; liveness and readiness differ", async () => {
  let ms = 0;
  const health = createHealth(() => ms);
  const beat = health.heartbeat("engine", 5000);
  let connected = false;
  const remove = health.ready("store", () => ({ ok: connected, detail: connected ? "writing" : "the disk is full" }));
  const { get } = await started(new Registry(), health);
  expect(await get("/healthz")).toEqual({ status: 200, type: "text/plain; charset=utf-8", body: "ok\n" });
  expect(await get("/readyz")).toMatchObject({ status: 503, body: "store: the disk is full\n" });
  connected = true;
  expect(await get("/readyz")).toMatchObject({ status: 200, body: "ok\n" });

  ms = 5001;
  const stale = "engine: last beat 5001 ms ago, 5000 ms allowed\n";
  expect(await get("/healthz")).toMatchObject({ status: 503, body: stale });
  expect(await get("/readyz")).toMatchObject({ status: 503, body: stale });
  beat();
  const { status, body } = await get("/readyz?verbose");
  expect({ status, body: JSON.parse(body) as unknown }).toEqual({
    status: 200,
    body: {
      ok: true,
      checks: [
        { name: "engine", ok: true, detail: "last beat 0 ms ago, 5000 ms allowed" },
        { name: "store", ok: true, detail: "writing" },
      ],
    },
  });
  remove();
  health.ready("bus", () => {
    throw new Error("gone");
  });
  expect((await get("/readyz")).body).toBe("bus: the check failed: gone\n");
  expect(() => health.alive("bus", () => ({ ok: true, detail: "" }))).toThrow("two health checks are named bus");
});

test("other paths and methods are refused with what is answered", async () => {
  const { get } = await started();
  const other = await get("/debug");
  expect({ ...other, body: JSON.parse(other.body) as unknown }).toEqual({
    status: 404,
    type: "application/problem+json",
    body: {
      type: "urn:tapline:error:ENDPOINT_NOT_FOUND",
      title: "endpoint not found",
      status: 404,
      code: "ENDPOINT_NOT_FOUND",
      detail: "there is nothing at /debug",
      hint: "this port answers /metrics, /healthz, /readyz",
      instance: "/debug",
    },
  });
  expect((await get("/metrics", { method: "POST", body: "x".repeat(1e6) })).status).toBe(405);
  expect(await get("/healthz", { method: "HEAD" })).toMatchObject({ status: 200, body: "" });
  expect((await get("/__proto__")).status).toBe(404);
  expect((await get("/healthz", { headers: { "x-long": "x".repeat(9000) } })).status).toBe(431);
});

test("on loopback a page of another site, and a name that was rebound, learn nothing", async () => {
  const { endpoint } = await started();
  const url = `${endpoint.url}/metrics`;
  expect(await asHost(url, "evil.example")).toBe(403);
  expect(await asHost(url, "localhost:1", { origin: "http://evil.example" })).toBe(403);
  for (const name of ["localhost", "127.0.0.1:9464", "[::1]", hostname()])
    expect(await asHost(url, name), name).toBe(200);
});

test("a port in use and a foreign address are said", async () => {
  const { endpoint } = await started();
  const port = Number(new URL(endpoint.url).port);
  await expect(started(new Registry(), createHealth(), "127.0.0.1", port)).rejects.toMatchObject({
    code: "PORT_IN_USE",
    message: `port ${port} on 127.0.0.1 is in use`,
  });
  await expect(started(new Registry(), createHealth(), "192.0.2.1")).rejects.toMatchObject({ code: "HOST_NOT_LOCAL" });
});

test("at most 64 hold a connection, and closing does not wait for those who are silent", async () => {
  const { endpoint, get } = await started();
  const port = Number(new URL(endpoint.url).port);
  const sockets = await Promise.all(
    Array.from({ length: 64 }, async () => {
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      return socket;
    }),
  );
  await expect(get("/healthz")).rejects.toThrow("fetch failed");
  // Half a request: neither idle nor finished.
  sockets[0]?.write("GET /metr");
  const began = performance.now();
  await endpoint.close(AbortSignal.timeout(200));
  expect(performance.now() - began).toBeLessThan(2000);
  for (const socket of sockets) socket.destroy();
});

test("an answer that was begun is finished at close", async () => {
  const { endpoint, get, registry } = await started();
  const begun = Promise.withResolvers<void>();
  new Gauge({
    name: "slow",
    help: "s",
    registers: [registry],
    async collect() {
      begun.resolve();
      await new Promise((resolve) => setTimeout(resolve, 200));
      this.set(1);
    },
  });
  const answer = get("/metrics");
  await begun.promise;
  const began = performance.now();
  await endpoint.close(AbortSignal.timeout(5000));
  expect(performance.now() - began).toBeLessThan(1000);
  expect((await answer).body).toContain("slow 1");
});
