// The chart's NATS, as it is rendered, in a real nats-server: its users, over TLS, each with its Secret.
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RunningPlan } from "#bus/plan-seal.ts";
import { PlanWriter } from "#bus/plan-writer.ts";
import { PlanReader } from "#bus/plans.ts";
import { QueryService } from "#bus/queries.ts";
import { ReportPublisher } from "#bus/reports.ts";
import {
  everyReport,
  inboxPrefix,
  operatorInboxPrefix,
  querySubject,
  relayInboxPrefix,
  relayQuerySubject,
  relayReportSubject,
  reportSubject,
} from "#domain/subjects.ts";
import { NatsServer } from "../bus/nats-server.ts";
import { PlanMaker } from "../bus/plan-maker.ts";
import { gap, SensorEnd, service, until } from "../bus/sensor-end.ts";
import { checkout } from "../e2e/cluster/instance.ts";
import { say } from "../e2e/kubectl.ts";
import { chart, firstStartMs, type KubeObject, named, objectsOf, rendered, tool } from "./helm.ts";

const fleet = "paris";
const place = { fleet, pool: "edge", node: "node-1.example.com" };
const folder = mkdtempSync(join(tmpdir(), "tapline-chart-nats-"));
const ca = join(folder, "ca/ca.crt");
const login = (role: string): string => join(folder, role, "user");
const passwords: Record<string, string> = {};
let config: string;
let server: NatsServer;

/** As the kubelet mounts it. */
function mount(objects: readonly KubeObject[], secret: string, at: string): Record<string, string> {
  const { data } = named(objects, "Secret", secret) as unknown as { data: Record<string, string> };
  mkdirSync(join(folder, at), { recursive: true });
  const files = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()] as const);
  for (const [key, value] of files) writeFileSync(join(folder, at, key), value);
  return Object.fromEntries(files);
}

beforeAll(async () => {
  const objects = objectsOf(await rendered("--set", `fleet=${fleet}`));
  mount(objects, "tapline-nats-server", "server");
  mount(objects, "tapline-nats-ca", "ca");
  for (const role of ["operator", "sensor", "relay", "console"])
    passwords[role] = mount(objects, `tapline-nats-${role}`, role)["user"]?.split(":")[1] ?? "";
  const { data } = named(objects, "ConfigMap", "tapline-nats") as unknown as { data: Record<string, string> };
  config = (data["nats.conf"] ?? "").replaceAll("/etc/nats/", `${folder}/server/`).replaceAll("/data", `${folder}/js`);
  // Its own address, port and folder come from the test's server.
  const here = config
    .replaceAll(/^(?:host|port|http): .*\n/gm, "")
    .replace("include ./", `include ../${basename(folder)}/server/`);
  // Of the version that the chart's image has: it refuses what older ones overlook.
  server = await NatsServer.start({ config: here, jetstream: false, program: await tool("nats-server") });
}, firstStartMs);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const by = (role: string, prefix: string): SensorEnd =>
  new SensorEnd(`tls://${server.address}`, {
    credentials: { kind: "user", path: login(role) },
    tls: { ca },
    inboxPrefix: prefix,
  });
const options = (role: string) => ({ user: role, pass: passwords[role] ?? "", tls: { caFile: ca } });
const asConsole = (): Promise<NatsConnection> =>
  connect({ servers: server.url, ...options("console"), inboxPrefix: "_INBOX.console" });

it("the server of the chart's image understands its configuration", async () => {
  const path = join(folder, "server/nats.conf");
  writeFileSync(path, config);
  const { code, stderr } = await say(await tool("nats-server"), ["-t", "-c", path]);
  expect(stderr).toContain("is valid");
  expect(code).toBe(0);
}, 300_000);

it("nobody is let in without a password, and nobody without TLS", async () => {
  await expect(connect({ servers: server.url, tls: { caFile: ca } })).rejects.toThrow(/Authorization/i);
  await expect(connect({ servers: server.url, ...options("sensor"), pass: "guess" })).rejects.toThrow(/Authorization/i);
  await expect(connect({ servers: server.url, ...options("sensor"), tls: {} })).rejects.toThrow(/certificate/);
});

it("the certificate is for the names that agents and operator use", () => {
  const names = spawnSync("openssl", ["x509", "-in", join(folder, "server/tls.crt"), "-noout", "-ext", "subjectAltName"], { encoding: "utf8" }); // biome-ignore format: one line
  expect(names.stdout).toContain("DNS:tapline-nats.tapline-system.svc");
  const lasts = ["x509", "-in", ca, "-noout", "-checkend", String(9 * 365 * 86_400)];
  expect(spawnSync("openssl", lasts).status).toBe(0);
});

it("each role does what it must, and nothing is refused", async () => {
  const watcher = await asConsole();
  const reports: string[] = [];
  watcher.subscribe(everyReport(fleet).replace(".sensor", ""), {
    callback: (_, { subject }) => void reports.push(subject),
  });
  await watcher.flush();

  await using sensor = by("sensor", inboxPrefix(place));
  await sensor.connected();
  const findings = sensor.publisher({ place });
  findings.add(gap(1));
  await until("findings", () => findings.figures.acknowledged === 1);
  new ReportPublisher(sensor.connection, sensor.conditions, reportSubject(place)).publish({ any: 1 });

  const operator = { ...options("operator"), inboxPrefix: operatorInboxPrefix(fleet) };
  const asOperator = await connect({ servers: server.url, ...operator });
  const key = generateKeyPairSync("ed25519").privateKey;
  const writer = await PlanWriter.open({ session: asOperator, fleet, key, now: () => new Date().toISOString() });
  expect(await writer.read(place.node)).toBeUndefined();
  await using maker = await PlanMaker.open(server.url, place, operator);
  await using relay = by("relay", relayInboxPrefix(place));
  await relay.connected();
  let running: RunningPlan = { generation: 0, digest: null };
  const plans = new PlanReader({
    connection: relay.connection,
    conditions: relay.conditions,
    place,
    key: maker.publicKey,
    running: () => running,
    take: async (_, { generation, digest }) => {
      running = { generation, digest };
    },
  });
  for (const generation of [1, 2]) {
    await maker.put({ generation, rules: [] });
    await until("the plan", () => running.generation === generation);
  }
  new ReportPublisher(relay.connection, relay.conditions, relayReportSubject(place)).publish({ any: 1 });

  const answer = async () => ({ status: 200, type: "text/plain", body: Buffer.from("well") });
  const services = [
    new QueryService({ connection: sensor.connection, service: service(place), version: "0.1.0", answer }),
    new QueryService({ connection: relay.connection, service: { name: "tapline-relay", subject: relayQuerySubject(place), metadata: { fleet } }, version: "0.1.0", answer }), // biome-ignore format: one line
  ];
  for (const session of [watcher, asOperator])
    for (const subject of [querySubject(place), relayQuerySubject(place)])
      await until(`an answer from ${subject}`, async () => {
        const said = await session.request(subject, '{"path":"/healthz"}').catch(() => undefined);
        return said?.string() === "well";
      });
  await until("both reports", () => reports.length === 2);
  expect(sensor.raised).toEqual([]);
  expect(relay.raised).toEqual([]);

  // Draining the fleet: plans and their places go.
  const manager = await asOperator.jetstreamManager({ checkAPI: false });
  for (const stream of [`KV_tapline-plans-${fleet}`, `OBJ_tapline-plans-${fleet}`])
    expect(await manager.streams.delete(stream)).toBe(true);
  await plans.close();
  for (const one of services) await one.drain(1000);
  await asOperator.close();
  await watcher.close();
});

it.each([
  ["sensor", "publish", `$KV.tapline-plans-${fleet}.node-1`],
  ["sensor", "publish", relayReportSubject(place)],
  ["sensor", "subscribe", relayQuerySubject(place)],
  ["sensor", "subscribe", everyReport(fleet)],
  ["relay", "publish", `$KV.tapline-plans-${fleet}.node-1`],
  ["relay", "publish", `$O.tapline-plans-${fleet}.M.x`],
  ["relay", "publish", `$JS.API.STREAM.DELETE.KV_tapline-plans-${fleet}`],
  ["relay", "publish", reportSubject(place)],
  ["console", "publish", reportSubject(place)],
  ["console", "publish", `$KV.tapline-plans-${fleet}.node-1`],
  ["operator", "publish", reportSubject(place)],
  ["operator", "publish", reportSubject({ ...place, fleet: "rome" })],
] as const)("a %s may not %s %s", async (role, operation, subject) => {
  const session = await connect({ servers: server.url, ...options(role) });
  const refused: string[] = [];
  void (async () => {
    for await (const status of session.status()) refused.push(JSON.stringify(status)); // does not end with the session
  })();
  if (operation === "publish") session.publish(subject, "x");
  else session.subscribe(subject, { callback: () => undefined });
  await session.flush();
  await until("the refusal", () => refused.length > 0);
  expect(refused[0]).toMatch(/permission/i);
  await session.close();
});

it("helm's test says whether a packet was counted, and what to look at when none was", async () => {
  const script = join(chart, "files/counted.cjs");
  const env = { ...process.env, NATS_URL: server.url, FLEET: fleet, LOGIN: "user", MOUNT: folder };
  mkdirSync(join(folder, "login"), { recursive: true });
  writeFileSync(join(folder, "login/user"), `console:${passwords["console"]}`);
  const ask = (seconds: number, source = script) =>
    say(process.execPath, ["-e", `require(${JSON.stringify(source)})`], { env: { ...env, SECONDS: String(seconds) } });

  expect(await ask(1)).toMatchObject({ code: 1, stderr: expect.stringContaining("no sensor of fleet paris reported within 1 s: is there a SensorPool?") }); // biome-ignore format: one line
  await using sensor = by("sensor", inboxPrefix(place));
  await sensor.connected();
  const publisher = new ReportPublisher(sensor.connection, sensor.conditions, reportSubject(place));
  let delivered = 0;
  const beat = setInterval(() => publisher.publish({ ...place, interfaces: [{ delivered }, { delivered: 0 }] }), 100);
  try {
    expect(await ask(1)).toMatchObject({ code: 1, stderr: expect.stringContaining("node-1.example.com reported, and no packet was counted") }); // biome-ignore format: one line
    delivered = 7;
    const started = performance.now();
    expect(await ask(60)).toEqual({
      code: 0,
      stdout: "ok: the sensor of pool edge on node-1.example.com counted 7 packets\n",
      stderr: "",
    });
    expect(performance.now() - started).toBeLessThan(20_000); // it does not wait on when it knows
  } finally {
    clearInterval(beat);
  }
  const elsewhere = { ...env, NATS_URL: "nats://127.0.0.1:1", SECONDS: "1" };
  const lost = await say(process.execPath, ["-e", `require(${JSON.stringify(script)})`], { env: elsewhere, cwd: checkout } as object); // biome-ignore format: one line
  expect(lost).toMatchObject({ code: 1, stderr: expect.stringContaining("NATS at nats://127.0.0.1:1: ") });
});
