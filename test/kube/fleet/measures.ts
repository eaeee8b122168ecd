// What is measured of a fleet that runs, one after the other. Enters: a run. Leaves: figures, and what differs from the truth.
import { setTimeout as sleep } from "node:timers/promises";
import { memoryOf, processorNs } from "#cli/process-cost.ts";
import type { SensorPoolStatus } from "#domain/sensor-pool.ts";
import type { RelayRuleStatus } from "#domain/relay-rule-status.ts";
import type { FleetRun } from "./fleet-run.ts";
import { poolName, ruleName } from "./made-fleet.ts";
import type { Order } from "./orders.ts";
import { losesAlways, numbers, type PoolTruth, type RuleTruth } from "./traffic.ts";

/** Of the operator's process, while nothing but the usual happens. */
export interface Steady {
  readonly seconds: number;
  /** of a core */
  readonly processor: number;
  /** bytes, at its end */
  readonly resident: number;
  /** ms since 1970 */
  readonly from: number;
  readonly to: number;
}

export async function steady({ operatorPid: pid }: FleetRun, seconds: number): Promise<Steady> {
  const [from, at, spent] = [Date.now(), performance.now(), processorNs(pid)];
  await sleep(seconds * 1000);
  const took = performance.now() - at;
  return { seconds: took / 1000, processor: (processorNs(pid) - spent) / (took * 1e6), resident: memoryOf(pid).rss, from, to: Date.now() }; // biome-ignore format: one row
}

/** Whoever takes longer is never waited for. */
const lateMs = 180_000;
const firstMemory = 600;

/** From a PATCH of a SensorPool until a watch tells of a DaemonSet that follows it: ms, of each change. */
export async function specChanges(run: FleetRun, changes: number): Promise<number[]> {
  const pool = poolName(1);
  const asked = (): string | undefined => {
    const live = run.watches.daemonSets.get(`tapline-sensor-${pool}`) as { spec?: { template: { spec: { containers: { resources: { requests: { memory: string } } }[] } } } } | undefined; // biome-ignore format: one row
    return live?.spec?.template.spec.containers[0]?.resources.requests.memory;
  };
  const took: number[] = [];
  for (const change of numbers(changes)) {
    const memoryMiB = firstMemory + change;
    const at = performance.now();
    await run.patch(`/apis/tapline.dev/v1alpha1/sensorpools/${pool}`, { spec: { budget: { memoryMiB } } });
    const seen = await run.watches.daemonSets.until(() => asked() === `${memoryMiB}Mi`, lateMs);
    took.push(seen ? performance.now() - at : Infinity);
    // Never in step with what the operator does each second.
    await sleep(300 + ((change * 389) % 500));
  }
  return took;
}

interface Place {
  readonly order: Extract<Order, { readonly packets: number }>;
  readonly lost: () => number;
  readonly until: (holds: () => boolean, ms: number) => Promise<boolean>;
}

const packets = 500;

/** From a loss until the status of its pool or rule tells it, to the packet: ms, of each loss. In objects that lose nothing else; in several at once. */
export async function losses(run: FleetRun, many: number): Promise<number[]> {
  const { shape, watches } = run;
  const sensors = numbers(shape.pools).filter((pool) => !losesAlways.pool(pool)).map((pool): Place => ({
    order: { do: "lose at a sensor", node: pool, packets },
    lost: () => watches.pools.get(poolName(pool))?.status?.totals?.lost ?? 0,
    until: (holds, ms) => watches.pools.until(holds, ms),
  })); // biome-ignore format: one table
  const ways = numbers(shape.rules).filter((rule) => !losesAlways.rule(rule)).map((rule): Place => ({
    order: { do: "lose on the way", rule, edge: shape.edges - 1, packets },
    lost: () => watches.rules.get(ruleName(rule))?.status?.lost ?? 0,
    until: (holds, ms) => watches.rules.until(holds, ms),
  })); // biome-ignore format: one table
  const places = [...sensors, ...ways];
  const turns = Math.ceil(many / places.length);
  const took = await Promise.all(
    places.map(async ({ order, lost, until }, i) => {
      const own: number[] = [];
      // At all times of whatever the operator does each second, or every ten.
      await sleep((i * 10_000) / places.length);
      for (let turn = 0; turn < turns; turn++) {
        const wanted = packets * (turn + 1);
        const at = await run.agents.lose(order);
        own.push((await until(() => lost() === wanted, lateMs)) ? Date.now() - at : Infinity);
        await sleep(((i * 389 + turn * 1543) % 4000) + 1000);
      }
      return own;
    }),
  );
  return took.flat();
}

export interface Difference {
  readonly what: string;
  readonly truth: unknown;
  readonly told: unknown;
}

/** Traffic pauses; all statuses are compared with what was made up, as soon as they agree or the time is over. */
export async function differences(run: FleetRun, ms: number): Promise<{ readonly compared: number; readonly found: Difference[] }> {
  await run.agents.pause();
  const truth = await run.agents.truth();
  const all = (): Comparison[] => [
    ...Object.entries(truth.pools).flatMap(([name, pool]) => comparePool(name, pool, run.watches.pools.get(name)?.status)),
    ...Object.entries(truth.rules).flatMap(([name, rule]) => compareRule(name, rule, run.watches.rules.get(name)?.status, run.shape.edges)),
  ];
  const wrong = (): Comparison[] => all().filter(({ truth: one, told }) => JSON.stringify(one) !== JSON.stringify(told));
  const late = performance.now() + ms;
  for (const watch of [run.watches.pools, run.watches.rules]) await watch.until(() => wrong().length === 0, late - performance.now()); // biome-ignore format: one row
  return { compared: all().length, found: wrong() };
} // biome-ignore format: one function

type Comparison = Difference;
const rows = (name: string, truth: Record<string, unknown>, told: Record<string, unknown>): Comparison[] =>
  Object.entries(truth).map(([what, value]) => ({ what: `${name} ${what}`, truth: value, told: told[what] }));

function comparePool(name: string, { drops, ...truth }: PoolTruth, status: SensorPoolStatus | undefined): Comparison[] {
  const told = status?.totals;
  const sorted = (counts: Readonly<Record<string, number>> | undefined) =>
    Object.entries(counts ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...rows(name, truth, { ...told }),
    { what: `${name} drops`, truth: sorted(drops), told: sorted(told?.drops) },
    { what: `${name} pps`, truth: 0, told: told?.pps },
    { what: `${name} reporting`, truth: status?.desired, told: status?.reporting },
  ];
}

function compareRule(name: string, truth: RuleTruth, status: RelayRuleStatus | undefined, edges: number): Comparison[] {
  const hops = Object.fromEntries((status?.hops ?? []).map((hop) => [hop.name, hop]));
  const segment = status?.segments?.find(({ from }) => from === "core");
  const { received, sent, lost, dropped } = truth;
  return [
    ...rows(name, { ...truth }, { ...status }),
    { what: `${name} source sent`, truth: received, told: hops["source"]?.sent },
    { what: `${name} core sent`, truth: received * edges, told: hops["core"]?.sent },
    { what: `${name} edge matched`, truth: sent + dropped, told: hops["edge"]?.matched },
    { what: `${name} core → edge sent`, truth: received * edges, told: segment?.sent },
    { what: `${name} core → edge lost`, truth: lost, told: segment?.lost },
  ];
}
