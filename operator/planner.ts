// What every node shall run, and the next step towards it. Enters: RelayRules, nodes, what relays acknowledge; a session of NATS. Leaves: plans, written in order; who is waited for.
// Knowledge of what was written is read back from NATS with each session, so that an operator that begins goes on where the last one stopped.
import { isDeepStrictEqual } from "node:util";
import type { KeyObject } from "node:crypto";
import type { NatsConnection } from "nats";
import { PlanWriter, type WrittenPlan } from "#bus/plan-writer.ts";
import type { Log } from "#process/log.ts";
import { type Decision, decide } from "./controllers/relayrule/accept.ts";
import { pathSecret } from "./controllers/relayrule/paths.ts";
import { relayLabel } from "./controllers/relayrule/relay-pods.ts";
import type { RuleObject } from "./controllers/relayrule/rule-object.ts";
import { nextStep, type PlannedRule, type Standing, type Step } from "./controllers/relayrule/stage.ts";
import type { NodeFacts } from "./controllers/nodes.ts";
import type { RelayBook, RelayState } from "./fleet/relay-book.ts";

export interface PlannerOptions {
  readonly fleet: string;
  readonly key: KeyObject;
  readonly book: RelayBook;
  readonly log: Log;
  /** monotonic, ms */
  readonly now: () => number;
  /** since 1970, ms */
  readonly wallClock: () => number;
}

interface NodePlan {
  /** undefined: none was ever written */
  written: WrittenPlan | undefined;
  before: readonly PlannedRule[] | undefined;
}

/** Relays find a NATS that was away, or a new operator, within this time: until then one that is silent is not dead. */
const hearMs = 20_000;
/** Plans read or written at once. */
const atOnce = 16;
const nothing: Decision = { accepted: new Map(), refused: new Map(), nodes: new Map(), paths: [] };

export class Planner {
  readonly #options: PlannerOptions;
  readonly #secret: Buffer;
  readonly #plans = new Map<string, NodePlan>();
  #session: NatsConnection | undefined;
  #writer: PlanWriter | undefined;
  /** of the session */
  #since = -Infinity;
  #nodes: ReadonlyMap<string, NodeFacts> = new Map();
  #step: Step = { plans: new Map(), waiting: new Map() };
  decision: Decision = nothing;

  constructor(options: PlannerOptions) {
    this.#options = options;
    this.#secret = pathSecret(options.key, options.fleet);
  }

  /** Something of them has changed. */
  look(rules: readonly RuleObject[], nodes: ReadonlyMap<string, NodeFacts>): void {
    this.#nodes = nodes;
    this.decision = decide(rules, nodes, this.#secret);
    this.#keep();
  }

  /** From now on this one. What is known of plans is read anew. */
  use(session: NatsConnection): void {
    this.#session = session;
    this.#since = this.#options.now();
    this.#writer = undefined;
  }

  async #open(session: NatsConnection): Promise<PlanWriter> {
    const { fleet, key, wallClock } = this.#options;
    const writer = await PlanWriter.open({ session, fleet, key, now: () => new Date(wallClock()).toISOString() });
    this.#plans.clear();
    this.#writer = writer;
    return writer;
  }

  /** One step. Plans of nodes that cannot be written are told, and tried with the next one. */
  async tick(signal: AbortSignal): Promise<void> {
    const session = this.#session;
    if (!session || session.isClosed()) return;
    const writer = this.#writer ?? (await this.#open(session));
    const unread = [...this.#nodes.keys()].filter((node) => !this.#plans.has(node));
    await inTurns(unread, async (node) => {
      if (signal.aborted) return;
      this.#plans.set(node, { written: await writer.read(node), before: undefined });
    });
    if (signal.aborted || this.#writer !== writer) return;
    const standing = new Map([...this.#plans].map(([node, plan]) => [node, this.#standing(node, plan)]));
    this.#step = nextStep(this.decision.nodes, this.decision.paths, standing);
    await inTurns([...this.#step.plans], async ([node, rules]) => {
      if (!signal.aborted) await this.#write(writer, node, rules);
    });
    this.#keep();
  }

  async #write(writer: PlanWriter, node: string, rules: readonly PlannedRule[]): Promise<void> {
    const plan = this.#plans.get(node);
    if (!plan) return;
    const { generation: reported, digest } = this.#relay(node)?.head.plan ?? { generation: 0, digest: null };
    const { written } = plan;
    // NATS may have lost what the relay still has: then the same again, under a higher number.
    const other = written && reported === written.generation && digest !== written.digest;
    if (written && reported <= written.generation && !other && isDeepStrictEqual(written.rules, rules)) {
      plan.written = { ...written, rules }; // the very same rules are compared in no time
      return;
    }
    try {
      const before = this.#acknowledged(node, written) ? (written?.rules as readonly PlannedRule[]) : plan.before;
      plan.written = await writer.write(node, rules, reported);
      plan.before = written === undefined && reported === 0 ? [] : before;
      this.#options.log.notice("wrote a plan", { node, generation: plan.written.generation, rules: rules.length });
    } catch (error) {
      this.#plans.delete(node); // to be read again
      this.#options.log.warning("failed to write a plan", { node, error });
    }
  }

  #relay(node: string): RelayState | undefined {
    return this.#options.book.get(node);
  }
  #acknowledged(node: string, written: WrittenPlan | undefined): boolean {
    const plan = this.#relay(node)?.head.plan;
    return written !== undefined && plan?.generation === written.generation && plan.digest === written.digest;
  }
  #standing(node: string, { written, before }: NodePlan): Standing {
    const now = this.#options.now();
    const heard = this.#relay(node)?.heard.reporting(now) ?? false;
    const ran = (this.#relay(node)?.head.plan.generation ?? 0) > 0;
    const early = !heard && now - this.#since < hearMs;
    // NATS has lost its plan, and the relay still runs it: it is to be given another one, if only an empty one.
    const lost = written === undefined && ran;
    return {
      written: lost ? [] : (written?.rules as readonly PlannedRule[] | undefined),
      acknowledged: this.#acknowledged(node, written),
      before,
      alive: heard || (early && (written !== undefined || ran || this.decision.nodes.has(node))),
      unknown: written === undefined && (ran || early),
    };
  }

  /** What is planned or still runs is listened for. */
  #keep(): void {
    const rules = new Map<string, Set<string>>();
    const paths = new Set(this.decision.paths.map(({ path }) => path));
    for (const [node, all] of [...this.decision.nodes, ...this.#step.plans])
      for (const { id } of all) rules.set(node, (rules.get(node) ?? new Set()).add(id));
    this.#options.book.plan({ rules, paths });
  }

  /** It runs there as it is wanted, and the relay said so. */
  programmed(node: string, id: string): boolean {
    const written = this.#plans.get(node)?.written;
    if (!this.#acknowledged(node, written)) return false;
    const wanted = this.decision.nodes.get(node)?.find((rule) => rule.id === id);
    return isDeepStrictEqual(wanted, (written?.rules as readonly PlannedRule[] | undefined)?.find((rule) => rule.id === id)); // biome-ignore format: one call
  }
  waitsFor(node: string): readonly string[] {
    return this.#step.waiting.get(node) ?? [];
  }
  generation(node: string): number {
    return this.#plans.get(node)?.written?.generation ?? 0;
  }

  /** It has something to do, or has not yet acknowledged that it has nothing to do any more. */
  wantsRelay(node: string): boolean {
    return (this.decision.nodes.get(node)?.length ?? 0) > 0 || !this.idle(node);
  }

  /** Nothing runs there, as far as is known: its plan is empty, and its relay said so. A node that has lost its relay's label had said it before, whoever led then. */
  idle(node: string): boolean {
    const plan = this.#plans.get(node);
    const placed = this.#nodes.get(node)?.labels[relayLabel] === "true";
    if (plan === undefined) return !placed; // not read yet
    const { written } = plan;
    if (written === undefined) return !placed || this.#relay(node)?.head.plan.generation === 0;
    return written.rules.length === 0 && (!placed || this.#acknowledged(node, written));
  }

  /** Nodes on which something of a RelayRule may still run. */
  remains(idPrefix: string): string[] {
    return [...this.#plans].flatMap(([node, { written, before = [] }]) => {
      const runs = [...((written?.rules ?? []) as readonly PlannedRule[]), ...(this.#acknowledged(node, written) ? [] : before)]; // biome-ignore format: one list
      return runs.some(({ id }) => id.startsWith(idPrefix)) ? [node] : [];
    });
  }
  get connected(): boolean {
    return this.#writer !== undefined && this.#session?.isClosed() === false;
  }
}

async function inTurns<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  await Promise.all(Array.from({ length: Math.min(atOnce, all.length) }, async () => {
    for (const one of left) await work(one);
  })); // biome-ignore format: one call
}
