import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TaplineError } from "#domain/errors.ts";
import { findingBatch, type Finding } from "#domain/finding.ts";
import { parseServer } from "./address.ts";
import { type Batch, FindingBuffer } from "./finding-buffer.ts";
import { parseQuestion } from "./question.ts";

const note = (n: number, padding = 0): Finding => ({
  v: 1,
  kind: "condition",
  code: "BUS_LOST",
  severity: "info",
  state: "raised",
  message: `é${"x".repeat(padding)}`,
  since: String(n),
});

describe("the buffer of findings", () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant("add" as const), padding: fc.nat(600) }) },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant("form" as const), limit: fc.integer({ min: 300, max: 3000 }) }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("acknowledge" as const), which: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("dissolve" as const) }) },
    ),
    { maxLength: 200 },
  );

  test("whatever happens: accepted = acknowledged + waiting + overflowed, within its limits, and in order", () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 500, max: 5000 }), (list, count, bytes) => {
        const buffer = new FindingBuffer("run", { count, bytes });
        const delivered: number[] = [];
        let added = 0;
        let last = 0;
        for (const step of list) {
          if (step.do === "add") buffer.add(note(added++, step.padding));
          if (step.do === "dissolve") buffer.dissolve();
          if (step.do === "form") {
            const batch = buffer.form(step.limit);
            if (batch) {
              expect(batch.payload.length).toBeLessThanOrEqual(step.limit);
              const read = findingBatch.parse(JSON.parse(new TextDecoder().decode(batch.payload)));
              expect(read.batch).toBe(last + 1);
              last = read.batch;
              expect(read.overflowed).toBe(buffer.overflowed);
              const numbers = read.findings.map((one) => Number((one as { since: string }).since));
              expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
            }
          }
          if (step.do === "acknowledge") {
            const batch: Batch | undefined = buffer.batches[step.which];
            if (batch) {
              buffer.acknowledge(batch);
              buffer.acknowledge(batch); // once is enough
              delivered.push(batch.findings.length);
            }
          }
          expect(buffer.accepted).toBe(added);
          expect(buffer.acknowledged + buffer.waiting + buffer.overflowed).toBe(added);
          expect(buffer.acknowledged).toBe(delivered.reduce((sum, one) => sum + one, 0));
          const inBatches = buffer.batches.reduce((sum, one) => sum + one.findings.length, 0);
          expect(buffer.waiting).toBe(buffer.queued + inBatches);
          // What is in a batch stays; the queue gives way.
          if (buffer.queued > 0) expect(buffer.waiting <= count && buffer.bytes <= bytes).toBe(true);
        }
        const next = (): Batch | undefined => buffer.batches[0] ?? buffer.form(1e6);
        for (let more = next(); more; more = next()) buffer.acknowledge(more);
        expect([buffer.waiting, buffer.bytes, buffer.queuedBytes]).toEqual([0, 0, 0]);
      }),
      { numRuns: 500 },
    );
  });

  test("the oldest goes", () => {
    const buffer = new FindingBuffer("run", { count: 3, bytes: 1e6 });
    for (let n = 0; n < 10; n++) buffer.add(note(n));
    const batch = buffer.form(1e6);
    expect(batch?.findings.map((text) => (JSON.parse(text) as { since: string }).since)).toEqual(["7", "8", "9"]);
    expect(buffer.overflowed).toBe(7);
  });
});

const refusal = (read: () => unknown): TaplineError => {
  try {
    read();
  } catch (error) {
    return error as TaplineError;
  }
  throw new Error("it was taken");
};
const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

describe("questions", () => {
  test.each([
    ["/api/v1/flows?filter=lost%3E0&limit=5", "/api/v1/flows?filter=lost%3E0&limit=5"],
    ["/api/v1/flows?filter=lost>0 proto=macsec", "/api/v1/flows?filter=lost%3E0%20proto=macsec"],
    ["/healthz", "/healthz"],
    ["/health#x", "/health"],
    ["/api/v1/x/../summary", "/api/v1/summary"],
  ])("%s is asked", (path, asked) => expect(parseQuestion(bytes({ path }))).toBe(asked));

  test.each([
    "",
    "not json",
    "null",
    "[]",
    "{}",
    { path: 1 },
    { path: "/api/v1/flows", method: "DELETE" },
    { path: "" },
    { path: "api/v1/flows" },
    { path: "/metrics" },
    { path: "/api/v1/" },
    { path: "/api/v2/flows" },
    { path: "/api/v1/../../debug/heapsnapshot" },
    { path: "/api/v1/%2e%2e/%2e%2e/metrics" },
    { path: "/api/v1/..\\..\\metrics" },
    { path: "//elsewhere/api/v1/flows" },
    { path: "/\\elsewhere/api/v1/flows" },
    { path: "/api/v1/stream" },
    { path: "/api/v1/./stream/" },
    { path: "/api/v1/str\team" },
    { path: "/api/v1/%73tream" },
    { path: "/api/v1//stream" },
    { path: "/api/v1/%" },
    { path: "/%61pi/v1/" },
    { path: "/healthzz" },
    { path: `/api/v1/${"x".repeat(5000)}` },
  ])("%j is refused", (value) => {
    const error = refusal(() => parseQuestion(bytes(value)));
    expect(error.code).toBe("BUS_BAD_QUERY");
    expect(error.status).toBe(400);
  });

  test("any bytes are a question or refused as none", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map(bytes),
          fc.webUrl().map((path) => bytes({ path })),
        ),
        (data) => {
          try {
            expect(parseQuestion(data)).toMatch(/^\/(api\/v1\/.|health)/);
          } catch (error) {
            expect((error as TaplineError).code).toBe("BUS_BAD_QUERY");
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(refusal(() => parseQuestion(Uint8Array.of(0x22, 0xff, 0x22))).code).toBe("BUS_BAD_QUERY");
  });
});

describe("addresses of servers", () => {
  test.each([
    ["nats", { text: "nats:4222", host: "nats", encrypted: false }],
    ["nats://10.0.0.1:4333/", { text: "10.0.0.1:4333", host: "10.0.0.1", encrypted: false }],
    ["TLS://nats.example.com:80", { text: "nats.example.com:80", host: "nats.example.com", encrypted: true }],
    ["tls://[2001:db8::1]", { text: "[2001:db8::1]:4222", host: "2001:db8::1", encrypted: true }],
  ])("%s", (address, server) => expect(parseServer(address)).toEqual(server));

  test.each([
    "",
    "nats://",
    "http://nats:4222",
    "nats://nats:99999",
    "nats://u:secret@nats",
    "nats://nats/x",
    "nats://nats?x",
    "a b",
  ])("%j is none", (address) => {
    const error = refusal(() => parseServer(address));
    expect(error.code).toBe("BUS_BAD_ADDRESS");
    expect(error.message).not.toContain("secret");
  });
});
