import { spawnSync } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { TaplineError } from "#domain/errors.ts";
import { createLogs } from "./log.ts";
import { startTraces, traced, type Traces } from "./traces.ts";

interface OtlpValue {
  readonly stringValue?: string;
  readonly intValue?: number;
  readonly boolValue?: boolean;
}
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: OtlpValue }[];
  readonly status: { readonly code?: number; readonly message?: string };
  readonly events: readonly { readonly name: string }[];
}
type Attributes = OtlpSpan["attributes"];
interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Attributes };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** A collector that keeps what it is sent. `status` may change. */
async function collector(): Promise<{
  url: string;
  spans: OtlpSpan[];
  resources: Attributes[];
  status: number;
  hang: boolean;
}> {
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (made.hang) return;
      response.writeHead(made.status, { "content-type": "application/json" }).end("{}");
      if (made.status !== 200 || request.url !== "/v1/traces") return;
      const body = JSON.parse(Buffer.concat(chunks).toString()) as OtlpBody;
      for (const { resource, scopeSpans } of body.resourceSpans) {
        made.resources.push(resource.attributes);
        for (const { spans } of scopeSpans) made.spans.push(...spans);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const made = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [] as OtlpSpan[],
    resources: [] as Attributes[],
    status: 200,
    hang: false,
  };
  return made;
}

const lines: { message: string; error?: { code?: string; message?: string } }[] = [];
const log = createLogs(
  { level: "info", format: "json" },
  {
    destination: {
      write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]),
      drained: () => Promise.resolve(),
      dropped: () => 0,
    },
  },
).facility("process");

async function start(endpoint: string): Promise<Traces> {
  lines.length = 0;
  const traces = await startTraces({
    endpoint,
    service: "tapline-sensor",
    version: "1.2.3",
    attributes: { "host.name": "edge-1" },
    log,
    delayMs: 20,
  });
  open.push(() => traces.close(AbortSignal.abort()));
  return traces;
}

const plain = (attributes: Attributes): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.boolValue]));

test("spans reach a collector with their names, times, attributes and parents", async () => {
  const to = await collector();
  const traces = await start(to.url);
  const result = await traced("start", { interfaces: 2 }, async (span) => {
    const sum = traced("open the store", { path: "/a" }, () => 41);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await traced("listen", {}, async () => {
      await Promise.resolve();
      traced("bind", {}, () => undefined);
    });
    span.set({ ready: true });
    return sum + 1;
  });
  expect(result).toBe(42);
  traced("query", {}, () => undefined);
  await traces.close(AbortSignal.timeout(5000));

  expect(plain(to.resources[0] ?? [])).toEqual({
    "service.name": "tapline-sensor",
    "service.version": "1.2.3",
    "host.name": "edge-1",
  });
  const byName = new Map(to.spans.map((span) => [span.name, span]));
  expect([...byName.keys()].sort()).toEqual(["bind", "listen", "open the store", "query", "start"]);
  const id = (name: string) => byName.get(name)?.spanId;
  const parent = (name: string) => byName.get(name)?.parentSpanId;
  expect(parent("start")).toBeUndefined();
  expect(parent("open the store")).toBe(id("start"));
  expect(parent("listen")).toBe(id("start"));
  expect(parent("bind")).toBe(id("listen"));
  expect(parent("query")).toBeUndefined();
  expect(byName.get("query")?.traceId).not.toBe(byName.get("start")?.traceId);
  expect(plain(byName.get("start")?.attributes ?? [])).toEqual({ interfaces: 2, ready: true });
  const took = (span: OtlpSpan | undefined) =>
    Number(BigInt(span?.endTimeUnixNano ?? 0) - BigInt(span?.startTimeUnixNano ?? 0)) / 1e6;
  expect(took(byName.get("start"))).toBeGreaterThanOrEqual(29);
  expect(took(byName.get("start"))).toBeLessThan(1000);
  expect(traces.lost()).toBe(0);
});

test("work that fails fails as ever, and its span says why", async () => {
  const to = await collector();
  const traces = await start(to.url);
  const full = new TaplineError("STORE_DISK_FULL", { path: "/a" });
  expect(() =>
    traced("flush", {}, () => {
      throw full;
    }),
  ).toThrow(full);
  await expect(traced("query", {}, () => Promise.reject(full))).rejects.toBe(full);
  await traces.close(AbortSignal.timeout(5000));
  expect(to.spans.map(({ name }) => name).sort()).toEqual(["flush", "query"]);
  for (const span of to.spans) {
    expect(span.status).toEqual({ code: 2, message: "the disk is full: /a cannot grow" });
    expect(plain(span.attributes)["error.type"]).toBe("STORE_DISK_FULL");
    expect(span.events.map(({ name }) => name)).toEqual(["exception"]);
  }
});

test("failures are counted by span and told once until a delivery succeeds", async () => {
  const to = await collector();
  to.status = 400;
  const traces = await start(to.url);
  const untilLost = async (count: number): Promise<void> => {
    for (const end = performance.now() + 10_000; traces.lost() < count && performance.now() < end; )
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(traces.lost()).toBe(count);
  };
  for (let i = 1; i <= 3; i++) {
    traced("query", {}, () => undefined);
    traced("query", {}, () => undefined);
    await untilLost(2 * i);
  }
  expect(lines.map(({ message, error }) => [message, error?.code])).toEqual([
    ["failed to deliver traces; the next failures are only counted", "TRACES_FAILED"],
  ]);
  to.status = 200;
  traced("query", {}, () => undefined);
  await traces.close(AbortSignal.timeout(5000));
  expect(to.spans).toHaveLength(1);
  expect(traces.lost()).toBe(6);
});

test("a collector that never answers costs nothing but its spans: their number is bounded, and the end has a deadline", async () => {
  const to = await collector();
  to.hang = true;
  const traces = await start(to.url);
  let done = 0;
  for (let i = 0; i < 3000; i++) traced("query", {}, () => done++);
  expect(done).toBe(3000);
  expect(traces.lost()).toBe(3000 - 2048);
  const began = performance.now();
  await traces.close(AbortSignal.timeout(200));
  expect(performance.now() - began).toBeLessThan(1000);
  expect(traces.lost()).toBe(3000);
});

test("nobody listening is told with the address and a remedy", async () => {
  const traces = await start("http://127.0.0.1:1/");
  traced("query", {}, () => undefined);
  await traces.close(AbortSignal.timeout(10_000));
  expect(lines[0]?.error).toMatchObject({
    code: "TRACES_FAILED",
    message: expect.stringContaining("traces cannot be delivered to http://127.0.0.1:1/: ") as string,
  });
  expect(traces.lost()).toBe(1);
});

test("without an endpoint nothing of OpenTelemetry is loaded, and work runs as it is", () => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `import { registerHooks } from "node:module";
       const loaded = [];
       registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context); } });
       const { startTraces, traced } = await import(${JSON.stringify(new URL("traces.ts", import.meta.url).href)});
       const traces = await startTraces({ endpoint: undefined, service: "s", version: "v", log: undefined });
       const value = traced("query", { a: 1 }, (span) => { span.set({ b: 2 }); return 7; });
       await traces.close();
       console.log(JSON.stringify({ value, lost: traces.lost(), seen: loaded.length > 1, otel: loaded.filter((url) => url.includes("opentelemetry")) }));`,
    ],
    { encoding: "utf8" },
  );
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toEqual({ value: 7, lost: 0, seen: true, otel: [] });
});
