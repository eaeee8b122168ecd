import Fastify from "fastify";
import { expect, test } from "vitest";
import { TaplineError } from "#domain/errors.ts";
import { frameworkLog } from "./framework-log.ts";
import { createLogs } from "./log.ts";

test("fastify logs in our facility, with our severities and codes, and never a query", async () => {
  const lines: Record<string, unknown>[] = [];
  const logs = createLogs(
    { level: "info", format: "json" },
    {
      destination: {
        write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>),
        drained: () => Promise.resolve(),
        dropped: () => 0,
      },
    },
  );
  const app = Fastify({ loggerInstance: frameworkLog(logs.facility("api")) });
  app.get("/flows", (request) => {
    request.log.warn({ rows: 3 }, "cut the answer");
    throw new TaplineError("API_OVERLOADED", { limit: 1 });
  });
  await app.inject({ url: "/flows?token=hunter2", headers: { authorization: "Bearer hunter2" } });
  await app.close();
  expect(lines.map(({ severity, facility, message }) => [severity, facility, message])).toEqual([
    ["info", "api", "incoming request"],
    ["warning", "api", "cut the answer"],
    ["error", "api", expect.stringContaining("questions are waiting")],
    ["info", "api", "request completed"],
  ]);
  expect(lines[0]).toMatchObject({ method: "GET", path: "/flows" });
  expect(lines[1]).toMatchObject({ rows: 3 });
  expect(lines[2]).toMatchObject({ error: { code: "API_OVERLOADED" }, status: 503 });
  expect(JSON.stringify(lines)).not.toContain("hunter2");
});
