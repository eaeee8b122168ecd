// What is not as it should be in the figures of a second. Pure. What has one cause is told together: ten thousand rules that wait for one interface are
// one condition.
import type { ErrorCode, TaplineError } from "#domain/errors.ts";
import type { EngineRow, HopRow, ReportedPort, WorkerRow } from "#domain/relay-report.ts";
import { type RelayDrop, relayDrops, type RelayRefusal, relayRefusals } from "#domain/vocabulary.ts";
import type { Holding } from "#process/conditions.ts";
import type { Stand } from "./programme.ts";
import type { Surroundings } from "./surroundings.ts";
import { added } from "./sums.ts";

export interface Standing {
  readonly stands: Iterable<Stand>;
  readonly near: Surroundings;
  readonly engines: readonly EngineRow[];
  readonly pinned: { readonly ok: boolean; readonly why: string };
  readonly workers: readonly WorkerRow[];
  readonly ports: readonly ReportedPort[];
  readonly portsBefore: readonly ReportedPort[];
  readonly hops: readonly HopRow[];
  readonly hopsBefore: readonly HopRow[];
  /** packets dropped since the look before, by reason; and the rule that dropped the most of them */
  readonly dropped: ReadonlyMap<RelayDrop, { readonly packets: number; readonly rule: string }>;
  readonly groups: readonly { readonly interface: string; readonly group: string; readonly detail: string }[];
  /** what failed beside the figures: the programming, the state, the plan */
  readonly failures: readonly { readonly subject: string; readonly error: TaplineError }[];
}

export function holding(standing: Standing): Holding[] {
  const stands = [...standing.stands];
  return [
    ...standing.failures.map(({ subject, error: { code, details } }) => error(code, subject, details)),
    ...ofEngines(standing, stands),
    ...ofRules(stands),
    ...ofInputs(stands, standing.near),
    ...ofForeigners(stands, standing.near),
    ...ofCaptures(stands, standing.near),
    ...ofTunnels(stands),
    ...standing.ports.flatMap((port) => ofPort(port, standing.portsBefore)),
    ...ofHops(standing),
    ...ofDrops(standing.dropped),
    ...standing.groups.map(({ interface: path, group, detail }) =>
      warning("RELAY_MEMBERSHIP_FAILED", `${path} ${group}`, { path, group, detail }),
    ),
  ];
}

const warning = (code: ErrorCode, subject: string, details: Holding["details"]): Holding => ({
  code, subject, details, severity: "warning",
}); // biome-ignore format: one row
const error = (code: ErrorCode, subject: string, details: Holding["details"]): Holding => ({
  code, subject, details, severity: "error",
}); // biome-ignore format: one row

function ofEngines({ engines, pinned, workers }: Standing, stands: readonly Stand[]): Holding[] {
  const none = engines.every(({ available }) => !available);
  const found: Holding[] = none
    ? engines.map(({ engine, why }) => error("RELAY_ENGINE_MISSING", engine, { engine, detail: why }))
    : [];
  const inKernel = stands.some(({ engine }) => engine === "xdp" || engine === "tc");
  if (inKernel && !pinned.ok) found.push(warning("RELAY_NOT_PINNED", "pins", { detail: pinned.why }));
  for (const { interface: path, state, detail } of workers)
    if (state === "backing off" || state === "stopped") found.push(error("RELAY_WORKER_DOWN", path, { path, detail }));
  return found;
}

function ofRules(stands: readonly Stand[]): Holding[] {
  const waiting = Map.groupBy(
    stands.filter(({ state }) => state === "waiting"),
    ({ cause, why }) => `${cause}: ${why}`,
  );
  const unready = new Map<string, { problem: string; count: number; rule: string }>();
  for (const { rule, found, state } of stands)
    for (const { problem } of state === "partial" ? found.outputs : []) {
      if (problem === null) continue;
      const known = unready.get(problem);
      if (known) known.count++;
      else unready.set(problem, { problem, count: 1, rule: rule.id });
    }
  return [
    ...[...waiting.values()].map((group) => {
      const [first] = group as [Stand];
      const details = { count: group.length, detail: first.why, rule: first.rule.id };
      return error("RELAY_WAITING", first.cause === "engine" ? first.why.slice(0, 60) : first.cause, details);
    }),
    ...[...unready.values()].map(({ problem, count, rule }) =>
      error("RELAY_OUTPUT_UNREADY", problem, { count, detail: problem, rule }),
    ),
  ];
}

function ofInputs(stands: readonly Stand[], near: Surroundings): Holding[] {
  const inputs = new Set(stands.flatMap(({ found, engine }) => (engine === null ? [] : found.ends.inputs)));
  return [...inputs].flatMap((ifindex) => {
    const link = near.linkAt(ifindex);
    if (!link || link.up) return [];
    return [error("INTERFACE_DOWN", link.name, { path: link.name, detail: "its rules get no packets" })];
  });
}

/** Programs of others on inputs whose rules would have taken XDP. */
function ofForeigners(stands: readonly Stand[], near: Surroundings): Holding[] {
  const fallen = stands.filter(({ rule, engine }) => rule.engine === "Auto" && engine !== null && engine !== "xdp");
  const inputs = Map.groupBy(fallen, ({ found }) => found.ends.inputs[0] ?? 0);
  return [...inputs].flatMap(([ifindex, rules]) => {
    if (near.probe(ifindex)?.foreignXdp !== true) return [];
    const path = near.linkAt(ifindex)?.name ?? `interface ${ifindex}`;
    const details = { path, kind: "XDP", count: rules.length, engine: rules[0]?.engine ?? "tc" };
    return [warning("RELAY_FOREIGN_PROGRAM", path, details)];
  });
}

/** Whoever began to capture after the engine was chosen. */
function ofCaptures(stands: readonly Stand[], near: Surroundings): Holding[] {
  const inputs = Map.groupBy(
    stands.filter(({ engine }) => engine === "xdp"),
    ({ found }) => found.ends.inputs[0] ?? 0,
  );
  // A worker of ours captures, too, and misses nothing.
  const workers = new Set(stands.flatMap(({ engine, found }) => (engine === "afpacket" ? found.ends.inputs : [])));
  return [...inputs].flatMap(([ifindex, rules]) => {
    if (workers.has(ifindex) || !near.isWatched(ifindex)) return [];
    const path = near.linkAt(ifindex)?.name ?? `interface ${ifindex}`;
    return [warning("RELAY_HIDES_PACKETS", path, { path, count: rules.length, rule: rules[0]?.rule.id ?? "" })];
  });
}

const ofTunnels = (stands: readonly Stand[]): Holding[] =>
  stands.flatMap(({ found }) =>
    found.small.map((small) => warning("RELAY_TUNNEL_MTU", `path ${small.path}`, { ...small })),
  );

const looping: readonly RelayRefusal[] = ["loop", "hop_limit"];
const intruding: readonly RelayRefusal[] = ["stranger", "unknown_path", "tag", "replay", "version"];

function ofPort(port: ReportedPort, all: readonly ReportedPort[]): Holding[] {
  const path = port.interface;
  const before = all.find((one) => one.interface === path && one.engine === port.engine);
  if (!before) return [];
  const found: Holding[] = [];
  const add = (code: ErrorCode, reasons: readonly RelayRefusal[]): void => {
    for (const reason of reasons) {
      const packets = added(port.refused[reason] ?? 0, before.refused[reason] ?? 0);
      if (packets > 0) found.push(error(code, `${path} ${reason}`, { path, packets, reason: relayRefusals[reason] }));
    }
  };
  add("RELAY_LOOPING", looping);
  add("RELAY_INTRUDERS", intruding);
  const ringDrops = added(port.ring_drops, before.ring_drops);
  if (ringDrops > 0) found.push(error("CAPTURE_RING_OVERFLOW", path, { path, packets: ringDrops }));
  // Read while packets come it may be off by those on their way; what stays while nothing comes is a fault.
  if (port.residue !== 0 && port.residue === before.residue && port.received === before.received)
    found.push(error("LEDGER_RESIDUE", path, { path, packets: port.residue }));
  return found;
}

function ofHops({ hops, hopsBefore }: Standing): Holding[] {
  const old = new Map(hopsBefore.map((hop) => [hop.path, hop]));
  return hops.flatMap(({ path, peers, lost }) => {
    const before = old.get(path);
    const packets = before ? added(lost, before.lost) : 0;
    if (packets === 0) return [];
    return [error("RELAY_HOP_LOST", `path ${path}`, { path, peers: peers.join(", "), packets })];
  });
}

const ofDrops = (dropped: Standing["dropped"]): Holding[] =>
  [...dropped].map(([reason, { packets, rule }]) =>
    error("RELAY_DROPPING", reason, { packets, rule, reason: relayDrops[reason] }),
  );
