// The operator as a user meets it, on a real cluster: installed by Helm, asked by kubectl, believed because its numbers are those of the traffic that was sent. Each story goes on where
// the one before it ended, on the cluster that is made here: it needs the wires between the nodes.
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { RelayRuleStatus } from "#domain/relay-rule-status.ts";
import type { SensorPoolStatus } from "#domain/sensor-pool.ts";
import { about, exact } from "#operator/fleet/words.ts";
import { members } from "./cluster/cgroups.ts";
import { Machine } from "./cluster/machine.ts";
import { nodeAddress } from "./cluster/wiring.ts";
import { eventually, type Kubectl } from "./kubectl.ts";
import { type LocalStage, localStage } from "./provider.ts";
import { Release, says } from "./release.ts";
import { Arrivals, Feed, Lossy, sendFlows } from "./traffic.ts";

// Each step has a time of its own; this one only ends what hangs.
vi.setConfig({ testTimeout: 300_000 });

/** What is promised: a status says it within so many seconds. */
const toldSeconds = 15;
/** So many packets over three hops; the million with RELAY_PACKETS=1000000. */
const packets = Number(process.env["RELAY_PACKETS"] ?? 100_000);
const pps = 20_000;

let opened: LocalStage;
let kubectl: Kubectl;
let release: Release;
const node = (number: number): Machine => Machine.of(opened.cluster, `node${number}`);

// The first time on a machine, Kubernetes, Helm, NATS and the image are built.
beforeAll(async () => {
  opened = await localStage();
  ({ kubectl } = opened);
  // No neighbour discovery: every frame between the nodes is these tests' own.
  for (const number of [1, 2, 3])
    for (const other of [1, 2, 3].filter((one) => one !== number))
      await node(number).run(["sysctl", "-qw", `net.ipv6.conf.to-node${other}.disable_ipv6=1`]);
  release = await Release.install(opened);
}, 1_500_000);
afterAll(() => opened[Symbol.asyncDispose](), 60_000);
afterEach(async ({ task }) => {
  if (task.result?.state !== "fail") return;
  console.error(await kubectl.run("get", "pods,sensorpools,relayrules,fleetnodes", "-o", "wide"));
  for (const of of ["operator", "nats", "sensor", "relay"])
    console.error((await kubectl.try(["logs", "-l", `app.kubernetes.io/component=${of}`, "--tail=25", "--prefix"])).stdout);
}); // biome-ignore format: one command

const isReady = (object: string): Promise<string> =>
  kubectl.run("wait", "--for=condition=Ready", object, "--timeout=90s");

const pool = {
  apiVersion: "tapline.dev/v1alpha1",
  kind: "SensorPool",
  metadata: { name: "fabric" },
  spec: {
    interfaces: [{ glob: "to-node*" }],
    capture: { ring: { blockKiB: 256, blocks: 16 } },
    analysis: { settle: "1s", maxFlows: 100_000 },
    budget: { memoryMiB: 256 },
  },
};

test("a SensorPool becomes Ready, and tells exactly how many packets were sent over the fabric and how many of them were lost", async () => {
  await kubectl.apply(pool);
  await isReady("sensorpool/fabric");
  const sent = await sendFlows(node(1), "to-node2", { packets: 40_000, pps: 10_000, flows: 20, loseEvery: 100 });
  expect(sent.skipped).toBeGreaterThan(300);
  const { totals, conditions, ...counts } = await says<SensorPoolStatus>(kubectl, "sensorpool/fabric", toldSeconds, (status) => status.totals?.packets === sent.sent && status.totals.lost === sent.skipped); // biome-ignore format: one call
  expect(counts).toMatchObject({ desired: 3, ready: 3, reporting: 3 });
  expect(totals).toMatchObject({ packets: sent.sent, bytes: sent.bytes, lost: sent.skipped, drops: {}, suspect: 0, flows: sent.flows }); // biome-ignore format: one row
  const standing = Object.fromEntries((conditions ?? []).map(({ type, status }) => [type, status]));
  expect(standing).toEqual({ Accepted: "True", Ready: "True", Accounted: "True", Degraded: "False" });
});

test("helm test says so: a packet was counted", async () => {
  expect(await release.helm("test", ["--logs"])).toMatch(/ok: the sensor of pool fabric on node[123] counted [1-9]\d* packets/);
}); // biome-ignore format: one call

const feed = { group: "239.1.1.1", port: 5001 };
const carried = { group: "239.2.2.2", port: 5002 };
const rule = {
  apiVersion: "tapline.dev/v1alpha1",
  kind: "RelayRule",
  metadata: { name: "feed" },
  spec: {
    hops: [
      { name: "source", nodes: { names: ["node1"] }, from: { interface: "to-node3", ...feed }, to: [{ hop: "core" }] },
      { name: "core", nodes: { names: ["node2"] }, to: [{ hop: "edge" }] },
      { name: "edge", nodes: { names: ["node3"] }, to: [{ interface: "to-node2", ...carried, ttl: 4 }] },
    ],
  },
};
/** Of all stories together: the counters go on. */
const all = { sent: 0, lost: 0 };
const startFeed = (options: { packets?: number; seconds?: number; pps: number }): Feed =>
  new Feed(node(3), "to-node1", { ...options, ...feed });
const rules = (expected: Parameters<typeof says<RelayRuleStatus>>[3]): Promise<RelayRuleStatus> =>
  says<RelayRuleStatus>(kubectl, "relayrule/feed", toldSeconds, expected);
/** What went in and came out of all hops, to the packet. */
const isExact = ({ received, sent, lost, segments }: RelayRuleStatus): boolean =>
  received === all.sent && sent === all.sent - all.lost && lost === all.lost &&
  JSON.stringify(segments?.map((one) => [one.from, one.sent, one.lost])) === JSON.stringify([["source", all.sent, 0], ["core", all.sent, all.lost]]); // biome-ignore format: one condition

test("a RelayRule over three nodes becomes Ready, and carries every packet: multicast, tunnel, tunnel, multicast", async () => {
  await kubectl.apply(rule);
  await isReady("relayrule/feed");
  using arrivals = await Arrivals.at(node(2), "to-node3", carried);
  using sending = startFeed({ packets, pps });
  all.sent += (await sending.sent()).sent;
  expect(await arrivals.counted(packets)).toMatchObject({ received: packets, unique: packets, lost: 0, duplicate: 0, first: { ttl: 4 } }); // biome-ignore format: one row
  const status = await rules((one, condition) => isExact(one) && condition("Lossless")?.status === "True");
  expect(status).toMatchObject({ nodes: 3, programmed: 3, dropped: 0 });
});

test("one packet in a hundred lost in the middle: while it happens the status names the segment, afterwards it has the exact number", async () => {
  const lossy = new Lossy(Machine.of(opened.cluster, "control"), "node2", nodeAddress(3));
  using sending = startFeed({ seconds: 120, pps });
  await lossy.lose(100);
  await rules((_, condition) => condition("Lossless")?.status === "False" && condition("Lossless")?.message.startsWith("core → edge: ") === true); // biome-ignore format: one call
  all.sent += (await sending.stop()).sent;
  all.lost += await lossy.mend();
  expect(all.lost).toBeGreaterThan(100);
  await rules((one, condition) => isExact(one) && condition("Lossless")?.message === `core → edge: ${exact(all.lost)} of ${about(all.sent)}, in the network`); // biome-ignore format: one call
});

test("the link breaks: the status says where nothing arrives any more, and afterwards how many packets that were", async () => {
  const lossy = new Lossy(Machine.of(opened.cluster, "control"), "node2", nodeAddress(3));
  using sending = startFeed({ seconds: 120, pps });
  await rules(({ pps: now = 0 }) => now > 0);
  await lossy.lose(1);
  await rules((_, condition) => /^core → edge: .* in the network: nothing arrives any more$/.test(condition("Lossless")?.message ?? "")); // biome-ignore format: one call
  all.sent += (await sending.stop()).sent;
  const before = all.lost;
  all.lost += await lossy.mend();
  expect(all.lost).toBeGreaterThan(before);
  await rules((one, condition) => isExact(one) && condition("Lossless")?.message.startsWith(`core → edge: ${exact(all.lost)} of `) === true); // biome-ignore format: one call
});

test("under traffic the leader is killed, NATS is deleted, then every relay: no packet is lost, another leads within 20 s, and all is Ready again by itself", async () => {
  using arrivals = await Arrivals.at(node(2), "to-node3", carried);
  using sending = startFeed({ seconds: 280, pps: 2000 });
  const first = await release.leader();
  const killed = performance.now();
  killOperator(first ?? "");
  await eventually("another leads", 20, async () => {
    const now = await release.leader();
    return now !== undefined && now !== first;
  });
  console.log(`another leads after ${((performance.now() - killed) / 1000).toFixed(1)} s`);
  await restarted("nats", 1);
  await restarted("relay", 3);
  const { sent, numbers } = await sending.stop();
  all.sent += sent;
  expect(await arrivals.counted(numbers)).toMatchObject({ unique: sent, lost: 0, duplicate: 0 });
  await says<RelayRuleStatus>(kubectl, "relayrule/feed", 90, (one, condition) => isExact(one) && condition("Ready")?.status === "True" && condition("Programmed")?.status === "True"); // biome-ignore format: one call
  await isReady("sensorpool/fabric");
});

/** As the kernel does it to one that takes too much memory: it has no time to give its lease back. */
function killOperator(leader: string): void {
  const [pod = ""] = leader.split("_");
  const said = (pid: number, what: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${what}`, "utf8");
    } catch (error) {
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return ""; // it has ended meanwhile
      throw error;
    }
  };
  const own = members(opened.cluster.cgroup).filter((pid) => said(pid, "cmdline").includes("/etc/tapline/operator.yaml") && said(pid, "environ").split("\0").includes(`HOSTNAME=${pod}`)); // biome-ignore format: one condition
  expect(own.length, `processes of ${leader}`).toBeGreaterThan(0);
  for (const pid of own) process.kill(pid, "SIGKILL");
}

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly uid: string };
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}

/** All pods of a component are deleted; ends when as many others are ready in their place. */
async function restarted(component: string, count: number): Promise<void> {
  const which = ["pods", "-l", `app.kubernetes.io/component=${component}`];
  const old = new Set((await kubectl.get<Pods>(...which)).items.map(({ metadata }) => metadata.uid));
  expect(old.size).toBe(count);
  await kubectl.run("delete", ...which, "--wait=false");
  await eventually(`${count} new pods of ${component}`, 60, async () => {
    const { items } = await kubectl.get<Pods>(...which);
    const fresh = items.filter(({ metadata, status }) => !old.has(metadata.uid) && status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True")); // biome-ignore format: one condition
    return fresh.length === count && items.length === count;
  });
}

test("when RelayRules and SensorPools are deleted, no agent stays on a node", async () => {
  await kubectl.run("delete", "relayrules,sensorpools", "--all", "--timeout=90s");
  await eventually("no agent runs", 60, async () => {
    const which = ["pods", "-l", "app.kubernetes.io/component in (sensor,relay)"];
    return (await kubectl.get<Pods>(...which)).items.length === 0;
  });
  expect(await kubectl.run("get", "nodes", "-l", "tapline.dev/relay", "-o", "name")).toBe("");
});
