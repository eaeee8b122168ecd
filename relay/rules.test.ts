// Rules as they are written, wrong in every way: each fault is told where it is, in words that help.
import { describe, expect, test } from "vitest";
import { TaplineError } from "#domain/errors.ts";
import type { NamedRule } from "#domain/relay-rule.ts";
import { soundRules } from "./rule-book.ts";
import { readRules, requireSound } from "./rule-input.ts";

const key = "00".repeat(16);
const from = { interface: "eth0", group: "239.1.1.1", port: 5000 };
const to = [{ interface: "eth1", group: "239.2.2.2", port: 5001 }];
const rule = (more: object = {}): Record<string, unknown> => ({ from, to, ...more });

async function faults(...rules: unknown[]): Promise<string> {
  const error: unknown = await soundRules("it", rules).catch((caught: unknown) => caught);
  if (!(error instanceof TaplineError)) return "accepted";
  expect(error.code).toBe("RELAY_RULES_INVALID");
  return error.message;
}

test("what may be left out is filled in, and an id is made of the input", async () => {
  const [named] = await soundRules("it", [rule()]);
  expect(named).toEqual({
    id: "eth0/239.1.1.1:5000",
    name: "eth0/239.1.1.1:5000",
    from: { ...from, protocol: "UDP", sources: [] },
    to: [{ ...to[0], id: "eth1/239.2.2.2:5001" }],
    engine: "Auto",
    deliverLocal: false,
  });
});

describe("a rule by itself", () => {
  const cases: readonly [string, object, RegExp][] = [
    ["a group that is none", rule({ from: { ...from, group: "10.0.0.1" } }), /from\.group: must be a multicast group; 10\.0\.0\.1 is a unicast/],
    ["a group that never leaves its link", rule({ from: { ...from, group: "224.0.0.5" } }), /from\.group: is 224\.0\.0\.5, of a range that never leaves/],
    ["an IPv6 group of the link", rule({ from: { ...from, group: "ff02::1" } }), /from\.group: is ff02::1, of a range/],
    ["no address at all", rule({ from: { ...from, group: "239.1.1.256" } }), /from\.group: must be an IPv4 or IPv6 address/],
    ["a unicast address that is a group", rule({ to: [{ interface: "eth1", address: "239.1.1.2", port: 1 }] }), /to\[0\]\.address: must be a unicast/],
    ["broadcast", rule({ to: [{ interface: "eth1", address: "255.255.255.255" }] }), /is a broadcast address/],
    ["port 0", rule({ from: { ...from, port: 0 } }), /from\.port: must be at least 1; it is 0/],
    ["a port beyond the last", rule({ from: { ...from, port: 65_536 } }), /from\.port: must be at most 65535/],
    ["no port for UDP", rule({ from: { interface: "eth0", group: "239.1.1.1" } }), /from\.port: is needed for UDP/],
    ["a port for ESP", rule({ from: { ...from, protocol: "ESP" } }), /from\.port: has no meaning for ESP/],
    ["no interface", rule({ from: { group: "239.1.1.1", port: 1 } }), /from\.interface: is needed/],
    ["an interface's name that is none", rule({ from: { ...from, interface: "eth0/1" } }), /from\.interface: must be the name of an interface/],
    ["TTL 0", rule({ to: [{ ...to[0], ttl: 0 }] }), /to\[0\]\.ttl: must be 1 or more: a packet with TTL 0 never leaves/],
    ["TTL 256", rule({ to: [{ ...to[0], ttl: 256 }] }), /to\[0\]\.ttl: must be at most 255/],
    ["DSCP 64", rule({ to: [{ ...to[0], dscp: 64 }] }), /to\[0\]\.dscp: must be at most 63/],
    ["an output that is the input", rule({ to: [{ interface: "eth0" }] }), /to\[0\]: is the rule's own input/],
    ["the same output twice", rule({ to: [to[0], to[0]] }), /to\[1\]: is the same as to\[0\]/],
    ["65 outputs", rule({ to: Array.from({ length: 65 }, (_, i) => ({ interface: "eth1", port: i + 1 })) }), /to: has 65 entries: it must have at most 64/],
    ["no output", rule({ to: [] }), /to: has 0 entries: it must have at least 1/],
    ["a field that is nearly one", rule({ deliverlocal: true }), /rules\[0\]\.deliverlocal: there is no such key; did you mean deliverLocal\?/],
    ["one deep inside", rule({ to: [{ ...to[0], TTL: 3 }] }), /to\[0\]\.TTL: there is no such key; did you mean ttl\?/],
    ["an engine that is nearly one", rule({ engine: "xdp" }), /engine: must be Auto, XDP, TC or AFPacket; it is the text "xdp"; did you mean XDP\?/],
    ["two IP versions", rule({ to: [{ interface: "eth1", group: "ff05::1" }] }), /to\[0\]\.group: is not of the input's IP version/],
    ["a source of the other version", rule({ from: { ...from, sources: ["2001:db8::1"] } }), /from\.sources\[0\]: is not of the destination's IP version/],
    ["a source twice", rule({ from: { ...from, sources: ["10.0.0.1", "10.0.0.1"] } }), /from\.sources\[1\]: is 10\.0\.0\.1 a second time/],
    ["group and address", rule({ from: { ...from, address: "10.0.0.1" } }), /from\.address: is a second destination/],
    ["VLAN 4095", rule({ from: { ...from, vlan: 4095 } }), /from\.vlan: must be at most 4094/],
    ["a key that is too short", rule({ to: [{ tunnel: { path: 1, key: "00", to: "10.0.0.1" } }] }), /tunnel\.key: must be 16 bytes as 32 hexadecimal/],
    ["path 0", rule({ to: [{ tunnel: { path: 0, key, to: "10.0.0.1" } }] }), /tunnel\.path: must be at least 1/],
    ["a tunnel with a group beside it", rule({ to: [{ group: "239.1.1.1", tunnel: { path: 1, key, to: "10.0.0.1" } }] }), /to\[0\]\.group: belongs to packets that leave as they are/],
    ["a tunnel's rule that does not say where to", { from: { tunnel: { path: 1, key, peers: ["10.0.0.1"] } }, to: [{ interface: "eth1" }] }, /to\[0\]\.group: is needed, or an address: a tunnel's rule/],
    ["a limit of 0", rule({ limit: { pps: 0 } }), /limit\.pps: must be at least 1/],
    ["an id that cannot be typed", rule({ id: "a b" }), /id: must begin with a letter or digit/],
    ["text for a number", rule({ from: { ...from, port: "5000" } }), /from\.port: must be a whole number; it is the text "5000"/],
    ["a list", [], /rules\[0\]: must be a section of keys; it is a list/],
  ]; // biome-ignore format: a table
  test.each(cases)("%s is refused", async (_, value, expected) => expect(await faults(value)).toMatch(expected));

  test("all faults are told at once, and no more than can be read", async () => {
    const message = await faults(rule({ engine: "x" }), rule({ id: "!" }), rule({ to: [] }));
    expect(message).toMatch(/^it has 3 problems:/);
    const many = await faults(...Array.from({ length: 1000 }, () => rule({ to: [] })));
    expect(many.split("\n")).toHaveLength(42);
    expect(many).toContain("and 960 more");
  });
});

const named = async (...values: object[]): Promise<NamedRule[]> => readRules("it", values);
const by = (
  interfaceIn: string,
  groupIn: string,
  interfaceOut: string,
  groupOut: string,
  more: object = {},
): object => ({
  from: { interface: interfaceIn, group: groupIn, port: 5000, ...more },
  to: [{ interface: interfaceOut, group: groupOut }],
});

describe("all rules together", () => {
  const cases: readonly [string, readonly object[], RegExp | "accepted"][] = [
    ["two of one id", [rule({ id: "a" }), { ...by("eth2", "239.1.1.2", "eth3", "239.1.1.2"), id: "a" }], /rule a: there is another rule with this id/],
    ["two that take the same", [rule({ id: "a" }), rule({ id: "b" })], /rule b: takes the same packets as a/],
    ["the same group, written otherwise", [by("eth0", "ff05::1", "eth1", "ff05::2"), { ...by("eth0", "ff05:0:0::1", "eth1", "ff05::3"), id: "b" }], /takes the same packets/],
    ["two of one source", [by("e0", "239.1.1.1", "e1", "239.1.1.2", { sources: ["10.0.0.1", "10.0.0.2"] }), { ...by("e0", "239.1.1.1", "e2", "239.1.1.2", { sources: ["10.0.0.2"] }), id: "b" }], /rule b: takes the same/],
    ["two sources of one group", [by("e0", "239.1.1.1", "e1", "239.1.1.2", { sources: ["10.0.0.1"] }), by("e0", "239.1.1.1", "e2", "239.1.1.2", { sources: ["10.0.0.2"] })], "accepted"],
    ["any source beside a named one", [by("e0", "239.1.1.1", "e1", "239.1.1.2"), by("e0", "239.1.1.1", "e2", "239.1.1.2", { sources: ["10.0.0.2"] })], "accepted"],
    ["one group on two VLANs", [by("e0", "239.1.1.1", "e1", "239.1.1.2", { vlan: 1 }), by("e0", "239.1.1.1", "e2", "239.1.1.2", { vlan: 2 })], "accepted"],
    ["there and back", [by("e0", "239.1.1.1", "e1", "239.1.1.1"), by("e1", "239.1.1.1", "e0", "239.1.1.1")], /is in a loop.*e0\/239\.1\.1\.1:5000 → e1\/239\.1\.1\.1:5000 → e0\//],
    ["round three corners, the group changed on the way", [by("a", "239.1.1.1", "b", "239.1.1.2"), by("b", "239.1.1.2", "c", "239.1.1.3"), by("c", "239.1.1.3", "a", "239.1.1.1")], /is in a loop/],
    ["back with another group", [by("e0", "239.1.1.1", "e1", "239.1.1.1"), by("e1", "239.1.1.2", "e0", "239.1.1.2")], "accepted"],
    ["back, but only of others' sources", [by("e0", "239.1.1.1", "e1", "239.1.1.1", { sources: ["10.0.0.1"] }), by("e1", "239.1.1.1", "e0", "239.1.1.1", { sources: ["10.0.0.2"] })], "accepted"],
    ["back, of a source that the first one sets", [{ ...by("e0", "239.1.1.1", "e1", "239.1.1.1", { sources: ["10.0.0.1"] }), to: [{ interface: "e1", source: "10.0.0.2" }] }, { ...by("e1", "239.1.1.1", "e0", "239.1.1.1", { sources: ["10.0.0.2"] }), to: [{ interface: "e0", source: "10.0.0.1" }] }], /is in a loop/],
    ["a tunnel into itself", [{ id: "out", from, to: [{ tunnel: { path: 7, key, to: "10.0.0.1" } }] }, { id: "in", from: { tunnel: { path: 7, key, peers: ["10.0.0.1"] } }, to: [{ interface: "eth0", group: "239.1.1.1", port: 5000 }] }], /is in a loop.*out → in → out/],
    ["two that open one path", [{ id: "a", from: { tunnel: { path: 7, key, peers: ["10.0.0.1"] } }, to }, { id: "b", from: { tunnel: { path: 7, key, peers: ["10.0.0.2"] } }, to }], /rule b: takes the same packets as a: tunnel:7/],
  ]; // biome-ignore format: a table
  test.each(cases)("%s", async (_, rules, expected) => {
    const said = await faults(...rules);
    if (expected === "accepted") expect(said).toBe(expected);
    else expect(said).toMatch(expected);
  });

  test("a loop through the tunnels of two nodes is found when both files are there", async () => {
    const out = (path: number, group: string): object => ({ from: { interface: "lan", group, port: 1 }, to: [{ tunnel: { path, key, to: "10.0.0.9" } }] });
    const back = (path: number, group: string): object => ({ from: { tunnel: { path, key, peers: ["10.0.0.9"] } }, to: [{ interface: "lan", group, port: 1 }] });
    const a = { node: "a", rules: await named(out(1, "239.1.1.1"), back(2, "239.1.1.1")) };
    const b = { node: "b", rules: await named(out(2, "239.1.1.1"), back(1, "239.1.1.1")) };
    expect(() => requireSound("it", [a])).not.toThrow();
    expect(() => requireSound("it", [b])).not.toThrow();
    expect(() => requireSound("it", [a, b])).toThrow(/is in a loop.*a: lan.*→ b: tunnel:1 → b: lan.*→ a: tunnel:2 → a: lan/);
  }); // biome-ignore format: a short story

  test("10,000 rules in one chain are judged within a load's time; one more is too many, and closing the chain is found", async () => {
    const group = (i: number): string => `239.${1 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
    const link = (i: number): object => by("e0", group(i), "e0", group(i + 1));
    const chain = Array.from({ length: 10_000 }, (_, i) => link(i));
    const since = process.cpuUsage();
    expect(await faults(...chain)).toBe("accepted");
    // Processor time, for others may run beside; half a second is usual.
    expect(process.cpuUsage(since).user / 1000).toBeLessThan(4000);
    expect(await faults(...chain, link(10_000))).toMatch(/has 10001 rules: a relay takes at most 10000/);
    expect(await faults(...chain.slice(1), by("e0", group(10_000), "e0", group(1)))).toMatch(
      /is in a loop.*… 9995 more …/,
    );
  });

  test("and give way to others meanwhile", async () => {
    const chain = Array.from({ length: 10_000 }, (_, i) => by(`e${i}`, "239.1.1.1", "x", "239.1.1.1"));
    let turns = 0;
    const turn = setInterval(() => turns++, 1);
    const since = process.threadCpuUsage();
    await readRules("it", chain);
    clearInterval(turn);
    // How often depends on how long it takes here: a turn for each 10 ms of its work at the least.
    const { user, system } = process.threadCpuUsage(since);
    expect(turns).toBeGreaterThanOrEqual(Math.floor((user + system) / 10_000));
  });
});
