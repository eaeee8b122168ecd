// A SensorPool's status: from the nodes it selects, its DaemonSet, and what its sensors tell. Pure.
import { mostWorst, type WorstNode } from "#domain/custom-resource.ts";
import type { SensorPoolCondition, SensorPoolStatus } from "#domain/sensor-pool.ts";
import type { Holding } from "./rule-status.ts";
import type { SensorState } from "./sensor-book.ts";
import { about, exact, listed } from "./words.ts";

export interface PoolVerdict {
  readonly holding: readonly (Holding & { readonly type: SensorPoolCondition })[];
  readonly figures: Omit<SensorPoolStatus, "conditions" | "observedGeneration">;
}

export interface PoolView {
  /** what the operator itself found against it; undefined: nothing */
  readonly refusal: { readonly reason: string; readonly message: string } | undefined;
  /** nodes that shall have a sensor, sorted */
  readonly nodes: readonly string[];
  /** pods of the DaemonSet that are ready */
  readonly ready: number;
  /** why the apiserver takes no more of them; undefined: it takes all */
  readonly podsRefused: string | undefined;
  readonly ports: SensorPoolStatus["ports"];
  readonly sensor: (node: string) => SensorState | undefined;
  /** monotonic, ms */
  readonly now: number;
}

type Verdict = Omit<Holding, "type">;
/** A ring's drop is told for so long after the last. */
const dropToldMs = 60_000;
/** Reports in a row with a residue on a resting interface. */
const residueReports = 3;

export function poolVerdict(view: PoolView): PoolVerdict {
  const { refusal, nodes, now } = view;
  const sensors = nodes.map((node) => ({ node, state: view.sensor(node) }));
  const reporting = sensors.filter(({ state }) => state?.heard.reporting(now) === true);
  const silent = sensors.filter(({ state }) => state?.heard.reporting(now) !== true).map(({ node }) => node);
  const live = reporting.flatMap(({ state }) => state ?? []);
  const sum = (pick: (state: SensorState) => number): number => live.reduce((all, state) => all + pick(state), 0);
  const drops: Record<string, number> = {};
  for (const { drops: of } of live)
    for (const [reason, count] of Object.entries(of)) drops[reason] = (drops[reason] ?? 0) + count;
  const troubles = reporting.flatMap(({ node, state }) => (state ? troublesOf(node, state, now) : []));
  const worst = worstOf(silent, troubles);
  const accepted: Verdict = refusal ? { status: "False", ...refusal } : { status: "True", reason: "Accepted", message: "no other pool has its interfaces" }; // biome-ignore format: one row
  return {
    holding: [
      { type: "Accepted", ...accepted },
      { type: "Ready", ...readyVerdict(view, silent) },
      {
        type: "Accounted",
        ...accountedVerdict(
          reporting,
          silent,
          sum((state) => state.packets),
        ),
      },
      { type: "Degraded", ...degradedVerdict(troubles, accepted) },
    ],
    figures: {
      desired: nodes.length,
      ready: view.ready,
      reporting: reporting.length,
      ...(view.ports ? { ports: view.ports } : {}),
      totals: {
        packets: sum(({ packets }) => packets),
        bytes: sum(({ bytes }) => bytes),
        pps: Math.round(sum(({ pps }) => pps)),
        bps: Math.round(sum(({ bps }) => bps)),
        drops,
        lost: sum(({ lost }) => lost),
        suspect: sum(({ suspect }) => suspect),
        flows: sum(({ flows }) => flows),
      },
      ...(worst.length > 0 ? { worst } : {}),
    },
  };
}

function readyVerdict({ nodes, ready, refusal, podsRefused }: PoolView, silent: readonly string[]): Verdict {
  if (refusal) return { status: "False", reason: "NotAccepted", message: refusal.message };
  if (nodes.length === 0) return { status: "False", reason: "NoNodes", message: "no node is selected: kubectl get nodes --show-labels" }; // biome-ignore format: one row
  if (podsRefused !== undefined) return { status: "False", reason: "PodsRefused", message: podsRefused };
  if (ready < nodes.length) return { status: "False", reason: "SensorsStarting", message: `${ready} of ${nodes.length} sensors are ready` }; // biome-ignore format: one row
  if (silent.length > 0)
    return { status: "False", reason: "NotReporting", message: `not reporting: ${listed(silent)}` };
  return { status: "True", reason: "Ready", message: `${nodes.length} of ${nodes.length} sensors report` };
}

function accountedVerdict(
  reporting: readonly { readonly node: string; readonly state: SensorState | undefined }[],
  silent: readonly string[],
  packets: number,
): Verdict {
  const astray = reporting.filter(({ state }) => (state?.residueFor ?? 0) >= residueReports);
  if (astray.length > 0) {
    const texts = astray.map(({ node, state }) => `${node}: ${exact(state?.residue?.packets ?? 0)} packets of ${state?.residue?.interface ?? "?"} are in no account`); // biome-ignore format: one row
    return { status: "False", reason: "Residue", message: listed(texts) };
  }
  if (reporting.length === 0) return { status: "Unknown", reason: "NotReporting", message: "no sensor reports" };
  if (silent.length > 0)
    return { status: "Unknown", reason: "NotReporting", message: `not reporting: ${listed(silent)}` };
  return { status: "True", reason: "Accounted", message: `each of ${about(packets)} packets is in one account` };
}

interface Trouble {
  readonly node: string;
  readonly reason: string;
  readonly message: string;
  readonly dropped: number;
  readonly lost: number;
}

function troublesOf(node: string, state: SensorState, now: number): Trouble[] {
  const of = (reason: string, message: string): Trouble => ({ node, reason, message, dropped: state.ringDrops, lost: state.lost }); // biome-ignore format: one row
  const found: Trouble[] = [];
  if (now - state.droppedAt < dropToldMs) found.push(of("RingDrops", `its rings dropped ${exact(state.ringDrops)} of ${about(state.packets)}`)); // biome-ignore format: one row
  for (const { interface: name, state: how, problem } of state.interfaces) {
    if (problem) found.push(of("InterfaceRefused", `${name}: ${problem.detail}`));
    else if (how === "absent" || how === "down") found.push(of("InterfaceAbsent", `${name} is ${how}`));
  }
  if (state.interfaces.length === 0) found.push(of("NoInterface", "none of its interfaces is there"));
  if (state.head.rung !== "none") found.push(of("MemoryShort", `its memory is short: ${state.head.rung}`));
  if (state.clockOffMs !== undefined) found.push(of("ClockOff", `its clock is ${clockText(state.clockOffMs)}: its times are not used`)); // biome-ignore format: one row
  const told = new Set(["CAPTURE_RING_OVERFLOW", "SENSOR_DEGRADED", "INTERFACE_NOT_FOUND", "INTERFACE_DOWN"]);
  for (const { code, message } of state.head.conditions) if (!told.has(code)) found.push(of(code, message));
  return found;
}

/** Coarse, so that a message does not change with every report. */
export const clockText = (offMs: number): string => {
  const minutes = Math.round(Math.abs(offMs) / 60_000);
  const much = minutes < 1 ? "less than a minute" : minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
  return `${much} ${offMs > 0 ? "fast" : "slow"}`;
};

function degradedVerdict(troubles: readonly Trouble[], accepted: Verdict): Verdict {
  if (accepted.status === "False") return { status: "True", reason: "NotAccepted", message: accepted.message };
  const [first] = troubles;
  if (!first) return { status: "False", reason: "AsAsked", message: "all works as asked for" };
  const texts = troubles.map(({ node, message }) => `${node}: ${message}`);
  return { status: "True", reason: first.reason, message: texts.length > 3 ? `${texts.slice(0, 3).join("; ")}; and ${texts.length - 3} more` : texts.join("; ") }; // biome-ignore format: one row
}

function worstOf(silent: readonly string[], troubles: readonly Trouble[]): WorstNode[] {
  const nodes = [...Map.groupBy(troubles, ({ node }) => node).values()].flatMap(([first]) => first ?? []);
  return [
    ...silent.map((node) => ({ node, reason: "NotReporting", message: "not heard for three intervals" })),
    ...nodes.toSorted((a, b) => b.dropped - a.dropped || b.lost - a.lost),
  ].slice(0, mostWorst);
}
