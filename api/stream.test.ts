import { connect } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import Fastify, { type FastifyInstance } from "fastify";
import { validatorCompiler } from "fastify-type-provider-zod";
import { afterEach, expect, test, vi } from "vitest";
import { answerProblems } from "./problem.ts";
import { serveStream, Stream, type StreamLimits } from "./stream.ts";

let app: FastifyInstance | undefined;
afterEach(() => app?.close());

async function started(limits: Partial<StreamLimits> = {}): Promise<{ stream: Stream; url: string }> {
  const stream = new Stream({ flushMs: 20, ...limits });
  app = Fastify();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  answerProblems(app);
  serveStream(app, stream);
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  return { stream, url: `${url}/api/v1/stream` };
}

interface Seen {
  readonly id: number;
  readonly event: string;
  readonly data: unknown;
}
/** Reads events until `count` have come. */
async function read(response: Response, count: number): Promise<Seen[]> {
  const seen: Seen[] = [];
  let text = "";
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  while (reader && seen.length < count) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const of = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
      const event = of("event");
      if (event !== undefined) seen.push({ id: Number(of("id") ?? 0), event, data: JSON.parse(of("data") ?? "null") });
    }
  }
  await reader?.cancel();
  return seen;
}

test("what is published reaches every listener, findings gathered into one event", async () => {
  const { stream, url } = await started();
  const listeners = await Promise.all([fetch(url), fetch(url)]);
  expect(listeners[0]?.headers.get("content-type")).toContain("text/event-stream");
  stream.findings([1, 2]);
  stream.findings([3]);
  stream.flush();
  stream.publish("report", { pps: 5 });
  for (const listener of listeners)
    expect((await read(listener, 2)).map(({ event, data }) => [event, data])).toEqual([
      ["findings", [1, 2, 3]],
      ["report", { pps: 5 }],
    ]);
});

test("more findings than fit one event become several, and none is left out", async () => {
  const { stream, url } = await started({ batch: 100, flushMs: 60_000 });
  const listener = await fetch(url);
  stream.findings(Array.from({ length: 250 }, (_, i) => i));
  stream.flush();
  const lists = (await read(listener, 3)).map(({ data }) => data as number[]);
  expect(lists.map((list) => list.length)).toEqual([100, 100, 50]);
  expect(lists.flat()).toEqual(Array.from({ length: 250 }, (_, i) => i));
});

test("a listener asks for the kinds it wants; a kind that does not exist is refused", async () => {
  const { stream, url } = await started();
  const listener = await fetch(`${url}?types=condition`);
  stream.publish("report", 1);
  stream.publish("condition", "disk full");
  expect((await read(listener, 1)).map(({ data }) => data)).toEqual(["disk full"]);
  const refused = await fetch(`${url}?types=colours`);
  expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([400, "API_BAD_REQUEST"]);
});

test("who comes back with Last-Event-ID goes on where it was", async () => {
  const { stream, url } = await started();
  const first = await fetch(url);
  stream.publish("report", "a");
  const [seen] = await read(first, 1);
  for (const text of ["b", "c"]) stream.publish("report", text);
  const again = await fetch(url, { headers: { "last-event-id": String(seen?.id) } });
  expect((await read(again, 2)).map(({ data }) => data)).toEqual(["b", "c"]);
});

test("who was away for longer than the history is told how many events it missed", async () => {
  const { stream, url } = await started({ history: 3 });
  const first = await fetch(url);
  stream.publish("report", 0);
  const [seen] = await read(first, 1);
  for (let i = 1; i <= 10; i++) stream.publish("report", i);
  const again = await fetch(url, { headers: { "last-event-id": String(seen?.id) } });
  const events = await read(again, 4);
  expect(events[0]).toMatchObject({ event: "missed", data: { events: 7 } });
  expect(events.slice(1).map(({ data }) => data)).toEqual([8, 9, 10]);
});

test("a listener that does not read holds nothing up, costs no memory of its own, and learns what it missed", async () => {
  const { stream, url } = await started({ history: 100 });
  const { port } = new URL(url);
  const lazy = connect(Number(port), "127.0.0.1");
  lazy.write("GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  await once(lazy, "readable"); // the head of the answer; then it stops reading
  while (stream.listeners === 0) await sleep(5);
  const large = "x".repeat(100_000);
  for (let i = 0; i < 1000; i++) {
    stream.publish("report", large);
    if (i % 50 === 0) await sleep(25);
  }
  // Its socket has room for some; the rest waits in the history alone, which is 10 MB at most.
  expect(lazy.readableLength).toBeLessThan(1e6);
  let text = "";
  lazy.setEncoding("utf8").on("data", (part: string) => (text += part));
  while (!text.includes("event: missed") || !text.includes("id: 1000\n")) await sleep(20);
  const events = text.split("\n").filter((line) => line.startsWith("id: ")).length;
  const missed = [...text.matchAll(/event: missed\ndata: {"events":(\d+)}/g)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
  expect(events + missed).toBe(1000);
  expect(missed).toBeGreaterThan(100);
  lazy.destroy();
});

test("listeners are limited, and one that leaves makes room", async () => {
  const { stream, url } = await started({ listeners: 1 });
  const first = await fetch(url);
  expect((await fetch(url)).status).toBe(503);
  await first.body?.cancel();
  while (stream.listeners > 0) await sleep(5);
  const second = await fetch(url);
  expect(second.status).toBe(200);
  await second.body?.cancel();
});

test("while nobody listens and nothing waits it never wakes its process", () => {
  vi.useFakeTimers();
  try {
    const stream = new Stream({ flushMs: 250 });
    stream.publish("report", 1);
    expect(vi.getTimerCount()).toBe(0);
    stream.findings([1]);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(250);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test("closing the server ends the streams", async () => {
  const { url } = await started();
  const listener = await fetch(url);
  const ended = read(listener, 1);
  await app?.close();
  app = undefined;
  expect(await ended).toEqual([]);
});
