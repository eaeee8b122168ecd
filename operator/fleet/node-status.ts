// A FleetNode's status: what the node is, what its agents told, what is programmed there. Pure. Counters that go on counting are told, too; the gate writes them seldom.
import type { FleetNodeCondition, FleetNodeStatus, FleetRelay, FleetRule, FleetSensor } from "#domain/fleet-node.ts";
import { mostNodeRules } from "#domain/fleet-node.ts";
import type { PlacedRule } from "../controllers/relayrule/lay-out.ts";
import type { RelayState } from "./relay-book.ts";
import type { Holding } from "./rule-status.ts";
import type { SensorState } from "./sensor-book.ts";
import { clockText } from "./pool-status.ts";
import { listed } from "./words.ts";
import type { PinningView } from "./pinning-view.ts";
import { sumsOf, total } from "./relay-book.ts";

type Nic = NonNullable<FleetNodeStatus["interfaces"]>[number];
/** As the object takes them. */
const mostNics = 256;

export interface NodeView {
  readonly info: { readonly kernelVersion: string; readonly architecture: string; readonly osImage?: string } | undefined;
  readonly cpus: number | undefined;
  /** pools that have a sensor here */
  readonly sensors: ReadonlyMap<string, SensorState | undefined>;
  /** what a pool's sensor answered about pinning; undefined: nothing yet */
  readonly pinning: (pool: string) => PinningView | undefined;
  /** a relay is wanted here */
  readonly relayWanted: boolean;
  readonly relay: RelayState | undefined;
  /** generation that was written for it; 0: none */
  readonly generation: number;
  readonly rules: readonly (PlacedRule & { readonly owner: string })[];
  readonly lost: (rule: PlacedRule) => number;
  readonly now: number;
} // biome-ignore format: one table

export interface NodeVerdict {
  readonly holding: readonly (Holding & { readonly type: FleetNodeCondition })[];
  readonly figures: Omit<FleetNodeStatus, "conditions" | "observedGeneration">;
}

export function nodeVerdict(view: NodeView): NodeVerdict {
  const { info, cpus, relay, now, generation } = view;
  const silent = [
    ...[...view.sensors].filter(([, state]) => state?.heard.reporting(now) !== true).map(([pool]) => `the sensor of ${pool}`),
    ...(view.relayWanted && relay?.heard.reporting(now) !== true ? ["the relay"] : []),
  ]; // biome-ignore format: one list
  const asked = view.sensors.size > 0 || view.relayWanted;
  const reporting: Omit<Holding, "type"> = silent.length > 0 ? { status: "False", reason: "NotReporting", message: `not reporting: ${listed(silent)}` } : { status: "True", reason: asked ? "Reporting" : "NothingAsked", message: asked ? "every agent reports" : "no agent is wanted here" }; // biome-ignore format: one expression
  const runs = relay?.head.plan.generation ?? 0;
  const programmed: Omit<Holding, "type"> = generation === 0 || runs === generation ? { status: "True", reason: "Programmed", message: generation === 0 ? "there is no plan for this node" : `plan ${generation} runs` } : { status: "False", reason: relay?.head.plan.state === "refused" ? "PlanRefused" : "Waiting", message: `plan ${runs} runs; ${generation} is wanted` }; // biome-ignore format: one expression
  const pinned = pinnedVerdict(view);
  // Not pinned is slower, not wrong: it is told, and holds nothing up.
  const worst = [reporting, programmed].find(({ status }) => status !== "True");
  const nics = nicsOf(view);
  const numaNodes = [...view.sensors.keys()].flatMap((pool) => view.pinning(pool)?.numaNodes ?? []);
  const rules = view.rules.slice(0, mostNodeRules).flatMap((one) => ruleRow(one, view));
  return {
    holding: [
      { type: "Reporting", ...reporting },
      { type: "Programmed", ...programmed },
      ...(pinned ? [{ type: "Pinned", ...pinned } as const] : []),
      { type: "Ready", ...(worst ?? { status: "True", reason: "Ready", message: "all that is asked of this node holds" }) }, // biome-ignore format: one row
    ],
    figures: {
      ...(info ? { kernel: { release: info.kernelVersion, architecture: info.architecture, ...(info.osImage ? { os: info.osImage } : {}) } } : {}), // biome-ignore format: one row
      ...(cpus === undefined ? {} : { cpus }),
      ...(numaNodes.length > 0 ? { numaNodes: [...new Map(numaNodes.map((one) => [one.node, one])).values()] } : {}),
      ...(nics.length > 0 ? { interfaces: nics } : {}),
      ...(relay ? { engines: relay.head.engines.map(({ engine, available, why }) => ({ engine, available, why: why.slice(0, 512) })) } : {}), // biome-ignore format: one row
      ...(view.sensors.size > 0 ? { sensors: [...view.sensors].flatMap(([pool, state]) => (state ? [sensorRow(pool, state, view.pinning(pool))] : [])) } : {}), // biome-ignore format: one row
      ...(relay ? { relay: relayRow(relay, generation) } : {}),
      ...(rules.length > 0 ? { rules } : {}),
      ...(view.rules.length > mostNodeRules ? { rulesLeftOut: view.rules.length - mostNodeRules } : {}),
    },
  };
}

const moment = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
const seconds = (text: string): string => `${text.slice(0, 19)}Z`;

/** A clock that is off is a problem told first; its times are not used. */
const problems = ({ clockOffMs, head }: RelayState | SensorState): string[] => [
  ...(clockOffMs === undefined ? [] : [`its clock is ${clockText(clockOffMs)}`]),
  ...head.conditions.map(({ code, message }) => `${code}: ${message}`.slice(0, 512)),
].slice(0, 32); // biome-ignore format: one list

const startedOf = ({ clockOffMs, head, at }: RelayState | SensorState): string =>
  clockOffMs === undefined ? seconds(head.started) : moment(at);

/** What its agents see of it: the relay all its interfaces, sensors those that they are to watch. */
function nicsOf({ relay, sensors, pinning }: NodeView): NonNullable<FleetNodeStatus["interfaces"]> {
  const found = new Map<string, Nic>();
  const add = (name: string, more: Omit<Nic, "name">): void => {
    if (name.length > 0 && name.length < 16) found.set(name, { name, ...found.get(name), ...more });
  };
  for (const { name, mtu } of relay?.links ?? []) add(name, { mtu });
  for (const [pool, state] of sensors) {
    for (const one of state?.interfaces ?? []) add(one.interface, { state: one.state });
    for (const [name, numaNode] of pinning(pool)?.numaOf ?? []) add(name, { numaNode });
  }
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)).slice(0, mostNics);
}

/** Undefined when nobody was asked yet, or nobody is there. */
function pinnedVerdict({ sensors, pinning }: NodeView): Omit<Holding, "type"> | undefined {
  const told = [...sensors.keys()].flatMap((pool) => pinning(pool)?.pinning ?? []);
  if (told.length === 0) return undefined;
  const drift = told.flatMap((one) => one.drift);
  const [cause] = told.flatMap((one) => one.cause ?? []);
  if (drift.length === 0) return { status: "True", reason: "AsWished", message: "all that is wished for is so" };
  const texts = drift.map(
    (one) => `${one.interface}: ${one.name} is on ${one.actual ?? "?"}, wished on ${one.desired}`,
  );
  return {
    status: "False",
    reason: "Drift",
    message: `${listed(texts)}${cause === undefined ? "" : `; ${cause}`}`.slice(0, 2000),
  };
}

const sensorRow = (pool: string, state: SensorState, told: PinningView | undefined): FleetSensor => ({
  pool,
  version: state.head.version.slice(0, 128),
  run: state.head.run.slice(0, 128),
  started: startedOf(state),
  lastReport: moment(state.at),
  rung: state.head.rung,
  packets: state.packets,
  lost: state.lost,
  drops: state.drops,
  problems: problems(state),
  ...(told ? { pinning: told.pinning } : {}),
});

const relayRow = (state: RelayState, wanted: number): FleetRelay => ({
  version: state.head.version.slice(0, 128),
  run: state.head.run.slice(0, 128),
  started: startedOf(state),
  lastReport: moment(state.at),
  pinned: state.head.pinned,
  wanted,
  programmed: state.head.plan.generation,
  plan: state.head.plan.state,
  problems: problems(state),
});

/** Of several ways that meet in one hop here the first: a row is of a rule and hop. */
function ruleRow(placed: NodeView["rules"][number], { relay, lost, rules }: NodeView): FleetRule[] {
  const same = rules.filter(({ owner, hop }) => owner === placed.owner && hop === placed.hop);
  if (same[0] !== placed) return [];
  const tallies = same.flatMap(({ rule }) => relay?.rules.get(rule.id) ?? []);
  const [first] = tallies;
  if (!first) return [];
  const sum = (pick: (one: (typeof tallies)[number]) => number): number => tallies.reduce((all, one) => all + pick(one), 0); // biome-ignore format: one row
  return [
    {
      rule: placed.owner,
      hop: placed.hop,
      state: tallies.find(({ state }) => state !== "active")?.state ?? "active",
      ...(first.engine === null ? {} : { engine: first.engine }),
      why: first.why.slice(0, 512),
      received: sum((one) => one.matched + total(one.refused)),
      matched: sum(({ matched }) => matched),
      refused: sumsOf(tallies.map(({ refused }) => refused)),
      sent: sum(({ sent }) => sent),
      dropped: sumsOf(tallies.map(({ dropped }) => dropped)),
      lost: same.reduce((all, one) => all + lost(one), 0),
      ...(first.last === null || relay?.clockOffMs !== undefined ? {} : { lastPacket: seconds(first.last) }),
    },
  ];
}
