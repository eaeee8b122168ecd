import { rmSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { execFileSync } from "node:child_process";
import { cpuListText } from "./cpu-list.ts";
import { HostFiles } from "./files.ts";
import { machineFolder, type MadeMachine, writeMachine } from "./machine-tree.ts";
import { nearestNodes, nodeOf, readTopology } from "./topology.ts";

let folder = "";
beforeEach(() => {
  folder = machineFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = (machine: Omit<MadeMachine, "nics">) => readTopology(writeMachine(folder, { ...machine, nics: [] }));

test("two nodes of 32 CPUs, cores shared by two, some isolated", () => {
  const found = read({ nodes: ["0-15,32-47", "16-31,48-63"], smt: 32, isolated: "4-5", tickless: "(null)" });
  expect(found.online).toHaveLength(64);
  expect(found.nodes.map(({ id, cpus }) => [id, cpuListText(cpus)])).toEqual([
    [0, "0-15,32-47"],
    [1, "16-31,48-63"],
  ]);
  expect(found.siblings.get(33)).toEqual([1, 33]);
  expect(found.isolated).toEqual([4, 5]);
  expect(found.tickless).toEqual([]);
  expect(found.allowed).toEqual(found.online);
  expect(nodeOf(found, 50)?.id).toBe(1);
  expect(nearestNodes(found, 1).map(({ id }) => id)).toEqual([1, 0]);
});

test("what is allowed is what affinity and cpuset have in common", () => {
  expect(read({ nodes: ["0-7"], affinity: "2-7", cpuset: "0-3" }).allowed).toEqual([2, 3]);
});

test("a cpuset of cgroup v1 is read before that of v2", () => {
  const files = writeMachine(folder, { nodes: ["0-7"], cpuset: "0-6", nics: [] });
  execFileSync("bash", [
    "-c",
    'mkdir -p "$1" && echo 4-7 > "$1/cpuset.effective_cpus"',
    "-",
    files.sys("fs/cgroup/cpuset/pod"),
  ]);
  execFileSync("bash", ["-c", 'printf "3:cpuset:/pod\\n0::/pod/agent\\n" > "$1"', "-", files.proc("self/cgroup")]);
  expect(readTopology(files).allowed).toEqual([4, 5, 6, 7]);
});

test("a kernel without NUMA is one node with all CPUs", () => {
  const files = writeMachine(folder, { nodes: ["0-3"], nics: [] });
  rmSync(files.sys("devices/system/node"), { recursive: true });
  expect(readTopology(files).nodes).toEqual([{ id: 0, cpus: [0, 1, 2, 3], distances: [10] }]);
});

test("a machine without sysfs is an error by name", () => {
  expect(() => readTopology(new HostFiles({ sys: folder, proc: folder }))).toThrow(/cannot be read: no CPU in it/);
});

test("this machine agrees with what the tools of util-linux say", () => {
  const topology = readTopology(new HostFiles());
  const lscpu = execFileSync("lscpu", ["-p=CPU,NODE"], { encoding: "utf8" });
  const rows = lscpu
    .split("\n")
    .filter((line) => /^\d/.test(line))
    .map((line) => line.split(",").map(Number));
  expect(topology.online).toEqual(rows.map(([cpu]) => cpu));
  for (const [cpu = 0, node] of rows) expect(nodeOf(topology, cpu)?.id).toBe(node);
  const allowed = execFileSync("taskset", ["-pc", String(process.pid)], { encoding: "utf8" });
  expect(
    allowed
      .trim()
      .split(": ")[1]
      ?.replace(/\b(\d+),(\d+)$/, (all, a, b) => (Number(b) === Number(a) + 1 ? `${a}-${b}` : all)),
  ).toBe(cpuListText(topology.allowed));
});
