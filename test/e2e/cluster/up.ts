// `up`: programs and images, then machines, wires, the control plane, nodes; ends when every node is Ready. Read this first.
// What fails takes down again what was made; the logs stay.
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { ask, nodes as askNodes, until, type Wait } from "./apiserver.ts";
import { members } from "./cgroups.ts";
import { certificates, writeKubeconfig } from "./certificates.ts";
import { firstObjects, openDoor, startApiserver, startControllers, startEtcd } from "./control-plane.ts";
import { down } from "./down.ts";
import { pauseArchive } from "./images.ts";
import {
  binFolder,
  type Instance,
  kubeconfigPath,
  logFolder,
  machineNames,
  readState,
  type State,
  writeState,
} from "./instance.ts";
import { run } from "./command.ts";
import { type Daemon, Machine } from "./machine.ts";
import { freePort, refuseWhatIsMissing } from "./missing.ts";
import { load, startContainerd, startKubelet, startProxy } from "./node.ts";
import { ClusterProblem } from "./problems.ts";
import { type Built, clusterPrograms, kube, kubeNames, provide } from "./programs.ts";
import { wire } from "./wiring.ts";

export interface Wanted {
  readonly nodes: number;
  /** a minor, as 1.36 */
  readonly kubernetes: string;
  /** of 127.0.0.1; 0: a free one */
  readonly port: number;
}
type Say = (text: string) => void;

export async function up(cluster: Instance, wanted: Wanted, say: Say, signal: AbortSignal): Promise<State> {
  const found = await alreadyUp(cluster, wanted);
  if (found !== undefined) return found;
  await refuseWhatIsMissing(cluster, wanted.nodes, signal);
  const port = await freePort(wanted.port);
  const programs = await prepare(wanted.kubernetes, say, signal);
  const started = performance.now();
  rmSync(logFolder(cluster), { recursive: true, force: true });
  mkdirSync(logFolder(cluster), { recursive: true });
  linkPrograms(cluster, programs);
  try {
    const state = await start(cluster, { ...wanted, port }, say, signal);
    say(`${wanted.nodes} nodes Ready after ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return state;
  } catch (error) {
    await down(cluster);
    throw error;
  }
}

/** The same cluster twice is no error; another one under its name is. */
async function alreadyUp(cluster: Instance, wanted: Wanted): Promise<State | undefined> {
  const state = readState(cluster);
  const alive = members(cluster.cgroup).length;
  if (state === undefined && alive === 0) return undefined;
  const halfUp = (detail: string): ClusterProblem => new ClusterProblem("HALF_UP", { name: cluster.name, detail });
  if (state?.phase !== "up") throw halfUp(`${alive} processes of it live, and it was never Ready`);
  if ((await ask(cluster, "/readyz")) === undefined)
    throw halfUp(`${alive} processes of it live, and its apiserver does not answer`);
  const detail = `Kubernetes ${state.kubernetes}, ${state.nodes} nodes, port ${state.port}`;
  const same = state.nodes === wanted.nodes && state.kubernetes === wanted.kubernetes;
  if (!same || (wanted.port !== 0 && wanted.port !== state.port))
    throw new ClusterProblem("UP_OTHERWISE", { name: cluster.name, detail });
  return state;
}

/** All that takes long once: programs are built, the pause image is made. */
export async function prepare(kubernetes: string, say: Say, signal: AbortSignal): Promise<readonly Built[]> {
  const programs: Built[] = [];
  for (const program of [kube(kubernetes), ...clusterPrograms]) programs.push(await provide(program, say, signal));
  await pauseArchive(signal);
  return programs;
}

/** bin/ holds the programs of this cluster under their names, for its daemons and for people. */
function linkPrograms(cluster: Instance, programs: readonly Built[]): void {
  rmSync(binFolder(cluster), { recursive: true, force: true });
  mkdirSync(binFolder(cluster), { recursive: true });
  for (const { path } of programs)
    for (const name of basename(path) === "kube" ? kubeNames : [basename(path)])
      symlinkSync(path, join(binFolder(cluster), name));
}

async function start(cluster: Instance, wanted: Wanted, say: Say, signal: AbortSignal): Promise<State> {
  const { nodes: count, port, kubernetes } = wanted;
  const state: State = { phase: "starting", kubernetes, nodes: count, port, machines: {} };
  writeState(cluster, state);

  const [pki, ...machines] = await Promise.all([
    certificates(cluster, count, signal),
    ...machineNames(count).map((name) => Machine.make(cluster, name, signal)),
  ]);
  const pids = Object.fromEntries(machines.map(({ name, pid }) => [name, pid]));
  writeState(cluster, { ...state, machines: pids });
  const [control, ...nodes] = machines as [Machine, ...Machine[]];
  await wire(control, nodes, signal);

  writeKubeconfig(pki, "admin", `https://127.0.0.1:${port}`, kubeconfigPath(cluster));
  const daemons: Daemon[] = [startEtcd(control), startApiserver(control, pki), openDoor(control, port)];
  daemons.push(...nodes.map((node, index) => startContainerd(cluster, node, index + 1)));
  const wait: Wait = { cluster, seconds: 60, daemons, signal };
  const images = takeIn(nodes, wait);
  images.catch(() => undefined); // awaited below; until then it must not count as unhandled

  say("waiting for the apiserver");
  await until("an answer of the apiserver", async () => (await ask(cluster, "/readyz")) !== undefined, wait);
  daemons.push(...startControllers(cluster, control, pki));
  const objects = firstObjects(cluster, count);
  await run(join(binFolder(cluster), "kubectl"), ["--kubeconfig", kubeconfigPath(cluster), "create", "-f", objects], {
    signal,
    log: logFolder(cluster),
  });

  say("waiting for the nodes");
  await images;
  for (const [index, node] of nodes.entries())
    daemons.push(startKubelet(cluster, node, index + 1, pki), startProxy(cluster, node, pki));
  await until(
    "a Ready of every node",
    async () => (await askNodes(cluster)).filter(({ ready }) => ready).length === count,
    wait,
  );

  const done: State = { ...state, phase: "up", machines: pids };
  writeState(cluster, done);
  return done;
}

/** Every node needs the pause image before its first pod. */
async function takeIn(nodes: readonly Machine[], wait: Wait): Promise<void> {
  const path = await pauseArchive(wait.signal);
  await Promise.all(
    nodes.map(async (node) => {
      const answers = async (): Promise<boolean> => {
        try {
          await node.run(["ctr", "version"], { signal: wait.signal });
          return true;
        } catch (error) {
          if (error instanceof ClusterProblem) return false;
          throw error;
        }
      };
      await until(`containerd on ${node.name}`, answers, wait);
      await load(node, path, wait.signal);
    }),
  );
}
