// The cluster of one machine: that it comes up in time and leaves nothing, whatever happened to it, and that its nodes can fail as real ones do.
// Needs root, as `make test` says. Two clusters are up at once for most of it.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { nodes as askNodes } from "./cluster/apiserver.ts";
import { members } from "./cluster/cgroups.ts";
import { down } from "./cluster/down.ts";
import { binFolder, instance, kubeconfigPath, logFolder } from "./cluster/instance.ts";
import { Machine } from "./cluster/machine.ts";
import { kubeletCommand } from "./cluster/node.ts";
import {
  clusterPrograms,
  defaultKubernetes,
  kube,
  kubernetesVersions,
  provide,
  release,
  tools,
} from "./cluster/programs.ts";
import { cpuSeconds, memoryMiB } from "./cluster/status.ts";
import { prepare } from "./cluster/up.ts";
import { fabric } from "./cluster/wiring.ts";
import { conduct, conductor, eventually, Kubectl, type Said, say } from "./kubectl.ts";
import { receive, send, watch } from "./multicast.ts";
import { left, machine, traces } from "./traces.ts";

// Each step has a time of its own; this one only ends what hangs.
vi.setConfig({ testTimeout: 180_000 });

const never = new AbortController().signal;
const quiet = (): void => undefined;

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
};
const good = async (...words: string[]): Promise<Said> => {
  const said = await conduct(...words);
  expect(said.code, said.stderr).toBe(0);
  return said;
};

const one = instance("test-one");
const other = instance("test-other");
const before = machine();

// The first time on a machine everything is built: what a second `up` never waits for.
beforeAll(() => prepare(defaultKubernetes(), quiet, never), 1_500_000);
afterAll(async () => {
  await down(one);
  await down(other);
}, 60_000);

test("what a cluster is built from takes two cores less than 11 minutes, and so `up` from nothing less than 12", async () => {
  let cpuSeconds = 0;
  for (const program of [kube(defaultKubernetes()), ...clusterPrograms])
    cpuSeconds += (await provide(program, quiet, never)).cpuSeconds;
  expect(cpuSeconds / 2).toBeLessThan(660);
});

test("a cluster of three nodes is Ready in less than 60 seconds, with a kubeconfig that works from outside", async () => {
  expect(await seconds(() => good("up", "--name", one.name))).toBeLessThan(60);
  const found = await askNodes(one);
  expect(found.map(({ name, ready }) => `${name} ${ready}`).sort()).toEqual(["node1 true", "node2 true", "node3 true"]);
  expect(new Set(found.map(({ version }) => version))).toEqual(new Set([kube(defaultKubernetes()).release]));
  const { stdout } = await say(join(binFolder(one), "kubectl"), [
    "--kubeconfig",
    kubeconfigPath(one),
    "version",
    "-o",
    "json",
  ]);
  expect((JSON.parse(stdout) as { serverVersion: { gitVersion: string } }).serverVersion.gitVersion).toBe(
    kube(defaultKubernetes()).release,
  );
  expect(readFileSync(kubeconfigPath(one), "utf8")).toContain("https://127.0.0.1:");
});

test("status tells nodes, memory, kubeconfig and logs", async () => {
  const { stdout } = await good("status");
  expect(stdout).toMatch(/^test-one: up, Kubernetes [\d.]+, \d+ processes, \d+ MiB$/m);
  expect(stdout).toMatch(/^ {2}node3 {2}Ready {2}v1\./m);
  expect(stdout).toContain(`export KUBECONFIG=${kubeconfigPath(one)}`);
  expect(readdirSync(logFolder(one))).toEqual(
    expect.arrayContaining(["etcd.log", "kube-apiserver.log", "node1-kubelet.log", "node3-containerd.log"]),
  );
});

test("up of a cluster that is up is no error; with other nodes it is refused", async () => {
  await good("up", "--name", one.name);
  const refused = await conduct("up", "--name", one.name, "--nodes", "2");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("UP_OTHERWISE");
});

describe("beside another one, of the older Kubernetes", () => {
  const older = kubernetesVersions().at(-2) ?? "";
  beforeAll(() => prepare(older, quiet, never), 1_500_000);

  test("a second cluster comes up, and neither sees the other", async () => {
    await good("up", "--name", other.name, "--nodes", "1", "--kubernetes", older);
    expect((await askNodes(other)).map(({ name, version }) => [name, version])).toEqual([
      ["node1", kube(older).release],
    ]);
    expect(await askNodes(one)).toHaveLength(3);
  });

  test("kill -9 of all its processes, and down leaves nothing of it, in less than 10 seconds; the first one lives on", async () => {
    const had = traces(other);
    // network, mount, host name and cgroup of two machines
    expect(had.namespaces.length).toBeGreaterThanOrEqual(8);
    for (const pid of members(other.cgroup)) process.kill(pid, "SIGKILL");
    expect(await seconds(() => good("down", "--name", other.name))).toBeLessThan(10);
    expect(left(other, had)).toEqual([]);
    expect(readdirSync(other.folder)).toEqual(["log"]);
    expect((await askNodes(one)).filter(({ ready }) => ready)).toHaveLength(3);
  });

  test("a conductor killed half-way leaves a cluster that is half up: told, and taken down", async () => {
    const child = spawn(process.execPath, [conductor, "up", "--name", other.name, "--nodes", "1"], { stdio: "ignore" });
    await eventually("its first daemons", 30, async () => members(other.cgroup).length > 3 || undefined);
    child.kill("SIGKILL");
    await sleep(300);
    const had = traces(other);
    const refused = await conduct("up", "--name", other.name);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("HALF_UP");
    expect(refused.stderr).toContain(`down --name ${other.name}`);
    await good("down", "--name", other.name);
    expect(left(other, had)).toEqual([]);
  });

  test("an up that is interrupted takes down what it made", async () => {
    let had = traces(other);
    const { code, stderr } = await say(process.execPath, [conductor, "up", "--name", other.name, "--nodes", "1"], {
      during: (child) => {
        void eventually("its first daemons", 30, async () => members(other.cgroup).length > 3 || undefined).then(() => {
          had = traces(other);
          child.kill("SIGINT");
        });
      },
    });
    expect(code, stderr).toBe(130);
    expect(had.namespaces.length).toBeGreaterThan(0);
    expect(left(other, had)).toEqual([]);
  });
});

describe("its nodes", () => {
  const kubectl = (): Kubectl =>
    new Kubectl(join(binFolder(one), "kubectl"), kubeconfigPath(one), { cache: join(one.folder, "kubectl") });
  const isReady = async (name: string): Promise<boolean> =>
    (await askNodes(one)).find((node) => node.name === name)?.ready ?? false;
  const becomes = (name: string, ready: boolean, within: number): Promise<boolean> =>
    eventually(
      `${name} ${ready ? "Ready" : "NotReady"}`,
      within,
      async () => (await isReady(name)) === ready || undefined,
    );
  const pidOf = (program: string, of: string): number => {
    const found = members(one.cgroup, of).filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(`${program}\0`),
    );
    expect(found).toHaveLength(1);
    return found[0] ?? 0;
  };

  test("have mount namespaces of their own: bpffs, /sys, /run and /var/lib", async () => {
    const [first, second] = [Machine.of(one, "node1"), Machine.of(one, "node2")];
    for (const folder of ["/sys/fs/bpf", "/run", "/var/lib"]) {
      await first.run(["mkdir", `${folder}/seen-only-here`]);
      expect(await second.run(["ls", folder]), folder).not.toContain("seen-only-here");
      expect(existsSync(`${folder}/seen-only-here`), folder).toBe(false);
    }
    expect((await first.run(["ls", "/sys/class/net"])).trim().split("\n")).toContain("to-node2");
    expect((await second.run(["ls", "/sys/class/net"])).trim().split("\n")).toContain("to-node3");
    expect((await first.run(["hostname"])).trim()).toBe("node1");
  });

  test("hear a neighbour's multicast on the link between them, and nobody else does", async () => {
    const sent = 200;
    const ends = fabric(3).flatMap(({ ends: [from, to] }) => [
      { on: from, link: `to-node${to}` },
      { on: to, link: `to-node${from}` },
    ]);
    expect(ends).toHaveLength(6);
    const at = (node: number): Machine => Machine.of(one, `node${node}`);
    const watchers = await Promise.all(ends.map(({ on, link }) => watch(at(on), link, 4000)));
    const network = fabric(3).find((link) => link.ends.includes(1) && link.ends.includes(2))?.network;
    const application = await receive(at(2), `${network}.2`, 4000);
    await send(at(1), `${network}.1`, sent);
    const seen = await Promise.all(watchers.map(({ heard }) => heard));
    expect(Object.fromEntries(ends.map(({ on, link }, index) => [`node${on} ${link}`, seen[index]]))).toEqual({
      ...Object.fromEntries(ends.map(({ on, link }) => [`node${on} ${link}`, 0])),
      "node2 to-node1": sent,
    });
    expect(await application.heard).toBe(sent);
  });

  test("lose their Ready with their kubelet, and have it again with a new one", async () => {
    const node = Machine.of(one, "node2");
    process.kill(pidOf("kubelet", "node2"), "SIGKILL");
    expect(await becomes("node2", false, 40)).toBe(true);
    node.start("node2-kubelet", kubeletCommand(one, node, 2));
    expect(await becomes("node2", true, 40)).toBe(true);
  });

  test("lose it when they are cut off the network, and come back", async () => {
    const control = Machine.of(one, "control");
    await control.run(["ip", "link", "set", "node3", "down"]);
    expect(await becomes("node3", false, 40)).toBe(true);
    const cut = await kubectl().get<{ spec: { taints?: { key: string }[] } }>("node/node3");
    expect(cut.spec.taints?.map(({ key }) => key)).toContain("node.kubernetes.io/unreachable");
    await control.run(["ip", "link", "set", "node3", "up"]);
    expect(await becomes("node3", true, 40)).toBe(true);
  });
});

test("it needs less than 1.5 GiB, and less than 0.3 of a core when idle", async () => {
  // Both clusters' beginnings are over; what this machine does otherwise is not counted.
  await sleep(10_000);
  const started = performance.now();
  const used = cpuSeconds(one);
  await sleep(20_000);
  const cores = (cpuSeconds(one) - used) / ((performance.now() - started) / 1000);
  const memory = memoryMiB(one);
  console.log(`${memory} MiB, ${cores.toFixed(2)} cores idle`);
  expect(memory).toBeGreaterThan(100);
  expect(memory).toBeLessThan(1536);
  expect(cores).toBeGreaterThan(0.005);
  expect(cores).toBeLessThan(0.3);
});

test("down takes less than 10 seconds and leaves nothing: no process, namespace, mount, cgroup, link, setting or file", async () => {
  const had = traces(one);
  expect(had.namespaces.length).toBeGreaterThanOrEqual(16);
  expect(await seconds(() => good("down", "--name", one.name))).toBeLessThan(10);
  expect(left(one, had)).toEqual([]);
  expect(readdirSync(one.folder)).toEqual(["log"]);
  expect(machine()).toEqual(before);
  await good("down", "--name", one.name);
  expect((await conduct("shell", "--name", one.name)).stderr).toContain("NOT_UP");
});

test.each(tools.map((tool) => ({ name: tool.name, tool })))(
  "$name is provided in the same way, and says the version that is pinned",
  async ({ tool }) => {
    const { stdout } = await conduct("tool", tool.name);
    const words =
      { helm: ["version"], kubeconform: ["-v"], kwok: ["--version"], "nats-server": ["--version"] }[tool.name] ?? [];
    const said = await say(stdout.trim(), words);
    expect(said.code, said.stderr).toBe(0);
    expect(release(tool)).toMatch(/^v\d/);
    expect(`${said.stdout}${said.stderr}`).toContain(release(tool).slice(1));
  },
  600_000,
);
