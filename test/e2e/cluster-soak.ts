// `make soak`: a cluster up and down CLUSTER_ROUNDS times (20). Each `down` must leave this machine as it was; a line for each round.
import { type Instance, instance } from "./cluster/instance.ts";
import { defaultKubernetes } from "./cluster/programs.ts";
import { down } from "./cluster/down.ts";
import { memoryMiB } from "./cluster/status.ts";
import { prepare, up } from "./cluster/up.ts";
import { left, machine, traces } from "./traces.ts";

const rounds = Number(process.env["CLUSTER_ROUNDS"] ?? 20);
const cluster: Instance = instance("soak");
const signal = new AbortController().signal;
const say = (text: string): void => console.log(text);

const seconds = async (work: () => Promise<unknown>): Promise<string> => {
  const started = performance.now();
  await work();
  return ((performance.now() - started) / 1000).toFixed(1);
};

await prepare(defaultKubernetes(), say, signal);
const before = JSON.stringify(machine());
let failed = 0;
for (let round = 1; round <= rounds; round++) {
  const wanted = { nodes: 3, kubernetes: defaultKubernetes(), port: 0 };
  const upSeconds = await seconds(() => up(cluster, wanted, () => undefined, signal));
  const [had, memory] = [traces(cluster), memoryMiB(cluster)];
  const downSeconds = await seconds(() => down(cluster));
  const found = [
    ...left(cluster, had),
    ...(JSON.stringify(machine()) === before ? [] : ["the machine is not as it was"]),
  ];
  if (found.length > 0) failed++;
  console.log(
    `cluster ${round}/${rounds}: up ${upSeconds} s, ${memory} MiB, down ${downSeconds} s, left: ${found.join(", ") || "nothing"}`,
  );
}
console.log(`${rounds - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
