// All worker processes of this node: one for each interface that afpacket rules take packets from. Enters: the plan. Leaves: each worker's share of
// it; and their figures as one.
import { readdirSync } from "node:fs";
import type { RelayFigures, RelayHopFigures, RelayPlan, RelayTrace, ResolvedRule } from "#native/relay.ts";
import { Worker, type WorkerPhase, type WorkerSettings } from "./worker.ts";

export interface WorkerView {
  readonly ifindex: number;
  readonly pid: number | null;
  readonly state: WorkerPhase;
  readonly restarts: number;
  readonly detail: string;
}

export class Workers {
  readonly #settings: WorkerSettings;
  readonly #workers = new Map<number, Worker>();
  readonly #ending = new Set<Promise<void>>();

  /** Those that an earlier agent left running are taken over. */
  constructor(settings: WorkerSettings) {
    this.#settings = settings;
    for (const ifindex of left(settings.folder)) this.#worker(ifindex);
  }

  /** The rules of afpacket in it, all of them. Throws a coded Error; then what ran goes on, but for workers that took their share already. */
  apply(plan: RelayPlan): void {
    const shares = divide(plan);
    for (const [ifindex, share] of shares) this.#worker(ifindex).apply(share);
    for (const [ifindex, worker] of this.#workers) {
      if (shares.has(ifindex)) continue;
      this.#workers.delete(ifindex);
      const end = worker.remove().finally(() => this.#ending.delete(end));
      this.#ending.add(end);
    }
  }

  #worker(ifindex: number): Worker {
    const known = this.#workers.get(ifindex);
    if (known) return known;
    const made = new Worker(ifindex, this.#settings);
    this.#workers.set(ifindex, made);
    return made;
  }

  /** Once a second: workers that ended unheard are started again, none takes the agent for dead. */
  heartbeat(): void {
    for (const worker of this.#workers.values()) worker.heartbeat();
  }

  figures(): RelayFigures {
    const all = [...this.#workers.values()].map((worker) => worker.files.figures());
    return {
      ports: all.flatMap(({ ports }) => ports),
      // A tunnel's rule is with every worker that its packets may come to.
      rules: sumBy(
        all.flatMap(({ rules }) => rules),
        ({ id }) => id,
      ),
      outputs: sumBy(
        all.flatMap(({ outputs }) => outputs),
        ({ rule, id }) => `${rule}\n${id}`,
      ),
      hops: all.flatMap(({ hops }): readonly RelayHopFigures[] => hops),
    };
  }

  trace(rule: string, packets: number): void {
    for (const worker of this.#workers.values()) worker.files.trace(rule, packets);
  }
  takeTraces(): RelayTrace[] {
    return [...this.#workers.values()].flatMap((worker) => worker.files.takeTraces());
  }

  views(): WorkerView[] {
    return [...this.#workers.values()].map((worker) => ({ ifindex: worker.ifindex, ...worker.view() }));
  }

  /** All workers use what they were told last. */
  settled(): boolean {
    return [...this.#workers.values()].every((worker) => {
      const { ready, applied, wanted } = worker.files.state();
      return ready && applied === wanted;
    });
  }

  /** Traffic goes on. */
  async close(): Promise<void> {
    for (const worker of this.#workers.values()) worker.release();
    this.#workers.clear();
    await Promise.all(this.#ending);
  }

  /** Ends all of them. */
  async uninstall(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.remove()));
    this.#workers.clear();
    await Promise.all(this.#ending);
  }
}

function left(folder: string): number[] {
  try {
    return readdirSync(folder)
      .map(Number)
      .filter((ifindex) => Number.isInteger(ifindex) && ifindex > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Each interface's share: rules from the wire to theirs, rules from a tunnel to all where tunnels come in. */
export function divide(plan: RelayPlan): Map<number, RelayPlan> {
  const rules = plan.rules.filter(({ engine }) => engine === "afpacket");
  const ends = plan.tunnelPorts.filter(({ engine }) => engine === "afpacket");
  const tunnels = rules.filter(({ input }) => "path" in input);
  const shares = new Map<number, ResolvedRule[]>();
  for (const rule of rules) {
    if ("path" in rule.input) continue;
    const share = shares.get(rule.input.ifindex);
    if (share) share.push(rule);
    else shares.set(rule.input.ifindex, [rule]);
  }
  for (const { ifindex } of tunnels.length > 0 ? ends : []) {
    const share = shares.get(ifindex);
    if (share) share.push(...tunnels);
    else shares.set(ifindex, [...tunnels]);
  }
  return new Map(
    [...shares].map(([ifindex, share]) => [
      ifindex,
      { rules: share, tunnelPorts: ends.filter((end) => end.ifindex === ifindex), ownAddresses: plan.ownAddresses },
    ]),
  );
}

type Counted = object;

/** Rows of one name become one: numbers are added, of times the latest counts. */
function sumBy<Row extends Counted>(rows: readonly Row[], nameOf: (row: Row) => string): Row[] {
  const sums = new Map<string, Row>();
  for (const row of rows) {
    const before = sums.get(nameOf(row));
    sums.set(nameOf(row), before ? (sum(before, row) as Row) : row);
  }
  return [...sums.values()];
}
function sum(a: unknown, b: unknown): unknown {
  if (typeof a === "number" && typeof b === "number") return a + b;
  if (typeof a === "bigint" && typeof b === "bigint") return a > b ? a : b;
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) return a;
  return Object.fromEntries(
    Object.entries(a).map(([key, value]) => [key, sum(value, (b as Record<string, unknown>)[key])]),
  );
}
