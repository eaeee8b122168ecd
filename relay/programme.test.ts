// Rules with names become rules with indexes and bytes; what cannot be resolved waits, or is unready, with its reason.
import { expect, test } from "vitest";
import type { RelayEngine } from "#domain/vocabulary.ts";
import type { RelayPlan, ResolvedRule } from "#native/relay.ts";
import type { Engines } from "./engines.ts";
import { type Made, madeNear, noEngines } from "./made-near.ts";
import { Programme } from "./programme.ts";
import { bytesOf } from "./resolve.ts";
import { readRules } from "./rule-input.ts";

const key = "000102030405060708090a0b0c0d0e0f";
const links = [{ name: "eth0" }, { name: "eth1" }, { name: "under", mtu: 9000 }];
const usual: Made = {
  links,
  addresses: { eth0: "10.0.0.1", under: "192.0.2.1" },
  ways: { "10.9.0.7": ["eth1", "10.1.0.254"], "192.0.2.2": ["under", "192.0.2.2"] },
  neighbours: { "10.1.0.254": 0xfe, "192.0.2.2": 2 },
};

/** Takes what it is told, or refuses it; what a kernel would make of it is tested on the wire. */
class Told {
  readonly plans: RelayPlan[] = [];
  refuse: string | undefined;
  readonly engines: Engines = {
    ...noEngines("told only"),
    states: () => (["xdp", "tc", "afpacket"] as const).map((engine) => ({ engine, available: true, why: "" })),
    apply: (plan) => {
      if (this.refuse !== undefined) throw new Error(this.refuse);
      this.plans.push(plan);
    },
  };
  get last(): RelayPlan {
    return this.plans.at(-1) ?? { rules: [], tunnelPorts: [], ownAddresses: [] };
  }
}

const programmeOf = ({ engines }: Told, made: Made, carried: readonly [string, RelayEngine][] = []): Programme =>
  new Programme({ engines, epoch: 77, carried: new Map(carried), applied: () => {} }, madeNear(made));

async function programmed(values: readonly object[], made: Made = usual) {
  const told = new Told();
  const programme = programmeOf(told, made);
  const rules = await readRules("it", values);
  programme.set(rules);
  return { told, programme, rules };
}
const only = (plan: RelayPlan): ResolvedRule => {
  const [rule, ...more] = plan.rules;
  if (!rule || more.length > 0) throw new Error(`${plan.rules.length} rules`);
  return rule;
};

const from = { interface: "eth0", group: "239.1.1.1", port: 5000 };

test("group to group: indexes, the group's MAC address, the link's MTU", async () => {
  const { told } = await programmed([{ id: "a", from: { ...from, vlan: 10, sources: ["10.0.0.9"] }, to: [{ interface: "eth1", group: "239.130.2.3", port: 5001, ttl: 9, dscp: 46, source: "10.0.0.5" }], limit: { pps: 1000 }, storm: { pps: 5000 } }]); // biome-ignore format: one rule
  expect(only(told.last)).toEqual({
    id: "a",
    engine: "xdp",
    input: { ifindex: 1, vlan: 10, protocol: "UDP", destination: bytesOf("239.1.1.1"), port: 5000, sources: [bytesOf("10.0.0.9")] },
    outputs: [{
      id: "eth1/239.130.2.3:5001", ifindex: 2, destination: bytesOf("239.130.2.3"), port: 5001, ttl: 9, dscp: 46, source: bytesOf("10.0.0.5"),
      destinationMac: Uint8Array.of(0x01, 0x00, 0x5e, 0x02, 0x02, 0x03), sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 2), mtu: 1500,
    }],
    deliverLocal: false, limitPps: 1000, limitBurst: 100, stormPps: 5000,
  }); // biome-ignore format: one rule
  expect(told.last.ownAddresses).toEqual([bytesOf("10.0.0.1"), bytesOf("192.0.2.1")]);
});

test("group to one address by its router; the IPv6 group's MAC address; ESP without a port", async () => {
  const { told } = await programmed([
    { id: "a", from, to: [{ interface: "eth1", address: "10.9.0.7" }] },
    { id: "b", from: { ...from, group: "ff05::1:2" }, to: [{ interface: "eth1" }] },
    { id: "c", from: { interface: "eth0", group: "239.1.1.9", protocol: "ESP" }, to: [{ interface: "eth1" }] },
  ]);
  const [a, b, c] = told.last.rules;
  expect(a?.outputs[0]).toMatchObject({ ifindex: 2, destination: bytesOf("10.9.0.7"), port: 5000, destinationMac: Uint8Array.of(2, 0, 0, 0, 1, 0xfe) }); // biome-ignore format: one row
  expect(b?.outputs[0]?.destinationMac).toEqual(Uint8Array.of(0x33, 0x33, 0, 1, 0, 2));
  expect(c).toMatchObject({ input: { protocol: "ESP", port: 0 }, outputs: [{ port: 0 }] });
});

test("a tunnel out has this node's address, the path's epoch and the underlay's MTU; a tunnel in listens where its peers are", async () => {
  const { told } = await programmed([
    { id: "out", from, to: [{ tunnel: { path: 7, key, to: "192.0.2.2" } }] },
    { id: "in", from: { tunnel: { path: 8, key, peers: ["192.0.2.2"] } }, to: [{ interface: "eth1", group: "239.5.5.5", port: 6 }] },
  ]); // biome-ignore format: two rules
  const [out, into] = told.last.rules;
  expect(out?.outputs).toEqual([{
    id: "tunnel:7", ifindex: 3, destination: bytesOf("192.0.2.2"), port: 6087, source: bytesOf("192.0.2.1"),
    destinationMac: Uint8Array.of(2, 0, 0, 0, 1, 2), sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 3), mtu: 9000,
    tunnel: { path: 7, epoch: 77, key: Buffer.from(key, "hex") },
  }]); // biome-ignore format: one row
  expect(into?.input).toEqual({ path: 8, key: Buffer.from(key, "hex"), peers: [bytesOf("192.0.2.2")] });
  expect(told.last.tunnelPorts).toEqual([{ ifindex: 3, addresses: [bytesOf("192.0.2.1")], engine: "xdp" }]);
});

test.each([
  ["no such interface", { to: [{ interface: "eth7" }] }, "interface", "eth7 is not there"],
  ["no route", { to: [{ interface: "eth1", address: "10.8.0.1" }] }, "no_route", "there is no route to 10.8.0.1 by eth1"],
  ["no neighbour", { to: [{ tunnel: { path: 7, key, to: "192.0.2.3" } }] }, "no_neighbour", "nobody answers for 192.0.2.3 on under"],
  ["no address to send from", { to: [{ tunnel: { path: 7, key, to: "10.9.0.7" } }] }, "no_route", "this node has no address towards 10.9.0.7"],
  ["an interface that is down", { to: [{ interface: "down" }] }, "interface", "down is down"],
] as const)("an output with %s is told so, and the others go on", async (_, { to }, unready, problem) => {
  const made = { ...usual, links: [...links, { name: "down", up: false }], ways: { ...usual.ways, "192.0.2.3": ["under", "192.0.2.3"] as const } };
  const { told, programme } = await programmed([{ id: "a", from, to: [...to, { interface: "eth1" }] }], made);
  const [bad, good] = only(told.last).outputs;
  expect(bad?.unready).toBe(unready);
  expect(good?.unready).toBeUndefined();
  expect(bad?.source === undefined || bad.source.length === bad.destination.length).toBe(true);
  expect(programme.stands.get("a")).toMatchObject({ state: "partial", engine: "tc", found: { outputs: [{ problem }, { problem: null }] } });
}); // biome-ignore format: a table

test("a rule whose interface is not there waits, and begins when it comes", async () => {
  const { told, programme } = await programmed([{ id: "a", from: { ...from, interface: "late" }, to: [{ interface: "eth1" }] }]);
  expect(told.last.rules).toEqual([]);
  expect(programme.stands.get("a")).toMatchObject({ state: "waiting", engine: null, why: "late is not there", cause: "late" });
  programme.changed(madeNear({ ...usual, links: [...links, { name: "late" }] }));
  expect(only(told.last)).toMatchObject({ id: "a", input: { ifindex: 4 } });
  expect(programme.stands.get("a")?.state).toBe("active");
}); // biome-ignore format: a short story

test("sources of one group are with one engine, and so are tunnels that come to one interface", async () => {
  const { told, programme } = await programmed([
    { id: "one", from: { ...from, sources: ["10.0.0.8"] }, to: [{ interface: "eth1" }] },
    { id: "all", from, to: [{ interface: "eth1", port: 1 }, { interface: "eth1", port: 2 }] },
    { id: "apart", from: { ...from, port: 5001 }, to: [{ interface: "eth1" }] },
    { id: "t1", from: { tunnel: { path: 1, key, peers: ["192.0.2.2"] } }, to: [{ interface: "eth1", group: "239.5.5.5" }] },
    { id: "t2", from: { tunnel: { path: 2, key, peers: ["192.0.2.2"] } }, to: [{ interface: "eth1", group: "239.5.5.6" }], deliverLocal: true },
    { id: "stubborn", from: { ...from, sources: ["10.0.0.7"] }, to: [{ interface: "eth1" }], engine: "XDP" },
  ]); // biome-ignore format: a table
  expect(told.last.rules.map(({ id, engine }) => [id, engine])).toEqual([
    ["one", "tc"], ["all", "tc"], ["apart", "xdp"], ["t1", "tc"], ["t2", "tc"],
  ]); // biome-ignore format: a table
  expect(told.last.tunnelPorts.map(({ engine }) => engine)).toEqual(["tc"]);
  expect(programme.stands.get("stubborn")).toMatchObject({ state: "waiting", why: "it must be carried as others that come in the same way, by tc" }); // biome-ignore format: one row
});

test("what an engine refuses changes nothing, and is tried again only when it ran before", async () => {
  const { told, programme, rules } = await programmed([{ id: "a", from, to: [{ interface: "eth1" }] }]);
  told.refuse = "no memory";
  const more = await readRules("it", [{ id: "b", from, to: [{ interface: "eth1" }] }]);
  expect(() => programme.set([...rules, ...more])).toThrow(/could not be programmed: no memory/);
  expect([...programme.stands.keys()]).toEqual(["a"]);
  programme.changed(madeNear(usual));
  expect(programme.failure?.code).toBe("RELAY_APPLY_FAILED");
  told.refuse = undefined;
  programme.retry(0);
  expect(programme.failure).toBeUndefined();
  expect(told.last.rules.map(({ id }) => id)).toEqual(["a"]);
});

test("until it is known what is wanted, nothing is told to the engines: what runs there goes on", () => {
  const told = new Told();
  const programme = programmeOf(told, usual);
  programme.changed(madeNear(usual));
  programme.retry(0);
  expect(told.plans).toEqual([]);
});

test("a rule keeps its engine while it is the same and whole, over restarts, too; a changed one is chosen for anew", async () => {
  const watched: Made = { ...usual, watched: "eth0" };
  const one = { id: "a", from, to: [{ interface: "eth1" }] };
  const { told, programme, rules } = await programmed([one], watched);
  const engine = (): string | undefined => only(told.last).engine;
  expect(engine()).toBe("tc");
  programme.changed(madeNear(usual)); // nobody captures there any more
  expect(engine()).toBe("tc");
  programme.set(await readRules("it", [one])); // the same, read again
  expect(engine()).toBe("tc");
  programme.set(await readRules("it", [{ ...one, name: "changed" }]));
  expect(engine()).toBe("xdp");
  programme.changed(madeNear(watched));
  expect(engine()).toBe("xdp");
  const next = new Told();
  programmeOf(next, watched, [["a", "xdp"]]).begin(rules);
  expect(only(next.last).engine).toBe("xdp");
});
