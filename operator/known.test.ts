import { expect, test } from "vitest";
import { type FleetNodeKind, type NodeKind, trimFleetNode, trimNode } from "./kinds.ts";
import { nodeChanged } from "./known.ts";

const node = (more: object = {}, labels: Record<string, string> = { role: "edge" }): NodeKind =>
  ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "edge-1", uid: "u", resourceVersion: "7", labels, managedFields: [{ manager: "kubelet" }], annotations: { much: "text" } },
    spec: { podCIDR: "10.128.0.0/24" },
    status: {
      addresses: [{ type: "InternalIP", address: "10.0.0.1" }],
      nodeInfo: { kernelVersion: "6.18", architecture: "amd64", osImage: "Debian", machineID: "m" },
      capacity: { cpu: "16", memory: "64Gi" },
      images: [{ names: ["large"] }],
      ...more,
    },
  }) as NodeKind; // biome-ignore format: one object

test("of a Node only what decides something, or is told, is kept", () => {
  expect(trimNode(node())).toEqual({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "edge-1", uid: "u", resourceVersion: "7", labels: { role: "edge" } },
    status: {
      addresses: [{ type: "InternalIP", address: "10.0.0.1" }],
      nodeInfo: { kernelVersion: "6.18", architecture: "amd64", osImage: "Debian" },
      capacity: { cpu: "16" },
    },
  });
  const bare = { apiVersion: "v1", kind: "Node", metadata: { name: "new" } };
  expect(trimNode(bare)).toEqual({ ...bare, status: {} });
  const ours = { apiVersion: "tapline.dev/v1alpha1", kind: "FleetNode", metadata: { name: "edge-1", managedFields: [{ manager: "tapline-operator-status" }] }, status: { cpus: 4 } } as FleetNodeKind; // biome-ignore format: one row
  expect(trimFleetNode(ours)).toEqual({ ...ours, metadata: { name: "edge-1" } });
});

test("a kubelet's heartbeat, or our own label, is no reason to look at everything anew; labels and addresses are", () => {
  const change = (now: NodeKind) => nodeChanged({ type: "updated", key: "edge-1", now, before: node() });
  expect(change(node({ images: [], capacity: { cpu: "16" }, conditions: [] }))).toBe(false);
  expect(change(node({}, { role: "edge", "tapline.dev/relay": "true" }))).toBe(false);
  expect(change(node({}, { role: "core" }))).toBe(true);
  expect(change(node({ addresses: [] }))).toBe(true);
  expect(nodeChanged({ type: "deleted", key: "edge-1", before: node() })).toBe(true);
});
