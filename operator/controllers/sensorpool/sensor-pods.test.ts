// SensorPools → DaemonSets: what is granted follows from the spec, what the sensor reads is a configuration that it takes, and pools do not get in each other's way.
import { expect, test } from "vitest";
import { parse } from "yaml";
import { operatorConfig } from "#domain/operator-config.ts";
import { sensorConfig } from "#domain/sensor-config.ts";
import { sensorPoolSpec } from "#domain/sensor-pool.ts";
import { relayConfig } from "#domain/relay-config.ts";
import { parseConfig } from "#process/config.ts";
import type { Surroundings } from "../agent-pod.ts";
import type { NodeFacts } from "../nodes.ts";
import { relayLabels, relayPods } from "../relayrule/relay-pods.ts";
import { refusedPools } from "./claims.ts";
import type { PoolObject } from "./pool-object.ts";
import { allotPorts } from "./ports.ts";
import { sensorPods } from "./sensor-pods.ts";

const agents = { image: "registry.example/tapline:1.2.3", nats: { sensorSecret: "nats-sensor", relaySecret: "nats-relay", caSecret: "nats-ca" } }; // biome-ignore format: one row
const config = operatorConfig.parse({ fleet: "prod", namespace: "tapline", nats: { url: "tls://nats:4222" }, agents });
const around: Surroundings = { fleet: "prod", namespace: "tapline", nats: config.nats, agents: config.agents, planKey: "tapline-plan-key" }; // biome-ignore format: one row
const pool = (name: string, spec: object = {}, created = "2026-11-21T10:00:00Z"): PoolObject => ({
  name, uid: `uid-${name}`, created, generation: 1, spec: sensorPoolSpec.parse({ interfaces: [{ name: "eth1" }], ...spec }),
}); // biome-ignore format: one row
const ports = { api: 3001, metrics: 9464 };
interface Pod {
  containers: {
    securityContext: object;
    resources: object;
    env: { name: string }[];
    volumeMounts: { mountPath: string; readOnly?: boolean }[];
  }[];
  volumes: { name: string; hostPath?: { path: string } }[];
}
const podOf = ({ spec }: { spec: Readonly<Record<string, unknown>> }): Pod => (spec["template"] as { spec: Pod }).spec;
const environment = { TAPLINE_NODE: "node-1", TAPLINE_ADDRESS: "10.0.0.1" };

test("a plain pool: the whole DaemonSet", () => {
  const { daemonSet } = sensorPods(pool("edge", { nodes: { selector: { matchLabels: { role: "edge" } } } }), ports, around); // biome-ignore format: one row
  expect(daemonSet).toMatchSnapshot();
});

test("nobody is privileged, and capabilities and folders are those that the spec needs", () => {
  const granted = (spec: object): unknown => {
    const { containers: [one], volumes } = podOf(sensorPods(pool("edge", spec), ports, around).daemonSet); // biome-ignore format: one row
    expect(one?.securityContext).toMatchObject({ privileged: false, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } }); // biome-ignore format: one row
    const { add } = (one as unknown as { securityContext: { capabilities: { add: string[] } } }).securityContext.capabilities; // biome-ignore format: one row
    return [add.join(" "), volumes.flatMap(({ hostPath }) => hostPath?.path ?? [])];
  };
  const store = "/var/lib/tapline/pools/edge";
  expect(granted({})).toEqual(["IPC_LOCK NET_ADMIN NET_RAW", [store]]);
  expect(granted({ capture: { threads: 4 } })).toEqual(["BPF IPC_LOCK NET_ADMIN NET_RAW", [store]]);
  expect(granted({ pinning: { policy: "NicLocal", irq: "Manage" } })).toEqual(["IPC_LOCK NET_ADMIN NET_RAW SYS_NICE", [store, "/proc/irq"]]); // biome-ignore format: one row
  expect(granted({ store: { emptyDir: true } })).toEqual(["IPC_LOCK NET_ADMIN NET_RAW", []]);
  expect(granted({ store: { path: "/var/lib/tapline/x" } })).toEqual(["IPC_LOCK NET_ADMIN NET_RAW", ["/var/lib/tapline/x"]]); // biome-ignore format: one row
});

test("the sensor takes the configuration that it is given, with its node's name and address", () => {
  const spec = { capture: { threads: 2, filter: "not port 22" }, analysis: { settle: "500ms" }, budget: { memoryMiB: 256, cpu: "500m" }, export: { otlp: { endpoint: "http://otel:4318" } } }; // biome-ignore format: one row
  const { configMap, daemonSet } = sensorPods(pool("edge", spec), { api: 3003, metrics: 9466 }, around);
  const read = parseConfig(configMap.data["sensor.yaml"] ?? "", sensorConfig, environment);
  expect(read).toMatchObject({ value: { name: "node-1", metrics: { host: "10.0.0.1", port: 9466 }, api: { enabled: false }, nats: { fleet: "prod", pool: "edge", userFile: "/nats/login/user", tls: { caFile: "/nats/ca/ca.crt" } }, analysis: { settle: 500_000_000 }, budget: { memoryMiB: 256 }, store: { path: "/var/lib/tapline/pools/edge/sensor.db" } } }); // biome-ignore format: one row
  expect(podOf(daemonSet).containers[0]?.resources).toEqual({ requests: { cpu: "500m", memory: "256Mi" }, limits: { memory: "320Mi", cpu: "500m" } }); // biome-ignore format: one row
});

test("a changed spec rolls the pods, and one that changes nothing for them does not", () => {
  const digest = (spec: object): unknown => (sensorPods(pool("edge", spec), ports, around).daemonSet.spec["template"] as { metadata: { annotations: object } }).metadata.annotations; // biome-ignore format: one row
  expect(digest({ capture: { threads: 2 } })).not.toEqual(digest({}));
  expect(digest({ rollout: { maxUnavailable: 3 } })).toEqual(digest({}));
});

test("the relays: a configuration that they take, pins and state of the node, and a template that no rule is in", () => {
  const { configMap, daemonSet } = relayPods(around);
  expect(parseConfig(configMap.data["relay.yaml"] ?? "", relayConfig, environment)).toMatchObject({ value: { name: "node-1", nats: { plan: { publicKeyFile: "/plan-key/operator.pem" } } } }); // biome-ignore format: one row
  const { containers, volumes } = podOf(daemonSet);
  expect(volumes.flatMap(({ hostPath }) => hostPath?.path ?? [])).toEqual([
    "/var/lib/tapline/relay",
    "/sys/fs/bpf/tapline/prod",
  ]);
  expect(containers[0]?.securityContext).toMatchObject({ capabilities: { add: ["BPF", "IPC_LOCK", "NET_ADMIN", "NET_RAW", "PERFMON"] } }); // biome-ignore format: one row
  expect(parse(JSON.stringify(daemonSet))).toEqual(relayPods(around).daemonSet);
});

test("labels place relays where there is something to do, and are taken away where there is nothing any more", () => {
  const nodes = [{ name: "new", labels: {} }, { name: "has", labels: { "tapline.dev/relay": "true" } }, { name: "was", labels: { "tapline.dev/relay": "true" } }]; // biome-ignore format: one row
  expect([...relayLabels(nodes, (node) => node !== "was")]).toEqual([["new", true], ["was", false]]); // biome-ignore format: one row
});

test("ports: the oldest pool has the usual ones, the relay's are nobody's, and a pool keeps what it has", () => {
  const pools = [pool("c", {}, "2026-11-23T00:00:00Z"), pool("a", {}, "2026-11-21T00:00:00Z"), pool("b", {}, "2026-11-22T00:00:00Z")]; // biome-ignore format: one row
  const first = allotPorts(pools, () => undefined);
  expect([...first].map(([name, { api, metrics }]) => `${name} ${api} ${metrics}`)).toEqual(["a 3001 9464", "b 3003 9466", "c 3004 9467"]); // biome-ignore format: one row
  const without = allotPorts(pools.filter(({ name }) => name !== "a"), (name) => first.get(name)); // biome-ignore format: one row
  expect(without.get("c")).toEqual({ api: 3004, metrics: 9467 });
  const again = allotPorts([...pools.slice(0, 1), pools[2] as PoolObject, pool("d", {}, "2026-11-24T00:00:00Z")], (name) => first.get(name)); // biome-ignore format: one row
  expect(again.get("d")).toEqual({ api: 3001, metrics: 9464 });
});

test.each<[string, object, object, RegExp | undefined]>([
  ["one name twice", {}, {}, /^eth1 on node-1 is watched by the older pool old already: young and old cannot both/],
  ["other names", {}, { interfaces: [{ name: "eth2" }] }, undefined],
  ["a glob over a name", {}, { interfaces: [{ glob: "eth*" }] }, /^eth1 on node-1/],
  ["a glob that leaves it out", {}, { interfaces: [{ glob: "eth*", exclude: ["eth1"] }] }, undefined],
  ["two globs that meet in what the node has", { interfaces: [{ glob: "e*7" }] }, { interfaces: [{ glob: "eth*" }] }, /^eth7 on node-1/],
  ["two globs that do not", { interfaces: [{ glob: "en*" }] }, { interfaces: [{ glob: "eth*" }] }, undefined],
  ["one driver", { interfaces: [{ driver: "ixgbe" }] }, { interfaces: [{ driver: "ixgbe" }] }, /^driver ixgbe on node-1/],
  ["other nodes", { nodes: { selector: { matchLabels: { role: "x" } } } }, { nodes: { selector: { matchLabels: { role: "y" } } } }, undefined],
])("two pools with %s", (_, old, young, expected) => {
  const nodes = new Map<string, NodeFacts>([["node-1", { name: "node-1", labels: { role: "x" }, addresses: [], interfaces: new Map([["eth7", { mtu: 1500 }]]) }]]);
  const refused = refusedPools([pool("young", young), pool("old", old, "2026-11-20T10:00:00Z")], nodes);
  expect([...refused.keys()]).toEqual(expected ? ["young"] : []);
  if (expected) expect(refused.get("young")).toMatchObject({ reason: "InterfaceClaimed", message: expect.stringMatching(expected) });
}); // biome-ignore format: a table
