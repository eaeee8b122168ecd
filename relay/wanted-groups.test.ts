import { expect, test } from "vitest";
import { type Made, madeNear } from "./made-near.ts";
import { Programme } from "./programme.ts";
import { bytesOf } from "./resolve.ts";
import { readRules } from "./rule-input.ts";
import { vlanKey, vlanNames } from "./vlans.ts";
import { wantedGroups } from "./wanted-groups.ts";
import { noEngines } from "./made-near.ts";

const links = [{ name: "eth0" }, { name: "eth1" }, { name: "seven" }];
const to = [{ interface: "eth1" }];
const from = { interface: "eth0", group: "239.1.1.1", port: 5000 };

async function wanted(made: Partial<Made>, ...rules: object[]) {
  const near = madeNear({ links, ...made });
  const rows = noEngines("")
    .states()
    .map((row) => ({ ...row, available: true }));
  const engines = { ...noEngines(""), states: () => rows };
  const programme = new Programme({ engines, epoch: 1, carried: new Map(), applied: () => {} }, near);
  programme.set(await readRules("it", rules));
  return wantedGroups(programme.stands.values(), near);
}

test("a group is joined where its packets come in: by the VLAN's interface, if they have a tag", async () => {
  const vlans = { seven: ["eth0", 7] as const };
  const sources = ["10.0.0.1", "10.0.0.2"];
  const { wanted: all, impossible } = await wanted({ vlans }, { id: "plain", from, to }, { id: "tagged", from: { ...from, vlan: 7, sources }, to }, { id: "late", from: { ...from, interface: "eth9" }, to }); // biome-ignore format: one line
  const group = bytesOf("239.1.1.1");
  expect(all).toEqual([{ ifindex: 1, group }, ...sources.map((source) => ({ ifindex: 3, group, source: bytesOf(source) }))]); // biome-ignore format: one row
  expect(impossible).toEqual([]);
});

test("a VLAN without an interface is told once, however many rules have it, and nothing is joined in its place", async () => {
  const tagged = (id: string, group: string, vlan: number) => ({ id, from: { ...from, group, vlan }, to });
  const { wanted: all, impossible } = await wanted({ vlans: { seven: ["eth1", 7] } }, tagged("a", "239.1.1.1", 7), tagged("b", "239.1.1.2", 7), tagged("c", "239.1.1.1", 8)); // biome-ignore format: one line
  expect(all).toEqual([]);
  expect(impossible).toEqual([
    { interface: "eth0, VLAN 7", group: "239.1.1.1 and 1 more", detail: expect.stringContaining("ip link add link eth0 name eth0.7 type vlan id 7") as string },
    { interface: "eth0, VLAN 8", group: "239.1.1.1", detail: expect.stringContaining("id 8") as string },
  ]); // biome-ignore format: a table
});

test("the kernel's list of VLAN interfaces is read as it is written", () => {
  const list = vlanNames(
    "VLAN Dev name\t | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\neth0.7         | 7  | eth0\nfeed           | 4094  | eth1\n",
  );
  expect([...list]).toEqual([[vlanKey("eth0", 7), "eth0.7"], [vlanKey("eth1", 4094), "feed"]]); // biome-ignore format: a table
  expect(vlanNames("").size).toBe(0);
});
