// A fleet that is made up: how many of what, and the objects themselves. Pure. Nodes are as large as real ones, images and all, since the operator has to hold them.
import type { Manifest } from "../../e2e/kubectl.ts";

export const fleet = "bench";
export const namespace = "tapline";

export interface FleetShape {
  readonly nodes: number;
  readonly pools: number;
  readonly rules: number;
  /** nodes of one rule: a source, a core, and edges that its tunnels end at */
  readonly edges: number;
}

const mostEdges = 60;
export function fleetShape(nodes: number): FleetShape {
  const rules = Math.min(16, Math.max(2, Math.floor(nodes / (mostEdges + 2))));
  return { nodes, pools: 4, rules, edges: Math.min(mostEdges, Math.floor(nodes / rules) - 2) };
}

export const nodeName = (node: number): string => `node-${String(node).padStart(5, "0")}.example.net`;
export const poolName = (pool: number): string => `pool-${pool}`;
export const ruleName = (rule: number): string => `feed-${rule}`;
export const poolOf = (node: number, { pools }: FleetShape): number => node % pools;

/** A node's part in a rule: source and core are one each, edges are counted from 0. Undefined: it has none. */
export interface Part {
  readonly rule: number;
  readonly hop: "source" | "core" | "edge";
  readonly edge: number;
}
export function partOf(node: number, { rules, edges }: FleetShape): Part | undefined {
  const size = edges + 2;
  const rule = Math.floor(node / size);
  const at = node % size;
  if (rule >= rules) return undefined;
  return { rule, hop: at === 0 ? "source" : at === 1 ? "core" : "edge", edge: at - 2 };
}

const poolLabel = "bench.example.net/pool";
const feedLabel = "bench.example.net/feed";
const object = (kind: string, name: string, spec: object): Manifest => ({ apiVersion: "tapline.dev/v1alpha1", kind, metadata: { name }, spec }); // biome-ignore format: one row

export const sensorPool = (pool: number): Manifest =>
  object("SensorPool", poolName(pool), {
    nodes: { selector: { matchLabels: { [poolLabel]: poolName(pool) } } },
    interfaces: [{ name: "eth1" }, { name: "eth2" }],
  });

/** Multicast → tunnel → tunnel → multicast. */
export function relayRule(rule: number, { edges }: FleetShape): Manifest {
  const first = rule * (edges + 2);
  const group = `239.1.${rule}.1`;
  return object("RelayRule", ruleName(rule), {
    hops: [
      { name: "source", nodes: { names: [nodeName(first)] }, from: { interface: "eth1", group, port: 5000 }, to: [{ hop: "core" }] },
      { name: "core", nodes: { names: [nodeName(first + 1)] }, to: [{ hop: "edge" }] },
      { name: "edge", nodes: { selector: { matchLabels: { [feedLabel]: ruleName(rule) } } }, to: [{ interface: "eth2", group, port: 5000, ttl: 4 }] },
    ],
  }); // biome-ignore format: one object
}

const quantities = { cpu: "16", "ephemeral-storage": "101430960Ki", "hugepages-2Mi": "0", memory: "65842540Ki", pods: "110" }; // biome-ignore format: one row

export function node(number: number, shape: FleetShape): Manifest {
  const name = nodeName(number);
  const part = partOf(number, shape);
  const at = "2026-11-21T10:00:00Z";
  const condition = (type: string, status: string): object => ({ type, status, lastHeartbeatTime: at, lastTransitionTime: at, reason: `Kubelet${type}`, message: `kubelet says what it finds of ${type}` }); // biome-ignore format: one row
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: {
        "beta.kubernetes.io/arch": "amd64",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "m5.4xlarge",
        "topology.kubernetes.io/region": "eu-west-3",
        "topology.kubernetes.io/zone": `eu-west-3${"abc"[number % 3]}`,
        [poolLabel]: poolName(poolOf(number, shape)),
        ...(part?.hop === "edge" ? { [feedLabel]: ruleName(part.rule) } : {}),
      },
      annotations: {
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
      },
    },
    spec: { podCIDR: `10.${128 + (number >> 8)}.${number & 255}.0/24`, providerID: `bench:///${name}` },
    status: {
      addresses: [
        { type: "InternalIP", address: `10.${number >> 14}.${(number >> 7) & 127}.${(number & 127) + 1}` },
        { type: "Hostname", address: name },
      ],
      capacity: quantities,
      allocatable: quantities,
      conditions: [
        condition("MemoryPressure", "False"),
        condition("DiskPressure", "False"),
        condition("PIDPressure", "False"),
        condition("Ready", "True"),
      ],
      nodeInfo: { machineID: name, systemUUID: name, bootID: name, kernelVersion: "6.18.0-1-amd64", osImage: "Debian GNU/Linux 12 (bookworm)", containerRuntimeVersion: "containerd://1.6.20", kubeletVersion: "v1.36.0", kubeProxyVersion: "", operatingSystem: "linux", architecture: "amd64" },
      // A kubelet tells the 50 largest.
      images: Array.from({ length: 50 }, (_, i) => ({ sizeBytes: 1_000_000_000 - i * 10_000_000, names: [`registry.example.net/team-${i % 7}/service-${i}@sha256:${String(i).padStart(64, "a")}`, `registry.example.net/team-${i % 7}/service-${i}:v1.${i}.0`] })),
    },
  }; // biome-ignore format: one object
}
