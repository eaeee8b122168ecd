// The leader's work on a real apiserver and a real nats-server, with relays' own plan readers at the other end: objects in, DaemonSets, labels, signed plans in the right
// order and statuses out. Nothing here runs pods: relays report what they would count.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Registry } from "prom-client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { operatorConfig } from "#domain/operator-config.ts";
import { lead } from "#operator/lead.ts";
import { EventRecorder } from "#operator/runtime/events.ts";
import { createLogs } from "#process/log.ts";
import { NatsServer } from "../bus/nats-server.ts";
import { eventually, type Manifest } from "../e2e/kubectl.ts";
import { ActingRelay } from "./acting-relay.ts";
import { type ApiserverAlone, firstStartMs } from "./apiserver-alone.ts";
import { direct, makeClient, makeFigures, recordedLog } from "./parts.ts";
import { startWithCrds } from "./with-crds.ts";

let alone: ApiserverAlone;
let server: NatsServer;
const ending = new AbortController();
const recorded = recordedLog();
let leading: Promise<void> = Promise.resolve();
const relays: ActingRelay[] = [];
/** which node took which plan: node:outputs of each rule */
const taken: string[] = [];

beforeAll(async () => {
  [alone, server] = await Promise.all([startWithCrds(), NatsServer.start()]);
}, firstStartMs);
afterAll(async () => {
  ending.abort();
  await leading;
  for (const relay of relays) await relay.close();
  await server[Symbol.asyncDispose]();
  await alone[Symbol.asyncDispose]();
});

const node = (name: string): Manifest => ({ apiVersion: "v1", kind: "Node", metadata: { name, labels: { role: name.split("-")[0] } } }); // biome-ignore format: one row
const feed = { apiVersion: "tapline.dev/v1alpha1", kind: "RelayRule", metadata: { name: "feed" }, spec: { hops: [
  { name: "core", nodes: { names: ["core-1.example"] }, from: { interface: "eth1", group: "239.1.1.1", port: 5000 }, to: [{ hop: "edge" }] },
  { name: "edge", nodes: { selector: { matchLabels: { role: "edge" } } }, to: [{ interface: "eth2", group: "239.1.1.1", port: 5000, ttl: 4 }] },
] } }; // biome-ignore format: one object
const pool = (name: string) => ({ apiVersion: "tapline.dev/v1alpha1", kind: "SensorPool", metadata: { name }, spec: { nodes: { selector: { matchLabels: { role: "edge" } } }, interfaces: [{ name: "eth1" }] } }); // biome-ignore format: one row

const put = (...objects: Manifest[]) => alone.kubectl.apply(...objects);
const get = async (...what: string[]): Promise<string> => (await alone.kubectl.run("get", ...what)).trim();
const condition = (kind: string, name: string, type: string): Promise<string> =>
  get(kind, name, "-o", `jsonpath={.status.conditions[?(@.type=="${type}")].status} {.status.conditions[?(@.type=="${type}")].message}`); // biome-ignore format: one call
const until = (what: string, kind: string, name: string, type: string, expected: RegExp): Promise<unknown> =>
  eventually(what, 25, async () => expected.test(await condition(kind, name, type)));

afterEach(({ task }) => {
  if (task.result?.state === "fail") console.error(JSON.stringify([taken, recorded.lines.slice(-30)], null, 1));
});

test("objects become DaemonSets, labels, FleetNodes and plans, receivers before senders; loss is told; removal goes the other way", async () => {
  await put({ apiVersion: "v1", kind: "Namespace", metadata: { name: "tapline" } });
  for (const [name, address] of [
    ["core-1.example", "10.0.0.1"],
    ["edge-1", "10.0.0.11"],
    ["edge-2", "10.0.0.12"],
  ] as const) {
    // biome-ignore format: one row
    await put(node(name));
    await alone.kubectl.run("patch", "node", name, "--subresource=status", "--type=merge", "-p", JSON.stringify({ status: { addresses: [{ type: "InternalIP", address }] } })); // biome-ignore format: one call
  }
  const config = operatorConfig.parse({ fleet: "prod", namespace: "tapline", nats: { url: server.url }, agents: { image: "tapline:1", nats: { sensorSecret: "s", relaySecret: "r" } } }); // biome-ignore format: one call
  const client = makeClient(direct(alone.kubeconfig), { fieldManager: "tapline-operator" });
  const { metrics } = makeFigures();
  const logs = { ...createLogs({ level: "critical" }), facility: () => recorded.log };
  const events = new EventRecorder({ client, controller: "test", instance: "test", metrics, log: recorded.log }); // biome-ignore format: one call
  const begin = (signal: AbortSignal) => lead({ config, client, forNodes: client, events, metrics, registry: new Registry(), logs, ready: () => undefined }, signal); // biome-ignore format: one call
  const first = new AbortController();
  leading = begin(AbortSignal.any([ending.signal, first.signal]));
  await eventually("the key is there", 20, async () => (await get("configmap", "-n", "tapline", "--ignore-not-found", "tapline-plan-key")) !== ""); // biome-ignore format: one call
  const pem = JSON.parse(await get("configmap", "-n", "tapline", "tapline-plan-key", "-o", "json")).data["operator.pem"]; // biome-ignore format: one row
  const [core, edge1, edge2] = ["core-1.example", "edge-1", "edge-2"].map((name) => new ActingRelay({ node: name, fleet: "prod", url: server.url, pem, took: (text) => taken.push(text) })) as [ActingRelay, ActingRelay, ActingRelay]; // biome-ignore format: one row
  relays.push(core, edge1, edge2);

  await put(feed, pool("first"));
  await sleep(1100); // the API's times have seconds
  await put(pool("second"));
  await until("ready", "relayrule", "feed", "Ready", /^True every output can send/);
  expect(taken.at(-1)).toBe("core-1.example:2");
  expect(taken.indexOf("edge-1:1")).toBeLessThan(taken.indexOf("core-1.example:2"));
  expect(await get("nodes", "-l", "tapline.dev/relay=true", "-o", "name")).toBe("node/core-1.example\nnode/edge-1\nnode/edge-2"); // biome-ignore format: one row
  expect(await get("daemonsets", "-n", "tapline", "-o", "name")).toBe("daemonset.apps/tapline-relay\ndaemonset.apps/tapline-sensor-first"); // biome-ignore format: one row
  expect(await get("fleetnodes", "-o", "name")).toContain("fleetnode.tapline.dev/core-1.example");
  await until("the younger pool is refused", "sensorpool", "second", "Accepted", /^False eth1 on edge-1 is watched by the older pool first already: second and first cannot both/); // biome-ignore format: one call
  await eventually("an event tells it", 10, async () => (await get("events", "--field-selector", "involvedObject.kind=SensorPool", "-o", "name")) !== ""); // biome-ignore format: one call
  await until("the node runs it", "fleetnode", "edge-1", "Programmed", /^True plan \d+ runs/);

  // Another operator begins, and then NATS loses all plans: neither is a reason for anybody to send less.
  first.abort();
  await leading;
  leading = begin(ending.signal);
  const began = taken.length;
  await put({ ...feed, metadata: { name: "beside" }, spec: { hops: [{ name: "core", nodes: { names: ["core-1.example"] }, from: { interface: "eth1", group: "239.9.9.9", port: 9 }, to: [{ interface: "eth2" }] }] } }); // biome-ignore format: one call
  await eventually("the new operator's plan", 30, async () => taken.slice(began).includes("core-1.example:1,2"));
  await server.down("SIGKILL");
  rmSync(join(server.dir, "js"), { recursive: true });
  const lost = taken.length;
  await server.up();
  for (const again of ["core-1.example:1,2", "edge-1:1", "edge-2:1"])
    await eventually(`${again} again`, 60, async () => taken.slice(lost).includes(again));
  expect(new Set(taken.slice(began))).toEqual(new Set(["core-1.example:1,2", "edge-1:1", "edge-2:1"]));
  await alone.kubectl.run("delete", "relayrule", "beside", "--timeout=30s");

  // A tenth is lost on the way to edge-2.
  for (let second = 0; second < 6; second++) {
    core.matched += 10_000;
    edge1.matched += 10_000;
    edge2.matched += 9000;
    edge2.lost += 1000;
    await sleep(1000);
  }
  await until("the loss", "relayrule", "feed", "Lossless", /^False core → edge-2: 6,000 of 60,000, in the network$/);

  await alone.kubectl.run("delete", "relayrule", "feed", "--timeout=30s");
  expect(taken.slice(-3)[0]).toBe("core-1.example:");
  expect(taken.slice(-2).sort()).toEqual(["edge-1:", "edge-2:"]);
  await eventually("no relay is wanted", 10, async () => (await get("nodes", "-l", "tapline.dev/relay=true", "-o", "name")) === ""); // biome-ignore format: one call
}, 180_000);
