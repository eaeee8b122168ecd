// The examination of machines that are not at hand: their files in a folder, and what a kernel would have answered.
import { expect, test } from "vitest";
import type { HostProbe } from "#native/engine.ts";
import { effectiveCapabilities } from "./capabilities.ts";
import type { Check } from "./check.ts";
import { doctor } from "./doctor.ts";
import type { RelayTrial } from "./relay-trial.ts";
import { tree, type Tree } from "./tree.ts";

const works = { outcome: "works", detail: "" } as const;
const good: HostProbe = {
  capture: {
    packetSocket: works, packetRing: works, ringLocked: works, fanout: works, ignoreOutgoing: works, fanoutProgram: works,
  },
  clock: { synchronised: true, estimatedErrorUs: 12, largestErrorUs: 400 },
}; // biome-ignore format: a table

/** A well kept server with two nodes and no interface with a device. */
const server = {
  "sys/kernel/btf/vmlinux": "",
  "sys/devices/system/node/online": "0-1",
  "sys/devices/system/node/node0/cpulist": "0-31",
  "sys/devices/system/node/node1/cpulist": "32-63",
  "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance",
  "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
  "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm",
  "proc/self/status": "Name:\tnode\nCapEff:\t000001ffffffffff\n",
  "proc/self/limits":
    "Limit                     Soft Limit           Hard Limit           Units\nMax locked memory         unlimited            unlimited            bytes\n",
  "proc/self/mounts": "bpf /sys/fs/bpf bpf rw 0 0\n",
  "proc/sys/kernel/osrelease": "6.12.9-amd64",
  "proc/sys/net/core/rmem_max": "26214400",
  "proc/sys/net/core/netdev_max_backlog": "10000",
  "proc/sys/net/core/wmem_max": "16777216",
  "proc/sys/net/ipv4/igmp_max_memberships": "1024",
  "proc/sys/net/ipv4/igmp_max_msf": "64",
  "sys/fs/bpf/README": "",
  "proc/irq/default_smp_affinity": "ff",
  "proc/1/comm": "systemd",
};

const carries: RelayTrial = { programs: works, observed: true, interfaces: new Map() };

function examine(machine: Tree, probe = good, trial = carries): Map<string, Check> {
  const roots = { sys: machine.path("sys"), proc: machine.path("proc") };
  const found = doctor({
    roots,
    probe,
    trial: () => trial,
    interfaces: [],
    store: machine.path("store/deep"),
    program: "/usr/bin/node",
  });
  return new Map(found.map((one) => [one.name, one]));
}

test("a well kept server: nothing to do", () => {
  using machine = tree(server);
  const checks = examine(machine);
  expect(
    [...checks.values()].filter(({ verdict }) => verdict !== "ok").map(({ name, verdict }) => [name, verdict]),
  ).toEqual([["interfaces", "not applicable"]]);
  expect(checks.get("NUMA")?.found).toBe("2 nodes (node 0: CPU 0-31; node 1: CPU 32-63)");
  expect(checks.get("time")?.found).toBe("synchronised, within about 0.012 ms");
});

test.each([
  ["irqbalance", { "proc/77/comm": "irqbalance\n" }, "running"],
  ["CPU governor", { "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave" }, "performance, powersave"],
  ["clock source", { "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet" }, "hpet"],
  [
    "tcx",
    { "proc/sys/kernel/osrelease": "6.5.0-13" },
    "not in 6.5.0-13: tc's programs are attached by a filter of a clsact qdisc",
  ],
  ["net.core.rmem_max", { "proc/sys/net/core/rmem_max": "212992" }, "212992 bytes"],
  ["net.core.netdev_max_backlog", { "proc/sys/net/core/netdev_max_backlog": "1000" }, "1000 frames"],
  ["net.ipv4.igmp_max_memberships", { "proc/sys/net/ipv4/igmp_max_memberships": "20" }, "20 groups a socket"],
  ["net.ipv4.igmp_max_msf", { "proc/sys/net/ipv4/igmp_max_msf": "5" }, "5 sources a group"],
  ["net.core.wmem_max", { "proc/sys/net/core/wmem_max": "212992" }, "212992 bytes"],
  ["bpffs", { "proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\n" }, "not mounted"],
  ["bpffs", { "proc/self/mounts": "bpf /sys/fs/other bpf rw 0 0\n" }, "/sys/fs/other: not writable (ENOENT)"],
])("%s is a warning with a remedy when it is not as it should be", (name, changed, found) => {
  using machine = tree({ ...server, ...changed });
  const checks = examine(machine);
  expect(checks.get(name)).toMatchObject({ verdict: "warning", found, remedy: expect.stringMatching(/\w/) as string });
  expect([...checks.values()].filter(({ verdict }) => verdict === "warning")).toHaveLength(1);
});

test("an old kernel lacks two things", () => {
  using machine = tree({ ...server, "proc/sys/kernel/osrelease": "6.1.0-38-amd64" });
  const checks = examine(machine);
  expect(checks.get("kernel")).toMatchObject({ verdict: "warning", found: "6.1.0-38-amd64" });
  expect(checks.get("tcx")).toMatchObject({ verdict: "warning" });
});

test("where no program of a relay can be loaded the reason is told, and what is left to it", () => {
  using machine = tree(server);
  const refused = { programs: { outcome: "fails", detail: "EPERM" }, observed: false, interfaces: new Map() } as const;
  const checks = examine(machine, good, refused);
  expect(checks.get("relay engines")).toMatchObject({ verdict: "warning", found: "user space (EPERM)" });
  expect(checks.get("relay losses")).toMatchObject({ verdict: "not applicable" });
  const blind = examine(machine, good, { ...carries, observed: false });
  expect(blind.get("relay engines")).toMatchObject({ verdict: "ok", found: "XDP, tc, user space" });
  expect(blind.get("relay losses")).toMatchObject({ verdict: "warning", found: "not seen behind a redirect" });
});

test("an older kernel that takes the flag and forgets it; a clock that nobody sets", () => {
  using machine = tree(server);
  const forgets = { outcome: "fails", detail: "frames that this node sends are seen, too" } as const;
  const checks = examine(machine, {
    capture: { ...good.capture, ignoreOutgoing: forgets },
    clock: { ...good.clock, synchronised: false },
  });
  expect(checks.get("own frames left out")).toMatchObject({ verdict: "warning", found: forgets.detail });
  expect(checks.get("time")).toMatchObject({ verdict: "warning", found: "the clock is not synchronised" });
});

test("a limit that this network namespace does not show is not called bad", () => {
  const { "proc/sys/net/core/rmem_max": _, ...fewer } = server;
  using machine = tree(fewer);
  expect(examine(machine).get("net.core.rmem_max")).toMatchObject({ verdict: "not applicable" });
});

test.each([
  ["0000000000000000", []],
  ["0000000000002000", ["CAP_NET_RAW"]],
  ["0000008000007000", ["CAP_BPF", "CAP_IPC_LOCK", "CAP_NET_ADMIN", "CAP_NET_RAW"]],
  ["0000004000000000", ["CAP_PERFMON"]],
  ["0000000000200000", ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN"]], // the old one stands for the new
])("the effective set %s holds %j", (mask, names) => {
  expect([...effectiveCapabilities(`Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${mask}\n`)].toSorted()).toEqual(
    names,
  );
});
