// On trees of files that stand for a machine. What a real kernel makes of it is tested in test/host.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pinningReport } from "#domain/pinning.ts";
import type { HostFiles } from "./files.ts";
import { machineFolder, type MadeMachine, writeMachine } from "./machine-tree.ts";
import { Pinner, type PinnerOptions } from "./pinner.ts";
import type { PinningPolicy } from "./pinning.ts";

let folder = "";
let files: HostFiles;
let now = 0n;
const second = 1_000_000_000n;
const state = (): string => join(folder, "state", "pinning.json");

beforeEach(() => {
  folder = machineFolder();
  files = writeMachine(folder, machine);
  now = 1_800_000_000n * second;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const machine: MadeMachine = {
  nodes: ["0-31", "32-63"],
  nics: [
    {
      name: "ens1",
      bus: "0000:81:00.0",
      node: 1,
      firstIrq: 100,
      irqs: ["mlx5_async0@pci:x", ...Array.from({ length: 16 }, (_, i) => `mlx5_comp${i}@pci:x`)],
      queues: 16,
    },
    { name: "veth1", files: { iflink: "99" } },
  ],
};
const manage: PinningPolicy = { policy: "NicLocal", cpus: [], irq: "Manage" };
const observe: PinningPolicy = { ...manage, irq: "Observe" };
const pinner = (more: Partial<PinnerOptions> = {}): Pinner =>
  new Pinner({ files, statePath: state(), now: () => now, pid: 4000, ...more });
const captured = [{ name: "ens1", threads: 2 }];

const irq = (number: number): string => files.irq(`${number}`, "smp_affinity_list");
const put = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${text}\n`);
};
const get = (path: string): string => readFileSync(path, "utf8").trim();
const affinities = (): string[] => Array.from({ length: 17 }, (_, i) => get(irq(100 + i)));
const untouched = (): string[] => Array<string>(17).fill("0-63");
const process4000 = (started: string): void =>
  put(files.proc("4000/stat"), `4000 (node (a) b) S ${"1 ".repeat(18)}${started} 0`);

describe("Manage", () => {
  test("spreads the queues' interrupts over the NIC's node, leaves others alone, and puts all back", () => {
    const one = pinner();
    const [plan] = one.arrange(manage, captured);
    expect(plan?.threads).toMatchObject({ desired: [32, 33] });
    expect(affinities()).toEqual(["0-63", ...Array.from({ length: 16 }, (_, i) => `${34 + i}`)]);
    expect(statSync(state()).mode & 0o777).toBe(0o600);
    const restored = one.close();
    expect(restored).toHaveLength(16);
    expect(new Set(restored.map(({ result }) => result))).toEqual(new Set(["restored"]));
    expect(affinities()).toEqual(untouched());
    expect(existsSync(state())).toBe(false);
    expect(one.close()).toEqual([]);
  });

  test("the old values are on the disk before the first is changed; where that fails nothing is changed", () => {
    writeFileSync(join(folder, "state"), "a file where the folder should be");
    const one = pinner();
    one.arrange(manage, captured);
    expect(affinities()).toEqual(untouched());
    const [view] = one.observe().interfaces;
    expect(view?.irqs.items[0]?.problem).toMatch(/pinning.json cannot be written: E(EXIST|NOTDIR)/);
    expect(one.close()).toEqual([]);
  });

  test("one that the kernel refuses is told with its reason, not tried every minute, and does not stop the rest", () => {
    // Reads as a CPU, and may not be written by anybody.
    rmSync(irq(103));
    symlinkSync("/proc/sys/kernel/cap_last_cap", irq(103));
    const refused = get(irq(103));
    const one = pinner();
    one.arrange(manage, captured);
    const { interfaces, reapplied } = one.observe();
    expect(interfaces[0]?.irqs.items[2]).toMatchObject({
      name: "irq 103 mlx5_comp2@pci:x",
      desired: "36",
      actual: refused,
      problem: "this process lacks the right to write it (EACCES)",
    });
    expect(reapplied).toBe(0);
    expect([get(irq(102)), get(irq(104))]).toEqual(["35", "37"]);
    expect(one.close().filter(({ result }) => result !== "restored")).toMatchObject([
      { name: "irq 103 mlx5_comp2@pci:x", result: "unchanged" },
    ]);
  });

  test("what cannot be put back now stays in the state file, for the next start", () => {
    const one = pinner({ pid: 3000 });
    one.arrange(manage, captured);
    rmSync(irq(103));
    symlinkSync("/proc/sys/kernel/cap_last_cap", irq(103));
    const kept = readFileSync(state(), "utf8").replaceAll('"36"', `"${get(irq(103))}"`); // as if it read what we had set
    writeFileSync(state(), kept);
    expect(
      pinner()
        .recover()
        .filter(({ result }) => result === "failed"),
    ).toMatchObject([
      { name: "irq 103 mlx5_comp2@pci:x", detail: "this process lacks the right to write it (EACCES)" },
    ]);
    rmSync(irq(103));
    put(irq(103), get("/proc/sys/kernel/cap_last_cap"));
    expect(pinner().recover()).toMatchObject([{ name: "irq 103 mlx5_comp2@pci:x", result: "restored" }]);
    expect(affinities()).toEqual(untouched());
  });

  test("turned to Observe puts everything back", () => {
    const one = pinner();
    one.arrange(manage, captured);
    one.arrange(observe, captured);
    expect(affinities()).toEqual(untouched());
  });

  test("an interface that is no longer captured gets its old state, the others keep theirs", () => {
    const one = pinner();
    one.arrange(manage, [...captured, { name: "veth1", threads: 1 }]);
    const rps = files.sys("class/net/veth1/queues/rx-0/rps_cpus");
    expect(get(rps)).not.toBe("0");
    one.arrange(manage, [{ name: "veth1", threads: 1 }]);
    expect(affinities()).toEqual(untouched());
    expect(get(rps)).not.toBe("0");
    one.close();
    expect(get(rps)).toBe("0");
  });

  test("a new plan does not take our own values for the old ones", () => {
    const one = pinner();
    one.arrange(manage, captured);
    one.arrange({ policy: "Explicit", cpus: [5], irq: "Manage" }, captured);
    expect(affinities().slice(1)).toEqual(Array<string>(16).fill("5"));
    one.close();
    expect(affinities()).toEqual(untouched());
  });

  test("what somebody else has changed since is left alone, and said", () => {
    const one = pinner();
    one.arrange(manage, captured);
    put(irq(105), "7");
    const foreign = one.close().filter(({ result }) => result !== "restored");
    expect(foreign).toEqual([
      {
        interface: "ens1",
        item: "irq",
        name: "irq 105 mlx5_comp4@pci:x",
        result: "foreign",
        detail: "it is 7, ours was 38",
      },
    ]);
    expect(get(irq(105))).toBe("7");
  });

  test("an interrupt that was given to another handler is neither written nor restored", () => {
    const one = pinner();
    one.arrange(manage, captured);
    rmSync(files.irq("103", "mlx5_comp2@pci:x"), { recursive: true });
    mkdirSync(files.irq("103", "nvme0q1"));
    expect(one.close().find(({ name }) => name.startsWith("irq 103"))).toMatchObject({ result: "gone" });
    expect(get(irq(103))).toBe("36");
  });

  test("an interface made again is another one: its RPS is not written", () => {
    const one = pinner();
    one.arrange(manage, [{ name: "veth1", threads: 1 }]);
    put(files.sys("class/net/veth1/ifindex"), "50");
    expect(one.close()).toMatchObject([{ item: "rps", result: "gone", detail: "veth1 is another interface now" }]);
  });
});

describe("Observe", () => {
  test("changes nothing and shows both sides", () => {
    const one = pinner();
    one.arrange(observe, captured);
    const report = pinningReport.parse(one.observe(() => ({ cpus: [32, 33], node: 1 })));
    expect(affinities()).toEqual(untouched());
    expect(existsSync(state())).toBe(false);
    expect(report).toMatchObject({ policy: "NicLocal", irq: "Observe", allowed_cpus: "0-63", reapplied: 0 });
    const [view] = report.interfaces;
    expect(view?.numa_node).toBe(1);
    expect(view?.irqs.items).toHaveLength(16);
    expect(view?.irqs.items[0]).toEqual({
      name: "irq 101 mlx5_comp0@pci:x",
      desired: "34",
      actual: "0-63",
      effective: "0",
      problem: null,
    });
    expect(view?.threads.items).toMatchObject([
      { desired: "32", actual: "32" },
      { desired: "33", actual: "33" },
    ]);
    expect(view?.rps.not_applicable).toContain("spread by the NIC's queues");
    expect(view?.rps.items[0]).toMatchObject({ name: "rps ens1/rx-0", desired: null, actual: "" });
  });

  test("shows what is also when nothing is wished (None), or when there is no such interface", () => {
    const one = pinner();
    one.arrange({ ...manage, policy: "None" }, [...captured, { name: "later", threads: 1 }]);
    const { interfaces, drift } = one.observe();
    expect(interfaces).toHaveLength(1);
    expect(interfaces[0]?.irqs).toMatchObject({ not_applicable: "pinning.policy is None" });
    expect(interfaces[0]?.irqs.items[0]).toMatchObject({ desired: null, actual: "0-63" });
    expect(drift).toEqual([]);
    expect(affinities()).toEqual(untouched());
  });
});

describe("drift", () => {
  const runs = (pid: number, program: string): void => put(files.proc(`${pid}/comm`), program);

  test("is told with its start and its likely cause, and mended once a minute at most", () => {
    runs(2, "kthreadd");
    runs(900, "irqbalance");
    const one = pinner();
    one.arrange(manage, captured);
    expect(one.observe()).toMatchObject({ drift: [], drift_cause: null, irqbalance: true, drifts: 0, reapplied: 0 });

    now += second;
    put(irq(101), "3");
    expect(one.observe()).toMatchObject({
      drift: [
        {
          item: "irq",
          name: "irq 101 mlx5_comp0@pci:x",
          desired: "34",
          actual: "3",
          since: "2027-01-15T08:00:01.000000000Z",
        },
      ],
      drift_cause: "irqbalance is running",
      drifts: 1,
      reapplied: 1,
    });
    expect(get(irq(101))).toBe("34");

    now += second;
    put(irq(101), "3");
    put(irq(102), "4");
    expect(one.observe().drift).toHaveLength(2);
    now += 58n * second;
    expect(one.observe()).toMatchObject({
      reapplied: 1,
      drifts: 2,
      drift: [{ since: "2027-01-15T08:00:01.000000000Z" }, {}],
    });
    expect(get(irq(101))).toBe("3");
    now += second;
    expect(one.observe()).toMatchObject({ reapplied: 3 });
    expect([get(irq(101)), get(irq(102))]).toEqual(["34", "35"]);
    expect(one.observe()).toMatchObject({ drift: [], drifts: 2 });
    one.close();
    expect(affinities()).toEqual(untouched());
  });

  test("of a capture thread is told, too", () => {
    const one = pinner();
    one.arrange(observe, captured);
    const { drift } = one.observe(() => ({ cpus: [32, 7], node: 0 }));
    expect(drift.filter(({ item }) => item !== "irq")).toMatchObject([
      { item: "thread", name: "thread 1", desired: "33", actual: "7" },
      { item: "memory", desired: "1", actual: "0" },
    ]);
  });

  test("irqbalance cannot be told where other processes are not seen", () => {
    const one = pinner();
    expect(one.observe().irqbalance).toBeNull();
    runs(2, "kthreadd");
    now += 60n * second;
    expect(one.observe().irqbalance).toBe(false);
  });
});

describe("the state of an agent that is no more", () => {
  const leave = (): void => {
    pinner({ pid: 3000 }).arrange(manage, captured); // and is never closed
    expect(affinities()).not.toEqual(untouched());
  };

  test("is put back at the next start, and told in the report", () => {
    leave();
    const next = pinner();
    expect(next.recover()).toHaveLength(16);
    expect(affinities()).toEqual(untouched());
    expect(existsSync(state())).toBe(false);
    expect(next.observe().restored_at_start[0]).toMatchObject({
      result: "restored",
      name: "irq 116 mlx5_comp15@pci:x",
    });
    expect(pinner().recover()).toEqual([]);
  });

  test("is put back as well when it died while it changed its own plan", () => {
    const dead = pinner({ pid: 3000 });
    dead.arrange(manage, captured);
    dead.arrange({ policy: "Explicit", cpus: [5], irq: "Manage" }, captured);
    for (const number of [110, 111, 112]) put(irq(number), `${number - 67}`); // the first plan's values: these were not yet written
    expect(
      new Set(
        pinner()
          .recover()
          .map(({ result }) => result),
      ),
    ).toEqual(new Set(["restored"]));
    expect(affinities()).toEqual(untouched());
  });

  test("is left where it is while that agent lives, and nothing is pinned beside it", () => {
    process4000("777");
    pinner({ pid: 4000 }).arrange(manage, captured);
    const before = [affinities(), get(state())];
    const second = pinner({ pid: 5000 });
    expect(() => second.recover()).toThrow(/belongs to process 4000, which is running/);
    second.arrange({ policy: "Explicit", cpus: [9], irq: "Manage" }, captured);
    second.close();
    expect([affinities(), get(state())]).toEqual(before);
    expect(second.observe().interfaces[0]?.irqs.items[0]?.problem).toContain("belongs to process 4000");
  });

  test("its number given to another process does not keep it alive", () => {
    process4000("777");
    pinner({ pid: 4000 }).arrange(manage, captured);
    process4000("999");
    expect(pinner({ pid: 5000 }).recover()).toHaveLength(16);
  });

  test("of an earlier boot means nothing", () => {
    leave();
    put(files.proc("sys/kernel/random/boot_id"), "another");
    const before = affinities();
    expect(pinner().recover()).toEqual([]);
    expect(affinities()).toEqual(before);
    expect(existsSync(state())).toBe(false);
  });

  test.each([
    ["cut off", (text: string) => text.slice(0, 100), /the whole/],
    ["of another kind", () => '{"version":2}', /version/],
    ["with a value that is no list of CPUs", (text: string) => text.replace('"0-63"', '"0; reboot"'), /before/],
    [
      "with a queue outside its folder",
      (text: string) =>
        text.replace(/"setting": \{[^}]*\}/, '"setting":{"item":"rps","interface":"e","index":1,"queue":"../../x"}'),
      /queue/,
    ],
  ])("%s is moved aside and said", (_, damage, message) => {
    leave();
    writeFileSync(state(), damage(readFileSync(state(), "utf8")));
    const next = pinner();
    expect(() => next.recover()).toThrow(message);
    expect(existsSync(`${state()}.damaged`)).toBe(true);
    expect(next.recover()).toEqual([]);
  });

  test("a file that a crash left half written beside it is no obstacle", () => {
    leave();
    writeFileSync(`${state()}.new`, "{");
    expect(pinner().recover()).toHaveLength(16);
  });
});
