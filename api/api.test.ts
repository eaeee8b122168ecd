import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { tmpdir, hostname } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { z } from "zod";
import { TaplineError } from "#domain/errors.ts";
import { flowBatch, gapBatch, linkBatch, madeSummary, type MadeFlow } from "#store/made-records.ts";
import { StoreWriter } from "#store/writer.ts";
import * as schemas from "./schemas.ts";
import { serve, type Served } from "./server.ts";

const t0 = 1_790_000_000_000_000_001n;
const flow = (packet: number, change: Partial<MadeFlow> = {}): MadeFlow => ({
  packet,
  protocol: "macsec",
  firstNs: t0,
  lastNs: t0 + 2_000_000_000n,
  packets: 11,
  bytes: 1_000_000 * packet,
  sci: [2, 0, 0, 0, 0, 1, 0, 1],
  source: [2, 0, 0, 0, 0, packet],
  destination: [2, 0, 0, 0, 0, 99],
  ...change,
});

let folder: string;
let db: string;
let server: Served;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tapline-api-"));
  db = join(folder, "x.db");
  const writer = await StoreWriter.open(db);
  await writer.beginRun({ source: "old.pcap", options: {} });
  await writer.write(flowBatch([flow(1, { packets: 5 })]));
  await writer.finishRun(madeSummary({ complete: false }));
  await writer.beginRun({ source: "new.pcap", options: { threads: 2 } });
  await writer.write(
    flowBatch([
      flow(1, { lost: 4, gaps: 2 }),
      flow(2, { protocol: "esp", spi: 7, source: [10, 0, 0, 1], destination: [10, 0, 0, 2], lost: 1, late: 1 }),
      flow(3, { protocol: "udp", ports: [53, 5353], source: [10, 9, 0, 1], destination: [10, 0, 0, 2] }),
      flow(4, { packets: 1, lastNs: t0 }),
    ]),
  );
  await writer.write(
    gapBatch([
      { packet: 1, first: 3, last: 5, noticedNs: t0 + 7n, confirmedNs: t0 + 9n },
      { packet: 1, first: 8, last: 8, noticedNs: t0 + 8n, confirmedNs: t0 + 9n, jump: true },
      { packet: 2, first: 2, last: 2, noticedNs: t0, confirmedNs: t0, suspect: true },
    ]),
  );
  await writer.blind([
    { interface: "eth0", sinceNs: t0, untilNs: t0 + 1_500_000_000n, reason: "down" },
    { interface: "eth1", sinceNs: t0, untilNs: t0 + 1n, reason: "ring_full" },
  ]);
  await writer.write(linkBatch([{ packet: 4, previous: 1, kind: 0 }]));
  await writer.finishRun(madeSummary());
  await writer.close();
  server = await serve({ db, port: 0 });
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const get = (path: string, init: RequestInit = {}) => fetch(server.url + path, init);
/** The answer, which must be what the OpenAPI document promises. */
async function ask<S extends z.ZodObject>(path: string, schema: S): Promise<z.output<S>> {
  const response = await get(path);
  const body: unknown = await response.json();
  expect(response.status, JSON.stringify(body)).toBe(200);
  return schema.strict().parse(body) as z.output<S>;
}
async function refused(path: string, init: RequestInit = {}): Promise<z.output<typeof schemas.problem>> {
  const response = await get(path, init);
  expect(response.headers.get("content-type")).toContain("application/problem+json");
  const body = schemas.problem.strict().parse(await response.json());
  expect(body.status).toBe(response.status);
  expect(body.instance).toBe(path);
  return body;
}
const names = async (query: string): Promise<string[]> =>
  (await ask(`/api/v1/flows?${query}`, schemas.flowList)).flows.map((found) => found.flow_id);

describe("the API of a database", () => {
  test("says that it is well, and which version it is", async () => {
    expect(await ask("/health", schemas.health)).toEqual({ status: "ok", version: "0.1.0" });
  });

  test("sums the newest run", async () => {
    expect(await ask("/api/v1/stats/summary", schemas.summary)).toEqual({
      runs: [2], total_flows: 4, total_packets_received: 34, total_gaps_detected: 3, total_lost_packets: 5, max_gap_size: 2, total_bytes: 10_000_000, avg_bandwidth_mbps: 40,
      expected: 27, unique: 22, reordered: 0, duplicate: 0, late: 1, lost: 5, pending: 0, jumps: 0, outliers: 0, restarts: 0, invariant_residue: 0,
    }); // biome-ignore format: one answer
    expect((await ask("/api/v1/stats/summary?run=1", schemas.summary)).total_packets_received).toBe(5);
    expect((await ask("/api/v1/stats/summary?run=all", schemas.summary)).total_packets_received).toBe(39);
  });

  test("tells a flow with every figure, and times to the nanosecond", async () => {
    expect(await ask("/api/v1/flows/2-1", schemas.flowDetail)).toMatchObject({
      flow_id: "2-1", protocol: "macsec", source: "02:00:00:00:00:01", sci: "0200000000010001", packets_received: 11, gaps_detected: 2, total_lost_packets: 4, first_sequence: 1,
      last_sequence: 15, min_gap: 2, max_gap: 2, total_bytes: 1_000_000, first_timestamp: "2026-09-21T14:13:20.000000001Z", last_timestamp_ns: "1790000002000000001", duration_seconds: 2, bandwidth_mbps: 4,
      min_inter_arrival_ms: 0.001, max_inter_arrival_ms: 5, avg_inter_arrival_ms: 200, invariant_residue: 0, continues: [],
    }); // biome-ignore format: one answer
    expect((await ask("/api/v1/flows/2-4", schemas.flowDetail)).continues).toEqual([{ flow_id: "2-1", kind: "rekey" }]);
    expect(await ask("/api/v1/flows/2-4", schemas.flowDetail)).toMatchObject({
      duration_seconds: 0,
      bandwidth_mbps: 0,
      avg_inter_arrival_ms: 0,
    });
    expect(await ask("/api/v1/flows/2-3", schemas.flowDetail)).toMatchObject({ source_port: 53, first_sequence: null });
  });

  test("applies every filter before the limit", async () => {
    expect(await names("limit=1&min_bytes=3e6&max_bytes=3e6")).toEqual(["2-3"]);
    expect(await names("limit=1&min_bandwidth_mbps=7.9&max_bandwidth_mbps=9")).toEqual(["2-2"]);
    expect(await names("limit=1&filter=src%3D10.9.0.0%2F16")).toEqual(["2-3"]);
    expect(await names("filter=lost%3E0&sort=-lost")).toEqual(["2-1", "2-2"]);
    expect(await names("sort=-bytes&run=all")).toEqual(["2-4", "2-3", "2-2", "1-1", "2-1"]);
    expect(await names("filter=run%3D1")).toEqual(["1-1"]);
    expect(await ask("/api/v1/flows?limit=1&filter=proto%3Dmacsec", schemas.flowList)).toMatchObject({
      count: 1,
      total: 2,
      indexed: true,
    });
  });

  test("says when a question has no index, and answers it", async () => {
    const list = await ask("/api/v1/flows?filter=late%3E0", schemas.flowList);
    expect(list).toMatchObject({ count: 1, total: null, indexed: false });
    expect(list.note).toContain("no index for late");
    expect(list.flows[0]?.flow_id).toBe("2-2");
  });

  test("pages to the end without missing or repeating one", async () => {
    const seen: string[] = [];
    let path = "/api/v1/flows?limit=1&sort=-packets&run=all";
    for (let cursor: string | null = ""; cursor !== null; ) {
      const list: z.output<typeof schemas.flowList> = await ask(
        `${path}${cursor && `&cursor=${cursor}`}`,
        schemas.flowList,
      );
      seen.push(...list.flows.map((found) => found.flow_id));
      cursor = list.next_cursor;
    }
    expect(seen).toEqual(["2-1", "2-2", "2-3", "1-1", "2-4"]);
    const gaps: number[] = [];
    path = "/api/v1/gaps?limit=1";
    for (let cursor: string | null = ""; cursor !== null; ) {
      const list: z.output<typeof schemas.gapList> = await ask(
        `${path}${cursor && `&cursor=${cursor}`}`,
        schemas.gapList,
      );
      gaps.push(...list.gaps.map((gap) => gap.first));
      cursor = list.next_cursor;
    }
    expect(gaps).toEqual([3, 8, 2]);
    const runs = await ask("/api/v1/runs?limit=1", schemas.runList);
    expect(
      (await ask(`/api/v1/runs?limit=1&cursor=${runs.next_cursor}`, schemas.runList)).runs.map(({ run }) => run),
    ).toEqual([1]);
  });

  test("refuses a cursor of another question, or of nobody's", async () => {
    const { next_cursor } = await ask("/api/v1/flows?limit=1&sort=-packets", schemas.flowList);
    for (const query of [
      `sort=packets&cursor=${next_cursor}`,
      "cursor=abc",
      `cursor=${Buffer.from('["x","1",1,1]').toString("base64url")}`,
      "cursor=bnVsbA",
    ])
      expect((await refused(`/api/v1/flows?${query}`)).code).toBe("API_BAD_CURSOR");
    expect((await refused("/api/v1/gaps?cursor=WzFd")).code).toBe("API_BAD_CURSOR");
  });

  test("tells gaps of any protocol, runs, protocols and the ledger", async () => {
    const { gaps } = await ask("/api/v1/flows/2-1/gaps", schemas.gapList);
    expect(gaps.map(({ first, last, size, jump }) => [first, last, size, jump])).toEqual([[3, 5, 3, false], [8, 8, 1, true]]); // biome-ignore format: rows
    expect((await ask("/api/v1/flows/2-2/gaps", schemas.gapList)).gaps[0]).toMatchObject({
      suspect: true,
      noticed: "2026-09-21T14:13:20.000000001Z",
    });
    expect((await ask("/api/v1/flows/2-3/gaps", schemas.gapList)).count).toBe(0);
    expect((await ask("/api/v1/runs", schemas.runList)).runs).toMatchObject([{ run: 2, source: "new.pcap", complete: true, options: { threads: 2 } }, { run: 1, complete: false, finished: true }]); // biome-ignore format: rows
    const { protocols } = await ask("/api/v1/protocols", schemas.protocolList);
    expect(protocols.map(({ protocol, flows, lost }) => [protocol, flows, lost])).toEqual([["macsec", 2, 4], ["esp", 1, 1], ["ah", 0, 0], ["tcp", 0, 0], ["udp", 1, 0]]); // biome-ignore format: rows
    const ledger = await ask("/api/v1/ledger", schemas.ledger);
    expect(ledger).toMatchObject({
      residue: 0,
      interfaces: [{ seen: 1000, undecodable: { truncated: 2 }, untracked: { arp: 5, ike: 3 } }],
    });
  });

  test("tells when an interface was not watched, page by page", async () => {
    expect((await ask("/api/v1/blind", schemas.blindList)).blind).toEqual([
      {
        run: 2, interface: "eth0", since: "2026-09-21T14:13:20.000000001Z", since_ns: "1790000000000000001", until: "2026-09-21T14:13:21.500000001Z",
        until_ns: "1790000001500000001", duration_seconds: 1.5, reason: "down",
      },
      expect.objectContaining({ interface: "eth1", duration_seconds: 1e-9, reason: "ring_full" }),
    ]); // biome-ignore format: rows
    expect((await ask("/api/v1/blind?run=1", schemas.blindList)).count).toBe(0);
    const first = await ask("/api/v1/blind?limit=1&run=all", schemas.blindList);
    const second = await ask(`/api/v1/blind?limit=1&run=all&cursor=${first.next_cursor}`, schemas.blindList);
    expect([...first.blind, ...second.blind].map((row) => row.interface)).toEqual(["eth0", "eth1"]);
    expect(second.next_cursor).toBeNull();
    expect((await refused("/api/v1/blind?cursor=WzFd")).code).toBe("API_BAD_CURSOR");
    expect((await ask("/api/v1/runs?limit=1", schemas.runList)).runs[0]).toMatchObject({
      checkpoint: null,
      pruned_flows: 0,
    });
  });

  test("gives Prometheus the newest run and its own requests", async () => {
    const text = await (await get("/metrics")).text();
    for (const line of [
      "tapline_run 2",
      "tapline_run_complete 1",
      'tapline_run_sequence{protocol="macsec",outcome="lost"} 4',
      'tapline_run_untracked_packets{reason="arp"} 5',
      "tapline_run_invariant_residue 0",
      'tapline_api_requests_total{route="/health",method="GET",status="200"} 1',
    ])
      expect(text).toContain(`${line}\n`);
    expect(text).not.toContain('protocol="udp",outcome');
  });

  test("documents itself from its own files alone", async () => {
    const page = await get("/api/docs/");
    const html = await page.text();
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'self'");
    expect(`${policy}${html}`).not.toMatch(/https?:|upgrade-insecure/);
    for (const [, asset] of html.matchAll(/(?:src|href)="(\.\/[^"]+)"/g))
      expect((await get(`/api/docs/${asset}`)).status).toBe(200);
    const document = (await (await get("/api/docs/json")).json()) as {
      paths: Record<string, { get: { parameters?: { name: string }[] } }>;
    };
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(["/health", "/metrics", "/api/v1/flows/{id}/gaps", "/api/v1/ledger"]),
    );
    expect(document.paths["/api/v1/flows"]?.get.parameters?.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["limit", "min_bytes", "max_bandwidth_mbps", "filter", "sort", "cursor", "run"]),
    );
  });
});

describe("a question that cannot be answered", () => {
  test.each([
    ["/api/v1/flows?limit=1001", 400, "API_BAD_REQUEST", "limit"],
    ["/api/v1/flows?limit=0", 400, "API_BAD_REQUEST", "limit"],
    ["/api/v1/flows?min_bytes=many", 400, "API_BAD_REQUEST", "min_bytes"],
    ["/api/v1/flows?sort=colour", 400, "API_BAD_REQUEST", "sort"],
    ["/api/v1/flows?colour=red", 400, "API_BAD_REQUEST", "colour: there is no such parameter"],
    ["/health?x=1", 400, "API_BAD_REQUEST", "x: there is no such parameter"],
    ["/api/v1/flows?run=new", 400, "API_BAD_REQUEST", "run"],
    ["/api/v1/flows?run=9", 404, "API_RUN_NOT_FOUND", "run 9"],
    ["/api/v1/ledger?run=9", 404, "API_RUN_NOT_FOUND", "run 9"],
    ["/api/v1/flows/seven", 400, "API_BAD_REQUEST", "<run>-<packet>"],
    ["/api/v1/flows/2-77", 404, "API_FLOW_NOT_FOUND", "2-77"],
    ["/api/v1/flows/2-77/gaps", 404, "API_FLOW_NOT_FOUND", "2-77"],
    ["/api/v2/flows", 404, "API_NOT_FOUND", "/api/v2/flows"],
    ["/api/v1/flows?filter=lots%3E0", 400, "FILTER_UNKNOWN_FIELD", "lots"],
  ])("%s is refused with %i %s", async (path, status, code, detail) => {
    const problem = await refused(path);
    expect(problem).toMatchObject({ status, code });
    expect(problem.detail).toContain(detail);
    expect(problem.hint).not.toBe("");
  });

  test("a filter that does not parse is shown with a caret", async () => {
    expect((await refused("/api/v1/flows?filter=proto%3Desp%20lost%3Ex")).where).toBe(
      "proto=esp lost>x\n               ^",
    );
  });
});

describe("who may ask", () => {
  const codeOf = async (work: () => Promise<Served>): Promise<string> => {
    try {
      await (await work()).close();
    } catch (error) {
      if (error instanceof TaplineError) return error.code;
      throw error;
    }
    return "served";
  };
  /** fetch sets Host itself. */
  const status = (url: string, headers: Record<string, string>): Promise<number | undefined> =>
    new Promise((resolve, reject) =>
      request(`${url}/health`, { headers }, (response) => resolve(response.resume().statusCode))
        .on("error", reject)
        .end(),
    );

  test("a name that is not ours, or a page of another site, is refused", async () => {
    const port = new URL(server.url).port;
    expect(await status(server.url, { host: "evil.example" })).toBe(403);
    expect(await status(server.url, { host: `evil.example:${port}` })).toBe(403);
    expect(await status(server.url, { host: `127.0.0.1.evil.example:${port}` })).toBe(403);
    for (const host of ["localhost", "127.0.0.1", "[::1]", hostname()])
      expect(await status(server.url, { host: `${host}:${port}` })).toBe(200);
    expect(await status(server.url, { origin: "http://evil.example" })).toBe(403);
    expect(await status(server.url, { origin: "null" })).toBe(403);
    expect(await status(server.url, { origin: server.url })).toBe(200);
  });

  test("off loopback a token is needed: to start, and with every request", async () => {
    expect(await codeOf(() => serve({ db, port: 0, host: "0.0.0.0" }))).toBe("API_TOKEN_REQUIRED");
    expect(await codeOf(() => serve({ db, port: 0, host: "0.0.0.0", token: "short" }))).toBe("API_TOKEN_REQUIRED");
    const tokenFile = join(folder, "token");
    const token = "a-token-of-some-length";
    writeFileSync(tokenFile, `${token}\n`);
    const open = await serve({ db, port: 0, host: "0.0.0.0", tokenFile });
    const url = open.url.replace("0.0.0.0", "127.0.0.1");
    expect(await status(url, {})).toBe(401);
    expect(await status(url, { authorization: `Bearer ${token}x` })).toBe(401);
    expect(await status(url, { authorization: `Bearer ${token}` })).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(401);
    expect((await fetch(`${url}/nowhere`)).status).toBe(401);
    await open.close();
  });

  test("too many requests are refused with a code", async () => {
    const strict = await serve({ db, port: 0, requestsPerMinute: 2 });
    const codes: number[] = [];
    for (let i = 0; i < 3; i++) codes.push((await fetch(`${strict.url}/health`)).status);
    expect(codes).toEqual([200, 200, 429]);
    expect(((await (await fetch(`${strict.url}/health`)).json()) as { code: string }).code).toBe("API_RATE_LIMITED");
    await strict.close();
  });

  test("a port in use, an address of another machine and a missing database each have a code", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as { port: number };
    expect(await codeOf(() => serve({ db, port }))).toBe("PORT_IN_USE");
    other.close();
    expect(await codeOf(() => serve({ db, port: 0, host: "192.0.2.1", token: "a-token-of-some-length" }))).toBe(
      "HOST_NOT_LOCAL",
    );
    expect(await codeOf(() => serve({ db: join(folder, "absent.db"), port: 0 }))).toBe("STORE_NOT_FOUND");
  });

  test("security headers are set", async () => {
    const { headers } = await get("/health");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toContain("default-src 'self'");
  });

  test("an abort signal closes the server, and closing twice is fine", async () => {
    const stop = new AbortController();
    const brief = await serve({ db, port: 0, signal: stop.signal });
    expect((await fetch(`${brief.url}/health`)).status).toBe(200);
    stop.abort();
    await brief.close();
    await brief.close();
    await expect(fetch(`${brief.url}/health`)).rejects.toThrow("fetch failed");
  });
});

test("writing a run loads no web server", () => {
  const script = `const { StoreWriter } = await import(${JSON.stringify(new URL("../store/writer.ts", import.meta.url).href)});
    const { createRequire } = await import("node:module");
    console.log(Object.keys(createRequire(import.meta.url).cache).length, typeof StoreWriter);`;
  const program = join(folder, "lazy.mts");
  writeFileSync(program, script);
  expect(execFileSync(process.execPath, [program], { encoding: "utf8" }).trim()).toBe("0 function");
});
