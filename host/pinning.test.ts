import { rmSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cpuListText } from "./cpu-list.ts";
import { readInterfaces } from "./interfaces.ts";
import { queueIrqs, readInterrupts } from "./irqs.ts";
import { machineFolder, type MadeMachine, type MadeNic, writeMachine } from "./machine-tree.ts";
import { type InterfacePlan, type PinningPolicy, plan, type Planned } from "./pinning.ts";
import { readTopology } from "./topology.ts";

let folder = "";
beforeEach(() => {
  folder = machineFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Wish {
  readonly threads?: number;
  readonly ports?: readonly string[];
  readonly policy?: Partial<PinningPolicy>;
  readonly napi?: readonly string[];
}

function planned(machine: MadeMachine, wish: Wish = {}): InterfacePlan[] {
  const files = writeMachine(folder, machine);
  const all = readInterfaces(files);
  const interrupts = readInterrupts(files);
  const ports = wish.ports ?? machine.nics.map(({ name }) => name);
  return plan({
    topology: readTopology(files),
    policy: { policy: "NicLocal", cpus: [], irq: "Manage", ...wish.policy },
    all,
    ports: ports.map((name) => ({ nic: all.find((one) => one.name === name) as never, threads: wish.threads ?? 1 })),
    irqs: (nic) => queueIrqs(files, nic, interrupts),
    napi: ({ name }) => wish.napi?.includes(name) ?? false,
  });
}

function wished<T>(part: Planned<T>): T {
  if (!("desired" in part)) throw new Error(part.notApplicable);
  return part.desired;
}
const why = (part: Planned<unknown>): string => ("desired" in part ? part.reason : part.notApplicable);
const cpusOf = (one: InterfacePlan | undefined): readonly number[] => wished((one as InterfacePlan).threads);
const irqCpus = (one: InterfacePlan | undefined): number[] => wished((one as InterfacePlan).irqs).map(({ cpu }) => cpu);

const queues = (count: number): string[] => [
  "async",
  ...Array.from({ length: count }, (_, i) => `mlx5_comp${i}@pci:x`),
];
const nic = (name: string, node: number, count = 16, more: Partial<MadeNic> = {}): MadeNic => ({
  name,
  bus: `0000:${name}`,
  node,
  irqs: queues(count),
  queues: count,
  ...more,
});
const two = ["0-31", "32-63"];
const on = (cpus: readonly number[], from: number, to: number): boolean =>
  cpus.every((cpu) => cpu >= from && cpu <= to);

describe("two nodes of 32 CPUs, the NIC with 16 queues on node 1", () => {
  test("threads, memory and interrupts stay on its node, each interrupt on a CPU of its own", () => {
    const [one] = planned({ nodes: two, nics: [nic("a", 1)] }, { threads: 4 });
    expect(one?.node).toBe(1);
    expect(cpusOf(one)).toEqual([32, 33, 34, 35]);
    expect(wished((one as InterfacePlan).memory)).toBe(1);
    expect(irqCpus(one)).toEqual(Array.from({ length: 16 }, (_, i) => 36 + i));
    expect(why((one as InterfacePlan).irqs)).toContain("NUMA node 1");
    expect(one?.warnings).toEqual([]);
  });

  test("no CPU is given twice while others are free, over two NICs", () => {
    const [a, b] = planned({ nodes: two, nics: [nic("a", 1, 8), nic("b", 1, 8)] }, { threads: 8 });
    expect(new Set([...cpusOf(a), ...cpusOf(b), ...irqCpus(a), ...irqCpus(b)]).size).toBe(32);
  });

  test("NICs that want more than there is get alike", () => {
    const [a, b] = planned({ nodes: ["0-1", "2-5"], nics: [nic("a", 1, 2), nic("b", 1, 2)] }, { threads: 3 });
    expect(cpusOf(a)).toEqual([2, 4, 2]);
    expect(cpusOf(b)).toEqual([3, 5, 3]);
  });

  test("more queues than CPUs: each CPU gets as many, give or take one", () => {
    const [one] = planned({ nodes: ["0-3", "4-7"], nics: [nic("a", 1, 63)] });
    const counts = Map.groupBy(irqCpus(one), (cpu) => cpu);
    expect(new Set(counts.keys())).toEqual(new Set([4, 5, 6, 7]));
    expect([...counts.values()].map((list) => list.length)).toEqual([16, 16, 16, 15]);
  });

  test("the two interrupts of a virtio queue share a CPU; its others are left alone", () => {
    const irqs = ["virtio2-config", "virtio2-input.0", "virtio2-output.0", "virtio2-input.1", "virtio2-output.1"];
    const [one] = planned({ nodes: two, nics: [nic("a", 0, 2, { irqs })] });
    const cpus = irqCpus(one);
    expect(cpus).toHaveLength(4);
    expect([cpus[0] === cpus[1], cpus[2] === cpus[3], cpus[0] === cpus[2]]).toEqual([true, true, false]);
  });
});

describe("which CPUs are taken", () => {
  test("one per core before the second of any core, CPU 0 last", () => {
    const machine = { nodes: ["0-7"], smt: 4, nics: [nic("a", 0)] };
    expect(cpusOf(planned(machine, { threads: 4 })[0])).toEqual([1, 2, 3, 4]);
    expect(cpusOf(planned(machine, { threads: 8 })[0])).toEqual([1, 2, 3, 4, 5, 6, 7, 0]);
  });

  test("interrupts go to cores without a thread first", () => {
    const [one] = planned({ nodes: ["0-7"], smt: 4, nics: [nic("a", 0, 2)] }, { threads: 1 });
    expect(cpusOf(one)).toEqual([1]);
    expect(irqCpus(one)).toEqual([2, 3]);
  });

  test("CPU 0 when there is no other", () => {
    expect(cpusOf(planned({ nodes: ["0"], nics: [nic("a", 0)] })[0])).toEqual([0]);
  });

  test("two CPUs: the thread on 1, the interrupt on 0", () => {
    const [one] = planned({ nodes: ["0-1"], nics: [nic("a", -1, 1)] });
    expect([cpusOf(one), irqCpus(one)]).toEqual([[1], [0]]);
    expect(why((one as InterfacePlan).memory)).toContain("one NUMA node");
  });

  test("isolated and tickless CPUs are somebody's: not taken unless named", () => {
    const machine = { nodes: two, isolated: "32-35", tickless: "36-39", nics: [nic("a", 1, 40)] };
    const [one] = planned(machine, { threads: 4 });
    expect(cpusOf(one)).toEqual([40, 41, 42, 43]);
    expect(on(irqCpus(one), 40, 63)).toBe(true);
    expect(cpusOf(planned(machine, { threads: 2, policy: { policy: "Explicit", cpus: [34, 33] } })[0])).toEqual([
      34, 33,
    ]);
  });

  test("all isolated: used, and said", () => {
    const [one] = planned({ nodes: ["0-3"], isolated: "0-3", nics: [nic("a", 0)] });
    expect(cpusOf(one)).toEqual([1]);
    expect(one?.warnings[0]).toContain("isolated");
  });

  test("never outside what affinity and cpuset allow, interrupts neither", () => {
    const [one] = planned({ nodes: two, affinity: "30-40", cpuset: "36-63", nics: [nic("a", 1, 12)] }, { threads: 3 });
    expect(cpusOf(one)).toEqual([36, 37, 38]);
    expect(on(irqCpus(one), 36, 40)).toBe(true);
  });

  test("the NIC's node is closed to this process: the nearest open one, and a warning", () => {
    const [one] = planned({ nodes: two, affinity: "0-7", memory: "0", nics: [nic("a", 1)] });
    expect(cpusOf(one)).toEqual([1]);
    expect(wished((one as InterfacePlan).memory)).toBe(0);
    expect(one?.warnings[0]).toContain("node 1, which has no CPU");
  });

  test("memory of that node is closed: not applicable, in words", () => {
    const [one] = planned({ nodes: two, memory: "0", nics: [nic("a", 1)] });
    expect(why((one as InterfacePlan).memory)).toContain("no memory on node 1");
  });

  test("a NIC that does not say its node gets one node for all its threads; the next gets the other", () => {
    const [a, b] = planned({ nodes: two, nics: [nic("a", -1), nic("b", -1)] }, { threads: 2 });
    expect(a?.node).toBeNull();
    expect([cpusOf(a), cpusOf(b)]).toEqual([
      [1, 2],
      [32, 33],
    ]);
    expect(why((a as InterfacePlan).threads)).toContain("does not say its NUMA node");
  });
});

describe("Explicit", () => {
  test("in the order given; what cannot be used is named", () => {
    const [one] = planned(
      { nodes: two, affinity: "0-40", nics: [nic("a", 1, 4)] },
      { threads: 3, policy: { policy: "Explicit", cpus: [40, 2, 50, 70] } },
    );
    expect(cpusOf(one)).toEqual([40, 2, 40]);
    expect(one?.warnings).toEqual([
      "CPU 70 of pinning.cpus: not online",
      "CPU 50 of pinning.cpus: not allowed to this process (its affinity or its cgroup's cpuset)",
      "CPU 2 of pinning.cpus: not on the NIC's node 1",
    ]);
  });

  test("nothing of it can be used: no part applies, and all say why", () => {
    const [one] = planned({ nodes: two, nics: [nic("a", 1)] }, { policy: { policy: "Explicit", cpus: [80, 81] } });
    expect(why((one as InterfacePlan).threads)).toContain("no CPU that it may use");
    expect(why((one as InterfacePlan).irqs)).toBe("there is no CPU for it");
    expect(one?.warnings).toEqual(["CPUs 80-81 of pinning.cpus: not online"]);
  });
});

test("None pins nothing and says so", () => {
  const [one] = planned({ nodes: two, nics: [nic("a", 1)] }, { policy: { policy: "None" } });
  for (const part of [one?.threads, one?.memory, one?.irqs, one?.rps, one?.threaded])
    expect(part).toEqual({ notApplicable: "pinning.policy is None" });
});

describe("virtual interfaces", () => {
  const veth: MadeNic = { name: "veth1", queues: 2, files: { iflink: "99" } };

  test("a veth has no interrupts; RPS moves its work, on every queue", () => {
    const [one] = planned({ nodes: ["0-3"], nics: [veth] }, { threads: 2 });
    const { irqs, rps, threaded } = one as InterfacePlan;
    expect(cpusOf(one)).toEqual([1, 2]);
    expect(why(irqs)).toContain("virtual: no queue of it has an interrupt");
    expect(wished(rps).map(({ queue, cpus }) => [queue, cpuListText(cpus)])).toEqual([
      ["rx-0", "0,3"],
      ["rx-1", "0,3"],
    ]);
    expect(why(threaded)).toContain("no NAPI");
  });

  test("with NAPI its threads carry it instead", () => {
    const [one] = planned({ nodes: ["0-3"], nics: [veth] }, { napi: ["veth1"] });
    const { rps, threaded } = one as InterfacePlan;
    expect(why(rps)).toContain("by NAPI");
    expect(wished(threaded)).toEqual([{ interface: "veth1", index: 2, cpus: [2] }]);
  });

  test("a NIC with queues needs neither", () => {
    const [one] = planned({ nodes: two, nics: [nic("a", 1)] });
    expect(why((one as InterfacePlan).rps)).toContain("spread by the NIC's queues");
    expect(why((one as InterfacePlan).threaded)).toContain("spread by the NIC's queues");
  });

  test("loopback and bridges say why not", () => {
    const plans = planned({
      nodes: ["0-1"],
      nics: [
        { name: "lo", files: { type: "772" } },
        { name: "br0", files: { "bridge/x": "" }, lower: ["tap1"] },
      ],
    });
    expect(plans.map(({ rps }) => why(rps))).toEqual([
      "loopback's packets are received where they are sent",
      "br0 is a bridge: its ports receive (tap1)",
    ]);
  });

  test("a VLAN on a bond is pinned by the bond's NICs, whose interrupts are planned once", () => {
    const machine = {
      nodes: two,
      nics: [
        nic("a", 1, 2),
        nic("b", 1, 2),
        { name: "bond0", lower: ["a", "b"], files: { "bonding/mode": "x" } },
        { name: "bond0.7", lower: ["bond0"], files: { uevent: "DEVTYPE=vlan" } },
      ],
    };
    const [vlan, a] = planned(machine, { ports: ["bond0.7", "a"] });
    expect(vlan?.node).toBe(1);
    expect(on(cpusOf(vlan), 32, 63)).toBe(true);
    expect(wished((vlan as InterfacePlan).irqs).map((irq) => irq.interface)).toEqual(["a", "a", "b", "b"]);
    expect(why((vlan as InterfacePlan).irqs)).toContain("of a, b, which carry bond0.7");
    expect(why((a as InterfacePlan).irqs)).toContain("planned with another interface");
    expect(why((vlan as InterfacePlan).rps)).toContain("spread by the NIC's queues");
  });
});
