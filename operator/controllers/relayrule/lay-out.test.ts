// RelayRules over nodes: which rules run where, by which tunnels, and what is refused with which words.
import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import type { NodeFacts } from "../nodes.ts";
import { decide, type Decision } from "./accept.ts";
import { pathSecret } from "./paths.ts";
import type { RelayHop } from "#domain/relay-rule-object.ts";
import { relayRuleSpec } from "#domain/relay-rule-object.ts";
import type { RuleObject } from "./rule-object.ts";

const { privateKey } = generateKeyPairSync("ed25519");
const secret = pathSecret(privateKey, "prod");
const node = (name: string, address: string, more: Partial<NodeFacts> = {}): NodeFacts => ({
  name,
  labels: { "kubernetes.io/hostname": name, role: name.split("-")[0] ?? "" },
  addresses: [address],
  ...more,
});
const nodes = new Map(
  [node("core-1", "10.0.0.1"), node("edge-1", "10.0.0.11"), node("edge-2", "10.0.0.12"), node("far-1", "10.0.0.21"), node("v6-1", "fd00::1")].map((one) => [one.name, one]),
); // biome-ignore format: one table
const feed = { interface: "eth1", group: "239.1.1.1", port: 5000, protocol: "UDP" } as const;
const core: RelayHop = { name: "core", nodes: { names: ["core-1"] }, from: feed, to: [{ hop: "edge" }] };
const edge: RelayHop = { name: "edge", nodes: { selector: { matchLabels: { role: "edge" } } }, to: [{ interface: "eth2", group: "239.1.1.1", port: 5000, ttl: 4 }] }; // biome-ignore format: one row
const rule = (name: string, hops: readonly RelayHop[], more: Partial<RuleObject> = {}): RuleObject => ({
  name, uid: `uid-${name}`, created: "2026-11-21T10:00:00Z", generation: 1, spec: relayRuleSpec.parse({ hops }), ...more,
}); // biome-ignore format: one row
const decided = (...rules: RuleObject[]): Decision => decide(rules, nodes, secret);
const refusalOf = (decision: Decision, name = "a"): string => {
  const { reason = "", message = "" } = decision.refused.get(name) ?? {};
  return `${reason}: ${message}`;
};

test("a feed to two nodes: one rule where it comes in, one at each tunnel's end, with one number and key at both", () => {
  const { nodes: plans, paths, refused } = decided(rule("a", [core, edge]));
  expect([...refused]).toEqual([]);
  const [sender] = plans.get("core-1") ?? [];
  const [receiver] = plans.get("edge-2") ?? [];
  const path = paths.find(({ to }) => to.node === "edge-2");
  expect([...plans.keys()].sort()).toEqual(["core-1", "edge-1", "edge-2"]);
  expect(sender).toMatchObject({ id: "a/core", from: { ...feed, protocol: "UDP" } });
  expect(sender?.to.map(({ tunnel }) => [tunnel?.to, tunnel?.source])).toEqual([["10.0.0.11", "10.0.0.1"], ["10.0.0.12", "10.0.0.1"]]); // biome-ignore format: one row
  expect(receiver).toMatchObject({ id: `a/edge/${path?.path}`, from: { tunnel: { path: path?.path, key: sender?.to[1]?.tunnel?.key, peers: ["10.0.0.1"] } }, to: [{ interface: "eth2", ttl: 4 }] }); // biome-ignore format: one row
  expect(path).toMatchObject({ rule: "a", from: { hop: "core", node: "core-1", id: "a/core" }, to: { hop: "edge" } });
});

test("where two ways meet each keeps its own path, and so does all that comes after", () => {
  const left: RelayHop = { name: "left", nodes: { names: ["edge-1"] }, to: [{ hop: "end" }] };
  const right: RelayHop = { name: "right", nodes: { names: ["edge-2"] }, to: [{ hop: "end" }] };
  const end: RelayHop = { name: "end", nodes: { names: ["far-1"] }, to: edge.to };
  const { nodes: plans, paths } = decided(rule("a", [{ ...core, to: [{ hop: "left" }, { hop: "right" }] }, left, right, end])); // biome-ignore format: one row
  expect(plans.get("far-1")).toHaveLength(2);
  expect(new Set(paths.map(({ path }) => path)).size).toBe(4);
  expect(paths.map(({ from, to }) => `${from.node}>${to.node}`)).toEqual(["core-1>edge-1", "edge-1>far-1", "core-1>edge-2", "edge-2>far-1"]); // biome-ignore format: one row
});

test("another operator with the same key makes the same paths; another key, or another rule of the same name, others", () => {
  const first = decided(rule("a", [core, edge]));
  expect(decided(rule("a", [core, edge]))).toEqual(first);
  const other = decide([rule("a", [core, edge])], nodes, pathSecret(generateKeyPairSync("ed25519").privateKey, "prod"));
  expect(other.paths).toEqual(first.paths);
  expect(other.nodes).not.toEqual(first.nodes);
  const again = decided(rule("a", [core, edge], { uid: "made anew" }));
  expect(again.paths.map(({ path }) => path)).not.toEqual(first.paths.map(({ path }) => path));
});

test("the limit is applied where packets come in, ESP is ESP at every hop, and a rule that leaves places nothing", () => {
  const esp: RelayHop = { ...core, from: { interface: "eth1", group: "239.1.1.1", protocol: "ESP" } };
  const out: RelayHop = { ...edge, to: [{ interface: "eth2", group: "239.1.1.2" }] };
  const spec = { hops: [esp, out], limit: { pps: 9 }, engine: "TC", deliverLocal: true } as const;
  const { nodes: plans, refused } = decided(
    rule("a", [esp, out], { spec: relayRuleSpec.parse(spec) }),
    rule("b", [core, edge], { leaving: true }),
  );
  expect([...refused]).toEqual([]);
  expect(plans.get("core-1")).toMatchObject([{ limit: { pps: 9 }, engine: "TC", deliverLocal: true }]);
  expect(plans.get("edge-1")?.[0]).toMatchObject({ engine: "TC", deliverLocal: false, from: { protocol: "ESP" } });
  expect(plans.get("edge-1")?.[0]).not.toHaveProperty("limit");
});

test.each<[string, readonly RelayHop[], RegExp]>([
  ["selects nothing", [core, { ...edge, nodes: { selector: { matchLabels: { role: "none" } } } }], /^NoNodes: hop edge selects no node/],
  ["names a node that is not there", [{ ...core, nodes: { names: ["core-9"] } }, edge], /^UnknownNode: hop core names core-9/],
  ["sends from two nodes into a tunnel", [{ ...core, nodes: { names: ["core-1", "far-1"] } }, edge], /^SeveralSources: hop core .* selects 2 nodes \(core-1, far-1\)/],
  ["tunnels to itself", [core, { ...edge, nodes: { names: ["core-1"] } }], /^SameNode: hops core and edge are both on core-1/],
  ["has no address of one family", [core, { ...edge, nodes: { names: ["v6-1"] } }], /^NoAddress: core-1 and v6-1 have no InternalIP of one IP version/],
  ["is not what a relay takes", [core, { ...edge, to: [{ interface: "eth2" }] }], /^Invalid: hop edge: to.0.group: is needed/],
])("a rule that %s is refused", (_, hops, expected) => {
  const decision = decided(rule("a", hops));
  expect(refusalOf(decision)).toMatch(expected);
  expect(decision.nodes.size).toBe(0);
}); // biome-ignore format: a table

test("an interface that a node is known not to have is named with the node; one of which nothing is known is let through", () => {
  const seen = new Map([...nodes, ["core-1", node("core-1", "10.0.0.1", { interfaces: new Map([["eth0", { mtu: 1500 }]]) })]]); // biome-ignore format: one row
  const { refused } = decide([rule("a", [core, edge])], seen, secret);
  expect(refused.get("a")).toMatchObject({ reason: "InterfaceMissing", message: expect.stringMatching(/^hop core takes packets from eth1, which core-1 does not have/) }); // biome-ignore format: one row
});

test("ways multiply only so far, and a sender has at most 64 outputs", () => {
  const many = new Map(Array.from({ length: 70 }, (_, i) => [`edge-${i}`, node(`edge-${i}`, `10.1.0.${i + 1}`)]));
  const all = new Map([...nodes, ...many]);
  expect(decide([rule("a", [core, edge])], all, secret).refused.get("a")).toMatchObject({ reason: "TooManyOutputs" });
  const some = (name: string, from: number, to: HopTo): RelayHop => ({ name, nodes: { names: Array.from({ length: 17 }, (_, i) => `edge-${from + i}`) }, to }); // biome-ignore format: one row
  const hops = [{ ...core, to: [{ hop: "x" }] }, some("x", 0, [{ hop: "y" }]), some("y", 17, [{ hop: "z" }]), some("z", 34, edge.to)]; // biome-ignore format: one row
  expect(decide([rule("a", hops)], all, secret).refused.get("a")).toMatchObject({ reason: "TooManyPaths" });
});
type HopTo = RelayHop["to"];

test("of two rules that take the same packets the older one stays, whatever their names and order", () => {
  const old = rule("z-old", [core, edge], { created: "2026-11-20T10:00:00Z" });
  const young = rule("a-young", [core, edge]);
  const { accepted, refused } = decided(young, old);
  expect([...accepted.keys()]).toEqual(["z-old"]);
  expect(refused.get("a-young")).toEqual({ reason: "Overlap", message: "on core-1, it takes the same packets as z-old/core: eth1/239.1.1.1:5000. Give one rule both outputs. The older z-old stays." }); // biome-ignore format: one row
});

test("a loop over three rules on two nodes is found, and only its youngest rule refused", () => {
  const on = (
    name: string,
    at: string,
    from: object,
    to: RelayHop["to"],
    created: string,
    more: readonly RelayHop[] = [],
  ): RuleObject =>
    rule(name, [{ name: "in", nodes: { names: [at] }, from: from as RelayHop["from"], to }, ...more], { created });
  const back: RelayHop = { name: "back", nodes: { names: ["core-1"] }, to: [{ interface: "eth1", group: "239.1.1.1", port: 5000 }] }; // biome-ignore format: one row
  const out: RelayHop = { name: "out", nodes: { names: ["edge-1"] }, to: [{ interface: "eth2", group: "239.2.2.2", port: 5000 }] }; // biome-ignore format: one row
  const first = on("first", "core-1", feed, [{ hop: "out" }], "2026-11-20T10:00:00Z", [out]);
  const second = on("second", "edge-1", { interface: "eth2", group: "239.2.2.2", port: 5000 }, [{ hop: "back" }], "2026-11-20T11:00:00Z", [back]); // biome-ignore format: one row
  const apart = on("apart", "far-1", feed, [{ interface: "eth5" }], "2026-11-20T12:00:00Z");
  const { accepted, refused } = decided(apart, second, first);
  expect([...accepted.keys()]).toEqual(["first", "apart"]);
  expect(refused.get("second")).toMatchObject({ reason: "Loop", message: expect.stringMatching(/^it is in a loop.*core-1: first\/in → edge-1: first\/out.*The older first stays\.$/) }); // biome-ignore format: one row
});
