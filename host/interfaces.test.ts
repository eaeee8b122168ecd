import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HostFiles } from "./files.ts";
import { carriers, readInterface, readInterfaces } from "./interfaces.ts";
import { machineFolder, writeMachine } from "./machine-tree.ts";
import { globMatches, matching } from "./matching.ts";

let folder = "";
beforeEach(() => {
  folder = machineFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const machine = () =>
  writeMachine(folder, {
    nodes: ["0-1"],
    nics: [
      { name: "ens1", bus: "0000:3b:00.0", node: 1, driver: "ixgbe", queues: 4 },
      { name: "ens9", bus: "0000:3b:00.1", node: 1, driver: "ixgbe" },
      { name: "bond0", lower: ["ens1", "ens9"], files: { "bonding/mode": "802.3ad 4" } },
      { name: "bond0.7", lower: ["bond0"], files: { uevent: "DEVTYPE=vlan" } },
      { name: "br0", lower: ["tap3"], files: { "bridge/stp_state": "0" } },
      { name: "tap3", files: { tun_flags: "0x1002" } },
      { name: "veth1a", files: { iflink: "77" } },
      { name: "lo", files: { type: "772" } },
    ],
  });

test("kinds, drivers, bus addresses, nodes and queues are told", () => {
  const files = machine();
  writeFileSync(files.sys("class/net/bonding_masters"), "bond0\n");
  const all = readInterfaces(files);
  expect(all.map(({ name, kind }) => [name, kind])).toEqual([
    ["bond0", "bond"],
    ["bond0.7", "vlan"],
    ["br0", "bridge"],
    ["ens1", "physical"],
    ["ens9", "physical"],
    ["lo", "loopback"],
    ["tap3", "tun"],
    ["veth1a", "veth"],
  ]);
  expect(all.find(({ name }) => name === "ens1")).toMatchObject({
    driver: "ixgbe",
    bus: "0000:3b:00.0",
    numaNode: 1,
    queues: { rx: 4, tx: 4 },
    state: "up",
    carrier: true,
    mtu: 1500,
    speedMbps: null,
  });
  expect(all.find(({ name }) => name === "veth1a")).toMatchObject({ physical: false, numaNode: null, bus: null });
});

test("a VLAN on a bond is carried by the bond's NICs, a bridge by itself", () => {
  const all = readInterfaces(machine());
  const under = (name: string) => carriers(all.find((one) => one.name === name) as never, all).map((one) => one.name);
  expect(under("bond0.7")).toEqual(["ens1", "ens9"]);
  expect(under("br0")).toEqual(["br0"]);
  expect(under("ens1")).toEqual(["ens1"]);
});

test("what ethtool calls the driver is taken where sysfs has none", () => {
  const files = writeMachine(folder, { nodes: ["0"], nics: [{ name: "x", queues: 1 }] });
  expect(readInterface(files, "x")).toMatchObject({ kind: "virtual", driver: null });
  expect(readInterface(files, "x", () => "veth")).toMatchObject({ kind: "veth", driver: "veth" });
  expect(readInterface(files, "gone")).toBeUndefined();
});

test("this machine's interfaces agree with `ip link`", () => {
  const links = JSON.parse(execFileSync("ip", ["-j", "-d", "link"], { encoding: "utf8" })) as {
    ifname: string;
    ifindex: number;
    mtu: number;
    operstate: string;
    num_rx_queues: number;
    parentbus?: string;
  }[];
  const all = readInterfaces(new HostFiles());
  expect(new Set(all.map(({ name, index, mtu }) => `${name} ${index} ${mtu}`))).toEqual(
    new Set(links.map(({ ifname, ifindex, mtu }) => `${ifname} ${ifindex} ${mtu}`)),
  );
  for (const link of links) {
    const found = all.find(({ name }) => name === link.ifname);
    expect(found?.state).toBe(link.operstate.toLowerCase());
    expect(found?.physical).toBe(link.parentbus !== undefined);
  }
});

describe("globs", () => {
  test.each([
    ["ens*", "ens9", true],
    ["ens*", "wens9", false],
    ["ens?", "ens", false],
    ["ens[1-3]", "ens2", true],
    ["ens[!1-3]", "ens2", false],
    ["ens[!1-3]", "ens4", true],
    ["*", "anything", true],
    ["e.s1", "ens1", false],
    ["bond0.*", "bond0.7", true],
    ["eth[", "eth[", true],
    ["[z-a]", "b", false],
    ["", "", false],
    ["a**b", "axxb", true],
    ["[]]", "]", true],
    ["[a\\]", "\\", true],
  ])("%s and %s", (glob, name, matches) => expect(globMatches(glob, name)).toBe(matches));
});

describe("entries of the configuration", () => {
  const names = (...entries: Parameters<typeof matching>[0]) =>
    matching(entries, readInterfaces(machine())).interfaces.map(({ name }) => name);

  test("by name, glob and driver, each interface once, in the order of the entries", () => {
    expect(names({ driver: "ixgbe" }, { glob: "e*" })).toEqual(["ens1", "ens9"]);
    expect(names({ name: "veth1a" }, { glob: "ens*", exclude: ["ens9"] })).toEqual(["veth1a", "ens1"]);
    expect(names({ driver: "ixgbe", exclude: ["*9"] })).toEqual(["ens1"]);
  });

  test("what is named is meant, though a glob excludes it", () => {
    expect(names({ glob: "*", exclude: ["*"] }, { name: "ens9" })).toEqual(["ens9"]);
  });

  test("loopback is meant by name only", () => {
    expect(names({ glob: "*" })).not.toContain("lo");
    expect(names({ glob: "lo" })).toEqual([]);
    expect(names({ name: "lo" })).toEqual(["lo"]);
  });

  test("a named interface that is not there is said", () => {
    expect(matching([{ name: "ens5" }, { glob: "zz*" }], readInterfaces(machine()))).toEqual({
      interfaces: [],
      absent: ["ens5"],
    });
  });
});
