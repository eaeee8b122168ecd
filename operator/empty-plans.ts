// An empty plan for every node, senders before receivers, until each relay says that it runs nothing. Enters: all nodes, NATS. Leaves: the nodes of which that is not known, and why.
import type { KeyObject } from "node:crypto";
import { Conditions as BusConditions } from "#bus/conditions.ts";
import { configuredAccess } from "#bus/configured.ts";
import { BusConnection } from "#bus/connection.ts";
import type { OperatorConfig } from "#domain/operator-config.ts";
import { operatorInboxPrefix } from "#domain/subjects.ts";
import { asWarning, logChange } from "#process/conditions.ts";
import type { NodeFacts } from "./controllers/nodes.ts";
import { FleetListener } from "./fleet/listener.ts";
import { type Patience, pause } from "./patience.ts";
import { Planner } from "./planner.ts";

interface EmptyPlansOptions extends Patience {
  readonly config: OperatorConfig;
  readonly key: KeyObject;
}

const now = (): number => performance.now();
const wallClock = (): number => Date.now();
const ns = (): bigint => BigInt(wallClock()) * 1_000_000n;

export async function emptyPlans(
  { config, key, log, late }: EmptyPlansOptions,
  nodes: ReadonlyMap<string, NodeFacts>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const { fleet, nats, name = "" } = config;
  const listener = new FleetListener({ fleet, knowsNode: (node) => nodes.has(node), knowsPool: () => false, now: wallClock, monotonic: now }); // biome-ignore format: one call
  const planner = new Planner({ fleet, key, book: listener.relays, log, now, wallClock });
  planner.look([], nodes);
  const connection = new BusConnection({
    ...configuredAccess({ ...nats }),
    name: `tapline operator --drain ${name}`,
    inboxPrefix: operatorInboxPrefix(fleet),
    conditions: new BusConditions(ns, (told) => logChange(log, asWarning(told))),
    now: ns,
    signal,
  });
  connection.onSession((session) => {
    listener.listen(session);
    planner.use(session);
  });
  const waiting = AbortSignal.any([signal, late]);
  const busy = (): string[] => [...nodes.keys()].filter((node) => !planner.idle(node));
  while (!waiting.aborted && busy().length > 0) {
    await planner.tick(waiting).catch((error: unknown) => log.warning("failed to take a step", { error }));
    await pause(waiting);
  }
  const why = (node: string): string => {
    if (!planner.connected) return "NATS does not answer, so its relay cannot be told to end";
    return listener.relays.get(node)?.heard.reporting(now()) === true ? "its relay did not say in time that it runs nothing" : "its relay is silent"; // biome-ignore format: one choice
  };
  const left = new Map(busy().map((node) => [node, why(node)]));
  await connection.drain(1000);
  return left;
}
