// `make bench-fleet`: the operator of a fleet of NODES (1,000), from outside. Enters: --nodes, --seconds, --changes, --losses, --json. Leaves: a table with a verdict for each figure
// that was promised; exit code 1 when one is missed.
import { parseArgs } from "node:util";
import { interruptedCode } from "#cli/interruption.ts";
import { duration, grouped, mebibytes, percent } from "#cli/numbers.ts";
import { memoryOf } from "#cli/process-cost.ts";
import { atMost, exactly, targetTable, type Target } from "#cli/target.ts";
import { ratesOf } from "./api-writes.ts";
import { FleetRun } from "./fleet-run.ts";
import { fleetShape } from "./made-fleet.ts";
import { differences, losses, specChanges, steady } from "./measures.ts";

const usage = `Usage: make bench-fleet FLEET_NODES=1000, or node test/kube/fleet/bench.ts [options]

  --nodes <count>    made-up nodes, 20 or more (default: 1000)
  --seconds <time>   of nothing special, in which processor time and writes are taken (default: 120)
  --changes <count>  of a SensorPool, until its DaemonSet follows (default: 100)
  --losses <count>   until a status has them (default: 33)
  --json             one JSON object on stdout, for machines`;
const values = optionsOf();
const [nodes, seconds, changes, many] = [values.nodes, values.seconds, values.changes, values.losses].map(Number) as [number, number, number, number]; // biome-ignore format: one row
if (![nodes, seconds, changes, many].every((one) => Number.isInteger(one) && one > 0) || nodes < 20)
  refuse("--nodes takes a whole number of 20 or more; --seconds, --changes and --losses one of 1 or more");

function optionsOf() {
  const text = (usual: string) => ({ type: "string", default: usual }) as const;
  const flag = { type: "boolean", default: false } as const;
  const options = { nodes: text("1000"), seconds: text("120"), changes: text("100"), losses: text("33"), json: flag, help: { ...flag, short: "h" } } as const; // biome-ignore format: one row
  try {
    const { values } = parseArgs({ options });
    if (!values.help) return values;
  } catch (error) {
    refuse((error as Error).message);
  }
  console.log(usage);
  process.exit(0);
}
function refuse(why: string): never {
  console.error(`bench-fleet: ${why}\n\n${usage}`);
  process.exit(2);
}

const say = (text: string): void => void (values.json || process.stdout.write(`${text}\n`));
const inMs = (ms: number): string => (ms === Infinity ? "never" : duration(ms * 1e6));
const p99 = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[Math.ceil(all.length * 0.99) - 1] ?? Infinity; // biome-ignore format: one row
const middle = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[all.length >> 1] ?? Infinity;
const aSecond = (value: number): string => `${value.toFixed(1)}/s`;
const cores = (value: number): string => `${value.toFixed(2)} cores`;
/** Until all is ready, and until every node has its FleetNode and label: written slowly, on purpose. */
const readyMs = 600_000;
const MiB = 2 ** 20;

const shape = fleetShape(nodes);
say(`${grouped(nodes)} nodes, ${shape.pools} SensorPools, ${shape.rules} RelayRules of three hops over ${shape.edges + 2} nodes each; a report a second of each sensor and relay.`); // biome-ignore format: one row
await using run = await FleetRun.start(shape);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void run[Symbol.asyncDispose]().finally(() => process.exit(interruptedCode))); // biome-ignore format: one row
say("The fleet is made. The operator is started.");
await run.startOperator();
const since = (): string => duration((Date.now() - run.operatorStarted) * 1e6);

if (!(await run.allReady(readyMs))) say(`not ready after ${since()}: ${run.unready().join("; ")}`);
say(`All is ready ${since()} after that. Traffic begins.`);
const readyAt = Date.now();
await run.agents.begin();
if (!(await run.begun(readyMs))) say("not every node has its FleetNode, and its label");
say(
  `Every node has its FleetNode and its label after ${since()}. Peak of memory so far: ${mebibytes(memoryOf(run.operatorPid).peak)}.`,
);
const startedAt = Date.now();

const usual = await steady(run, seconds);
say(`${duration(usual.seconds * 1e9)} of nothing special: ${cores(usual.processor)}, ${mebibytes(usual.resident)}.`);
const changed = await specChanges(run, changes);
say(
  `${grouped(changed.length)} changes of a SensorPool: ${inMs(middle(changed))} in the middle, ${inMs(p99(changed))} p99.`,
);
const lost = await losses(run, many);
say(`${grouped(lost.length)} losses: ${inMs(middle(lost))} in the middle, ${inMs(p99(lost))} p99.`);
const truth = await differences(run, 120_000);
const agents = await run.agents.say();
const writes = run.writes();
const apart = writes.filter(({ ofNode }) => ofNode);
const others = writes.filter(({ ofNode }) => !ofNode);
const figures = {
  start: ratesOf(others, run.operatorStarted, startedAt),
  steady: ratesOf(others, usual.from, usual.to),
  nodesStart: ratesOf(apart, run.operatorStarted, startedAt),
  nodesSteady: ratesOf(apart, usual.from, usual.to),
};
const { peak } = memoryOf(run.operatorPid);
const large = nodes > 1000;
const memory = large ? 512 : 256;

const targets: Target[] = [
  atMost(`spec → DaemonSet, p99 of ${grouped(changed.length)}`, p99(changed), 1000, inMs),
  atMost(`a loss → status, p99 of ${grouped(lost.length)}`, p99(lost), 15_000, inMs),
  atMost("memory, at most", peak, memory * MiB, mebibytes),
  // Promised for a thousand nodes; more cost more.
  atMost("processor time, usually", usual.processor, large ? (0.5 * nodes) / 1000 : 0.5, cores),
  atMost("writes at the start, in any second", figures.start.most, 20, aSecond),
  atMost("writes usually", figures.steady.perSecond, 5, aSecond),
  exactly(
    `figures of statuses that differ from the truth, of ${grouped(truth.compared)}`,
    truth.found.length,
    0,
    grouped,
  ),
  exactly("plans that relays refused", agents.refused.length, 0, grouped),
];
const met = targets.every((target) => target.met);
if (values.json) {
  process.stdout.write(`${JSON.stringify({ shape, readyMs: readyAt - run.operatorStarted, fleetNodesMs: startedAt - run.operatorStarted, steady: usual, changed, lost, writes: figures, peak, reports: { sent: agents.sent, unsent: agents.unsent }, differences: truth.found, complaints: run.complaints(), targets }, undefined, 2)}\n`); // biome-ignore format: one object
} else {
  say(`\nWrites by what, a second, usually: ${listOf(figures.steady.of)}; of FleetNodes: ${listOf(figures.nodesSteady.of)}; at the start: ${listOf(figures.start.of)}; of FleetNodes: ${listOf(figures.nodesStart.of)} (${aSecond(figures.nodesStart.most)} at most).`); // biome-ignore format: one row
  say(`Reports: ${grouped(agents.sent)} sent, ${percent(agents.unsent, agents.sent + agents.unsent)} not.`);
  for (const one of truth.found.slice(0, 10)) say(`differs: ${one.what} is ${JSON.stringify(one.told)}, in truth ${JSON.stringify(one.truth)}`); // biome-ignore format: one row
  for (const one of [...agents.refused, ...run.complaints()].slice(0, 10)) say(`complains: ${one.slice(0, 300)}`);
  say(`\n${targetTable(targets)}`);
}
process.exitCode = met ? 0 : 1;

function listOf(of: Readonly<Record<string, number>>): string {
  return Object.entries(of).map(([what, value]) => `${what} ${value.toFixed(2)}`).join(", ") || "none"; // biome-ignore format: one row
}
