// The plan for NICs that this machine may not have, and interrupts of a machine with two nodes and 64 CPUs, in files.
import { existsSync, rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Ethtool } from "#native/engine.ts";
import { applyChanges, controls, restoreChanges, type Controls } from "./tune-apply.ts";
import { cpusOf, tuneFacts, type TuneFacts } from "./tune-facts.ts";
import { tunePlan, type TuneItem, type TuneValue } from "./tune.ts";
import { tree, type Tree } from "./tree.ts";

const on = { active: true, wanted: true, changeable: true };
const off = { active: false, wanted: false, changeable: true };
const fixed = { ...on, changeable: false };

/** A NIC of the usual server, as its driver leaves it. */
const server: Ethtool = {
  index: 3,
  driver: { value: { name: "mlx5_core", version: "6.1", firmware: "16.35", bus: "0000:81:00.0" } },
  rings: { value: { rx: 1024, rxMax: 8192, tx: 1024, txMax: 8192 } },
  coalesce: { value: { adaptiveRx: true, rxUsecs: 8 } },
  channels: { value: { combined: 32, combinedMax: 63 } },
  features: { value: { "rx-gro": on, "rx-lro": off, "rx-gro-hw": fixed, "rx-checksum": on, "rx-vlan-hw-parse": on, "tx-tcp-segmentation": on } },
  statistics: { value: { rx_out_of_buffer: 3 } },
}; // biome-ignore format: a table

const facts: TuneFacts = {
  interface: "eth1",
  ethtool: server,
  virtual: false,
  virtioModeration: true,
  nodes: [0, 1],
  node: 1,
  nodeCpus: "32-63",
  irqs: [
    { irq: 81, cpus: "0-63" },
    { irq: 82, cpus: "40" },
  ],
  defaultRoute: false,
  addresses: [],
};

const itemOf = (given: TuneFacts, what: string): TuneItem => {
  const found = tunePlan(given).items.find((item) => item.what === what);
  if (found === undefined) throw new Error(`no ${what}`);
  return found;
};
const withEthtool = (changed: Partial<Ethtool>): TuneFacts => ({ ...facts, ethtool: { ...server, ...changed } });

test("a server's NIC: what is to change, in order, with the same by hand", () => {
  const plan = tunePlan(facts);
  expect(plan.items.flatMap((item) => item.changes)).toEqual([
    { key: "ring.rx", before: 1024, wanted: 4096 },
    { key: "feature.rx-gro", before: true, wanted: false },
    { key: "coalesce.adaptiveRx", before: true, wanted: false },
    { key: "coalesce.rxUsecs", before: 8, wanted: 50 },
    { key: "irq.81", before: "0-63", wanted: "32-63" },
  ]);
  expect(plan.items.flatMap((item) => item.byHand)).toEqual([
    "ethtool -G eth1 rx 4096",
    "ethtool -K eth1 gro off",
    "ethtool -C eth1 adaptive-rx off",
    "ethtool -C eth1 rx-usecs 50",
    "echo 32-63 > /proc/irq/81/smp_affinity_list",
  ]);
  expect(itemOf(facts, "receive ring").reason).toContain("8192");
  expect(itemOf(facts, "hardware receive offload")).toMatchObject({ state: "not applicable", now: "on" });
});

test.each([
  [256, 256, "as wanted"],
  [256, 512, "to change"],
  [4096, 8192, "as wanted"],
  [8192, 8192, "as wanted"],
  [0, 0, "not applicable"],
])("a receive ring of %i of at most %i is %s", (rx, rxMax, state) => {
  expect(itemOf(withEthtool({ rings: { value: { rx, rxMax } } }), "receive ring").state).toBe(state);
});

test.each([
  [0, true, "to change"],
  [0, false, "not applicable"],
  [10, true, "as wanted"],
  [100, true, "as wanted"],
  [101, true, "to change"],
])("an interrupt delay of %i µs, which the device %s offer, is %s", (rxUsecs, virtioModeration, state) => {
  const given = { ...withEthtool({ coalesce: { value: { rxUsecs } } }), virtioModeration };
  expect(itemOf(given, "interrupt delay").state).toBe(state);
});

describe("interrupts", () => {
  test.each<[string, Partial<TuneFacts>, TuneItem["state"], string]>([
    ["on CPUs of the device's node", { irqs: [{ irq: 1, cpus: "32-40,63" }] }, "as wanted", "node, 1"],
    ["of an interface made of software", { virtual: true, irqs: [] }, "not applicable", "threaded NAPI or RPS"],
    ["on a machine with one node", { nodes: [0] }, "not applicable", "one NUMA node"],
    ["where the machine does not know the node", { node: undefined }, "not applicable", "does not say"],
    ["of a device without any", { irqs: [] }, "not applicable", "no interrupts of its own"],
  ])("%s: said as such", (_, changed, state, reason) => {
    const item = itemOf({ ...facts, ...changed }, "interrupts");
    expect(item.state).toBe(state);
    expect(item.reason).toContain(reason);
    expect(item.changes).toEqual([]);
  });

  test.each([
    ["0-3,8", [0, 1, 2, 3, 8]],
    ["", []],
    ["5", [5]],
    ["0-4294967295", Array.from({ length: 65_536 }, (_, cpu) => cpu)],
  ])("a list of CPUs: %j", (text, cpus) => expect([...cpusOf(text)]).toEqual(cpus));
});

test("a link reset, and what it costs to go without offloads, are warned of where they would be felt", () => {
  expect(tunePlan(facts).warnings).toEqual([]);
  const { warnings } = tunePlan({ ...facts, defaultRoute: true, addresses: ["192.0.2.7"] });
  expect(warnings).toEqual([
    expect.stringMatching(/^eth1 carries the default route and 192.0.2.7: .*SSH too/),
    expect.stringMatching(/^eth1 carries the default route and 192.0.2.7: without receive offload/),
  ]);
  // Nothing to change that would be felt: nothing to warn of.
  const quiet = withEthtool({ rings: { value: { rx: 4096, rxMax: 4096 } }, features: { value: { "rx-gro": off } } });
  expect(tunePlan({ ...quiet, defaultRoute: true }).warnings).toEqual([]);
});

/** Two nodes of 32 CPUs; the loopback interface stands for a virtio NIC on node 1 with two interrupts, 90 and 91. */
function twoNodes(): Tree {
  const machine = tree({
    "sys/devices/system/node/online": "0-1\n",
    "sys/devices/system/node/node1/cpulist": "32-63\n",
    "sys/devices/pci0/0000:81:00.0/numa_node": "1\n",
    "sys/devices/pci0/0000:81:00.0/msi_irqs/90": "msix\n",
    "sys/devices/pci0/0000:81:00.0/msi_irqs/91": "msix\n",
    "sys/devices/pci0/0000:81:00.0/virtio2/features": "1".repeat(52).padEnd(64, "0"),
    "proc/irq/90/smp_affinity_list": "0-63\n",
    "proc/irq/91/smp_affinity_list": "5\n",
    "proc/net/route":
      "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nlo\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n",
    "proc/net/ipv6_route": "",
  });
  machine.link("sys/class/net/lo/device", "sys/devices/pci0/0000:81:00.0/virtio2");
  return machine;
}
const rootsOf = (machine: Tree) => ({ sys: machine.path("sys"), proc: machine.path("proc") });
const affinity = (machine: Tree, irq: number): string => machine.read(`proc/irq/${irq}/smp_affinity_list`).trim();
const interruptsOf = (machine: Tree) => itemOf(tuneFacts("lo", rootsOf(machine)), "interrupts").changes;

describe("a machine with two nodes", () => {
  test("what a plan rests on is found in its files", () => {
    using machine = twoNodes();
    expect(tuneFacts("lo", rootsOf(machine))).toMatchObject({
      virtual: false,
      nodes: [0, 1],
      node: 1,
      nodeCpus: "32-63",
      irqs: [
        { irq: 90, cpus: "0-63" },
        { irq: 91, cpus: "5" },
      ],
      defaultRoute: true,
    });
  });

  test("a default route of IPv6 counts, one of another interface does not", () => {
    using machine = twoNodes();
    const zeros = "0".repeat(32);
    const row = (name: string) => `${zeros} 00 ${zeros} 00 fe80${"0".repeat(28)} 00000400 1 0 00000003 ${name}\n`;
    machine.write("proc/net/route", "Iface\tDestination\n");
    machine.write("proc/net/ipv6_route", row("eth9"));
    expect(tuneFacts("lo", rootsOf(machine)).defaultRoute).toBe(false);
    // The kernel's own, which refuses what has no other route.
    machine.write(
      "proc/net/ipv6_route",
      `${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo\n`,
    );
    expect(tuneFacts("lo", rootsOf(machine)).defaultRoute).toBe(false);
    machine.write("proc/net/ipv6_route", row("eth9") + row("lo"));
    expect(tuneFacts("lo", rootsOf(machine)).defaultRoute).toBe(true);
  });

  test("interrupts go to the device's node and come back; what somebody moved since stays theirs", () => {
    using machine = twoNodes();
    const by = controls("lo", machine.path("proc"));
    const state = machine.path("state/lo.json");
    const outcomes = applyChanges("lo", interruptsOf(machine), state, by);
    expect(outcomes.map(({ result }) => result)).toEqual(["set", "set"]);
    expect([affinity(machine, 90), affinity(machine, 91)]).toEqual(["32-63", "32-63"]);
    expect(interruptsOf(machine)).toEqual([]);

    machine.write("proc/irq/91/smp_affinity_list", "7\n");
    expect(restoreChanges("lo", state, by).map(({ key, after, result }) => [key, after, result])).toEqual([
      ["irq.91", "7", "changed since"],
      ["irq.90", "0-63", "restored"],
    ]);
    expect([affinity(machine, 90), affinity(machine, 91)]).toEqual(["0-63", "7"]);
    expect(existsSync(state)).toBe(false);
  });

  test("applied, moved by irqbalance, applied again: what comes back is what was there before us", () => {
    using machine = twoNodes();
    const by = controls("lo", machine.path("proc"));
    const state = machine.path("state/lo.json");
    applyChanges("lo", interruptsOf(machine), state, by);
    machine.write("proc/irq/90/smp_affinity_list", "9\n"); // somebody's choice now: it is what a restore returns to
    applyChanges("lo", interruptsOf(machine), state, by);
    restoreChanges("lo", state, by);
    expect([affinity(machine, 90), affinity(machine, 91)]).toEqual(["9", "5"]);
  });

  test("killed between two changes: what was set comes back", () => {
    using machine = twoNodes();
    const by = controls("lo", machine.path("proc"));
    const state = machine.path("state/lo.json");
    let writes = 0;
    const dying: Controls = {
      ...by,
      read: (key) => {
        if (writes > 0) throw new Error("killed");
        return by.read(key);
      },
      write: (key, value) => {
        by.write(key, value);
        writes += 1;
      },
    };
    expect(() => applyChanges("lo", interruptsOf(machine), state, dying)).toThrow("killed");
    expect(affinity(machine, 90)).toBe("32-63");
    expect(restoreChanges("lo", state, by).map(({ result }) => result)).toEqual(["as before", "restored"]);
    expect([affinity(machine, 90), affinity(machine, 91)]).toEqual(["0-63", "5"]);
  });

  test("an interrupt that went away is named, and the others are moved all the same", () => {
    using machine = twoNodes();
    const changes = interruptsOf(machine);
    rmSync(machine.path("proc/irq/90"), { recursive: true });
    const outcomes = applyChanges("lo", changes, machine.path("state/lo.json"), controls("lo", machine.path("proc")));
    expect(outcomes[0]).toMatchObject({ result: "failed", why: expect.stringContaining("ENOENT") as string });
    expect(outcomes[1]).toMatchObject({ result: "set" });
    expect(JSON.parse(machine.read("state/lo.json"))).toMatchObject({
      changes: [{ key: "irq.91", before: "5", set: "32-63" }],
    });
  });
});

test("a ring that the driver rounds is set, and restorable; one that it keeps is not", () => {
  using folder = tree();
  const values = new Map<string, TuneValue>([["ring.rx", 512]]);
  // A driver that takes only powers of two, none above 2048.
  const rounding: Controls = {
    read: (key) => values.get(key),
    write: (key, value) => void values.set(key, Math.min(2048, 2 ** Math.round(Math.log2(Number(value))))),
  };
  const state = folder.path("eth1.json");
  expect(applyChanges("eth1", [{ key: "ring.rx", before: 512, wanted: 2000 }], state, rounding)).toMatchObject([
    { after: 2048, result: "set" },
  ]);
  expect(applyChanges("eth1", [{ key: "ring.rx", before: 2048, wanted: 4096 }], state, rounding)).toMatchObject([
    { after: 2048, result: "failed", why: "the driver kept it at 2048" },
  ]);
  expect(restoreChanges("eth1", state, rounding)).toMatchObject([{ after: 512, result: "restored" }]);
});

test("applied for another value while ours still stands: the first value is the one that comes back", () => {
  using folder = tree();
  const values = new Map<string, TuneValue>([["ring.rx", 512]]);
  const by: Controls = { read: (key) => values.get(key), write: (key, value) => void values.set(key, value) };
  const state = folder.path("eth1.json");
  applyChanges("eth1", [{ key: "ring.rx", before: 512, wanted: 1024 }], state, by);
  applyChanges("eth1", [{ key: "ring.rx", before: 1024, wanted: 4096 }], state, by);
  expect(restoreChanges("eth1", state, by)).toMatchObject([{ before: 4096, after: 512, result: "restored" }]);
});
