// The users of bus/README.md, as they stand there.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AckPolicy, connect, type NatsConnection } from "nats";
import { expect, test } from "vitest";
import type { RunningPlan } from "#bus/plan-seal.ts";
import { PlanReader } from "#bus/plans.ts";
import { QueryService } from "#bus/queries.ts";
import { ReportPublisher } from "#bus/reports.ts";
import { findingBatch } from "#domain/finding.ts";
import { type SensorReport, sensorReport } from "#domain/report.ts";
import {
  everyReport,
  findingStream,
  inboxPrefix,
  parseSubject,
  querySubject,
  relayInboxPrefix,
  relayQuerySubject,
  relayReportSubject,
  reportSubject,
  type SensorPlace,
} from "#domain/subjects.ts";
import { NatsServer } from "./nats-server.ts";
import { PlanMaker } from "./plan-maker.ts";
import { gap, SensorEnd, service as serviceOf, until } from "./sensor-end.ts";

const readme = readFileSync(new URL("../../bus/README.md", import.meta.url), "utf8");
const users = /```\n(authorization[\s\S]*?)```/.exec(readme)?.[1] ?? "";
const own: SensorPlace = { fleet: "prod", pool: "edge", node: "node-1.example.com" };

const report = (sequence: number): SensorReport => ({
  v: 1,
  fleet: own.fleet,
  pool: own.pool,
  node: own.node,
  version: "0.1.0",
  run: "run",
  time: "2026-11-21T10:00:00.000000000Z",
  started: "2026-11-21T09:00:00.000000000Z",
  sequence,
  interval_ms: 1000,
  interfaces: [],
  softnet: { processed: 0, dropped: 0, time_squeeze: 0, flow_limit: 0, cpus: [] },
  protocols: [],
  flows: { live: 1, total: 2, cap_evictions: 0 },
  lost: 0,
  gaps: 0,
  suspect_gaps: 0,
  rung: "none",
  clock: { steps: 0, step_seconds: 0 },
  blinds_dropped: 0,
  store: { state: "writing", waiting_bytes: 0, dropped: 0, bytes: 0 },
  bus: { accepted: 0, acknowledged: 0, waiting: 0, overflowed: 0, untold: 0, unsent_reports: 0, reconnects: 0 },
  conditions: [],
});

const asSensor = (server: NatsServer, place: SensorPlace): SensorEnd => {
  const path = join(server.dir, "user");
  writeFileSync(path, "sensor-node-1:change me\n");
  return new SensorEnd(server.url, { credentials: { kind: "user", path }, inboxPrefix: inboxPrefix(place) });
};
const asConsole = (server: NatsServer): Promise<NatsConnection> =>
  connect({ servers: server.url, user: "console", pass: "change me, too", inboxPrefix: "_INBOX.console" });

test("sensor and console do all they must with the users of the README", async () => {
  await using server = await NatsServer.start({ config: users });
  await using end = asSensor(server, own);
  await end.connected();
  const watcher = await asConsole(server);

  const reports: [string, number][] = [];
  watcher.subscribe(everyReport("prod"), {
    callback: (_error, message) => void reports.push([message.subject, sensorReport.parse(message.json()).sequence]),
  });
  await watcher.flush();
  const publisher = new ReportPublisher(end.connection, end.conditions, reportSubject(own));
  for (const sequence of [1, 2, 3]) expect(publisher.publish(report(sequence))).toBe(true);
  await until("reports", () => reports.length === 3);
  expect(reports).toEqual([1, 2, 3].map((sequence) => [reportSubject(own), sequence]));
  expect(parseSubject(reports[0]?.[0] ?? "")).toEqual({ kind: "report", ...own });

  const findings = end.publisher({ place: own });
  for (let n = 0; n < 10; n++) findings.add(gap(n));
  await until("findings", () => findings.figures.acknowledged === 10);
  // As a console reads them: by a consumer of its own.
  const stream = findingStream("prod");
  const manager = await watcher.jetstreamManager({ checkAPI: false });
  await manager.consumers.add(stream, { durable_name: "console", ack_policy: AckPolicy.Explicit });
  const consumer = await watcher.jetstream().consumers.get(stream, "console");
  const message = await consumer.next({ expires: 5000 });
  expect(findingBatch.parse(message?.json()).findings).toHaveLength(10);
  await message?.ackAck();

  const service = new QueryService({
    connection: end.connection,
    service: serviceOf(own),
    version: "0.1.0",
    answer: async () => ({ status: 200, type: "text/plain", body: Buffer.from("well") }),
  });
  await until("an answer", async () => {
    const answer = await watcher.request(querySubject(own), '{"path":"/healthz"}').catch(() => undefined);
    return answer?.string() === "well";
  });
  await service.drain(1000);
  expect(end.raised).toEqual([]);
  await watcher.close();
});

test("a sensor may not speak for another node, and says so", async () => {
  await using server = await NatsServer.start({ config: users });
  const other: SensorPlace = { ...own, node: "node-2.example.com" };
  await using end = asSensor(server, other);
  await end.connected();
  const watcher = await asConsole(server);
  let arrived = 0;
  watcher.subscribe(everyReport("prod"), { callback: () => void arrived++ });
  await watcher.flush();
  const publisher = new ReportPublisher(end.connection, end.conditions, reportSubject(other));
  for (const sequence of [1, 2, 3]) publisher.publish(report(sequence));
  await until("told", () => end.raised.length > 0);
  expect(end.raised).toEqual(["BUS_NOT_PERMITTED"]);
  expect(end.conditions.list()[0]?.message).toContain(`publish to ${reportSubject(other)}`);

  const findings = end.publisher({ place: other });
  findings.add(gap(1));
  await until("told", () => end.conditions.list().some(({ message }) => message.includes("finding.edge.node-2")));
  expect(findings.figures).toMatchObject({ accepted: 1, waiting: 1, acknowledged: 0 });

  const service = new QueryService({
    connection: end.connection,
    service: serviceOf(other),
    version: "0.1.0",
    answer: () => Promise.reject(new Error("never")),
  });
  await until("told", () =>
    end.conditions.list().some(({ message }) => message.includes(`subscribe to ${querySubject(other)}`)),
  );
  await service.drain(1000);
  await watcher.flush();
  expect(arrived).toBe(0);
  expect(end.connection.state.state).toBe("connected");
  await watcher.close();
});

test("without the right to make the stream: it is said while there is none, and not while there is one", async () => {
  await using server = await NatsServer.start({
    config: users
      .replace(/,\s*"\$JS\.API\.STREAM\.CREATE[^"]*"/, "")
      .replace("users: [", 'users: [ { user: admin, password: "admin" }'),
  });
  await using end = asSensor(server, own);
  const findings = end.publisher({ place: own });
  findings.add(gap(1));
  await until("told", () => end.raised.length > 0);
  expect(end.raised).toEqual(["BUS_NO_STREAM"]);
  const admin = await connect({ servers: server.url, user: "admin", pass: "admin" });
  const manager = await admin.jetstreamManager();
  await manager.streams.add({ name: findingStream("prod"), subjects: ["tapline.prod.finding.>"] });
  await until("findings", () => findings.figures.acknowledged === 1);
  expect(end.conditions.list()).toEqual([]);
  await admin.close();
});

test("reports are not kept while NATS is away, and are counted", async () => {
  await using server = await NatsServer.start({ jetstream: false });
  await using end = new SensorEnd(server.url);
  await end.connected();
  const publisher = new ReportPublisher(end.connection, end.conditions, reportSubject(own));
  await server.down();
  await until("away", () => end.connection.state.state === "away");
  for (const sequence of [1, 2, 3]) expect(publisher.publish(report(sequence))).toBe(false);
  await server.up();
  const watcher = await connect({ servers: server.url });
  const seen: number[] = [];
  watcher.subscribe(everyReport("prod"), {
    callback: (_error, message) => void seen.push(sensorReport.parse(message.json()).sequence),
  });
  await watcher.flush();
  await end.connected();
  expect(publisher.publish(report(4))).toBe(true);
  await until("the fourth", () => seen.length > 0);
  expect(seen).toEqual([4]);
  expect(publisher.figures).toEqual({ sent: 1, unsent: 3 });
  await watcher.close();
});

test("a report that is more than a message is told and not sent", async () => {
  await using server = await NatsServer.start({ config: "max_payload: 1000", jetstream: false });
  await using end = new SensorEnd(server.url);
  await end.connected();
  const publisher = new ReportPublisher(end.connection, end.conditions, reportSubject(own));
  expect(publisher.publish({ ...report(1), version: "x".repeat(2000) })).toBe(false);
  expect(end.raised).toEqual(["BUS_REPORT_TOO_LARGE"]);
  expect(publisher.publish(report(2))).toBe(true);
  expect(end.conditions.list()).toEqual([]);
});

test("a relay gets its plan, reports and answers with the user of the README, and nothing is refused", async () => {
  await using server = await NatsServer.start({
    config: users.replace("users: [", 'users: [ { user: operator, password: "operator" }'),
  });
  const place = { fleet: "prod", node: own.node };
  await using operator = await PlanMaker.open(server.url, place, { user: "operator", pass: "operator" });
  const path = join(server.dir, "user");
  writeFileSync(path, "relay-node-1:change me\n");
  await using end = new SensorEnd(server.url, {
    credentials: { kind: "user", path },
    inboxPrefix: relayInboxPrefix(place),
  });
  await end.connected();
  let running: RunningPlan = { generation: 0, digest: null };
  const plans = new PlanReader({
    connection: end.connection,
    conditions: end.conditions,
    place,
    key: operator.publicKey,
    running: () => running,
    take: async (_, { generation, digest }) => {
      running = { generation, digest };
    },
  });
  for (const generation of [1, 2]) {
    await operator.put({ generation, rules: [] });
    await until("the plan", () => running.generation === generation);
  }
  const service = new QueryService({
    connection: end.connection,
    service: { name: "tapline-relay", subject: relayQuerySubject(place), metadata: place },
    version: "0.1.0",
    answer: async () => ({ status: 200, type: "text/plain", body: Buffer.from("well") }),
  });
  const watcher = await asConsole(server);
  await until("an answer", async () => {
    const answer = await watcher.request(relayQuerySubject(place), '{"path":"/healthz"}').catch(() => undefined);
    return answer?.string() === "well";
  });
  const reports: string[] = [];
  watcher.subscribe("tapline.prod.report.>", { callback: (_, { subject }) => void reports.push(subject) });
  await watcher.flush();
  expect(
    new ReportPublisher(end.connection, end.conditions, relayReportSubject(place)).publish({ plan: running }),
  ).toBe(true);
  await until("a report", () => reports.length === 1);
  expect(reports).toEqual(["tapline.prod.report.relay.node-1%2Eexample%2Ecom"]);
  expect(end.raised).toEqual([]);
  await plans.close();
  await service.drain(1000);
  await watcher.close();
});
