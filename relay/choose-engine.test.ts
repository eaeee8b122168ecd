import { expect, test } from "vitest";
import type { EngineRow } from "#domain/relay-report.ts";
import type { RelayEngine } from "#domain/vocabulary.ts";
import { chooseEngine } from "./choose-engine.ts";
import { type Made, madeNear } from "./made-near.ts";
import { find } from "./resolve.ts";
import { readRules } from "./rule-input.ts";

const engines = (missing: readonly RelayEngine[] = []): EngineRow[] =>
  (["xdp", "tc", "afpacket"] as const).map((engine) => ({
    engine,
    available: !missing.includes(engine),
    why: missing.includes(engine) ? `no ${engine} here` : "",
  }));

const links = [{ name: "eth0" }, { name: "eth1" }];
const from = { interface: "eth0", group: "239.1.1.1", port: 5000 };
const to = [{ interface: "eth1" }];
const none: readonly RelayEngine[] = [];
type Case = readonly [string, object, Partial<Made>, readonly RelayEngine[], RelayEngine | null, RegExp];

const cases: readonly Case[] = [
  ["one output, in the driver", { to }, {}, none, "xdp", /one output/],
  ["two outputs", { to: [...to, { interface: "eth1", port: 1 }] }, {}, none, "tc", /XDP has one output, and this rule 2/],
  ["IPv6", { from: { ...from, group: "ff05::1" }, to }, {}, none, "tc", /XDP relays IPv4 only/],
  ["delivered here, too", { to, deliverLocal: true }, {}, none, "tc", /deliverLocal/],
  ["no XDP in the driver", { to }, { probes: { eth0: { xdp: "generic", why: "the driver has none" } } }, none, "tc", /eth0 has no XDP in its driver \(the driver has none\)/],
  ["somebody else's XDP", { to }, { probes: { eth0: { foreignXdp: true } } }, none, "tc", /eth0 has an XDP program of somebody else/],
  ["an output that takes no frames", { to }, { probes: { eth1: { xdpTarget: false, why: "its peer has no GRO" } } }, none, "tc", /eth1 takes no frames from XDP \(its peer has no GRO\)/],
  ["an output that is not there", { to: [{ interface: "eth7" }] }, {}, none, "tc", /no interface at the moment/],
  ["the default route's interface", { to }, { defaults: "eth0" }, none, "tc", /default route/],
  ["a sensor on it", { to }, { watched: "eth0" }, none, "tc", /somebody captures on eth0/],
  ["an interface that cannot be asked", { to }, { probes: { eth0: null } }, none, "tc", /cannot be asked/],
  ["no BPF at all", { to }, {}, ["xdp", "tc"], "afpacket", /not in the kernel: no tc here/],
  ["no engine at all", { to }, {}, ["xdp", "tc", "afpacket"], null, /no engine: no xdp here; no tc here; no afpacket here/],
  ["XDP asked for", { to, engine: "XDP" }, { defaults: "eth0", watched: "eth0" }, none, "xdp", /asked for/],
  ["XDP asked for, and impossible", { to, engine: "XDP" }, { probes: { eth0: { xdp: "none" } } }, none, null, /no XDP in its driver/],
  ["XDP asked for, and a veth whose peer is not ready", { to, engine: "XDP" }, { probes: { eth1: { xdpTarget: false, why: "its peer has no GRO" } } }, none, "xdp", /asked for; eth1 takes no frames from XDP \(its peer has no GRO\)/],
  ["XDP asked for, and a driver that never takes its frames", { to, engine: "XDP" }, { probes: { eth1: { xdpTarget: false, driver: "dummy" } } }, none, null, /eth1 takes no frames/],
  ["tc asked for", { to, engine: "TC" }, {}, none, "tc", /asked for/],
  ["user space asked for", { to, engine: "AFPacket" }, {}, none, "afpacket", /asked for/],
  ["tc asked for, and not there", { to, engine: "TC" }, {}, ["tc"], null, /no tc here/],
]; // biome-ignore format: a table

test.each(cases)("%s", async (_, rule, made, missing, engine, why) => {
  const [named] = await readRules("it", [{ from, ...rule }]);
  if (!named) throw new Error("no rule");
  const near = madeNear({ links, ...made });
  const choice = chooseEngine(named, find(named, near).ends, near, engines(missing));
  expect(choice.engine).toBe(engine);
  expect(choice.why).toMatch(why);
});

test("how an engine is attached is part of the reason, where there is something to tell", async () => {
  const [chosen, asked] = await readRules("it", [{ from, to: [...to, { interface: "eth1", port: 1 }] }, { from: { ...from, port: 5001 }, to, engine: "TC" }]); // biome-ignore format: one line
  if (!chosen || !asked) throw new Error("no rules");
  const rows = engines().map((row) => (row.engine === "tc" ? { ...row, why: "by filters" } : row));
  const near = madeNear({ links });
  const whyOf = (rule: typeof chosen) => chooseEngine(rule, find(rule, near).ends, near, rows).why;
  expect(whyOf(chosen)).toBe("not XDP: XDP has one output, and this rule 2; by filters");
  expect(whyOf(asked)).toBe("asked for; by filters");
});

test("what carries a rule stays as long as it can, and what it cannot do any more it gives up", async () => {
  const [named] = await readRules("it", [{ from, to }]);
  if (!named) throw new Error("no rule");
  const choose = (made: Partial<Made>, before?: RelayEngine) => {
    const near = madeNear({ links, ...made });
    return chooseEngine(named, find(named, near).ends, near, engines(), before && { engine: before, why: "before" }).engine; // biome-ignore format: one call
  };
  expect(choose({ watched: "eth0" })).toBe("tc");
  expect(choose({ watched: "eth0" }, "xdp")).toBe("xdp");
  expect(choose({}, "tc")).toBe("tc");
  expect(choose({})).toBe("xdp");
  expect(choose({ probes: { eth1: { xdpTarget: false } } }, "xdp")).toBe("tc");
});
