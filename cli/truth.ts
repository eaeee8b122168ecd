// Compares a run in a database with the truth file of the generator: every counter and every key of every flow.
import { createReadStream, statSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { TaplineError } from "#domain/errors.ts";
import { RunFlows, type StoredFlow } from "#store/run-flows.ts";
import type { Difference, Verdict } from "./verdict.ts";

type TruthFlow = Readonly<Record<string, unknown>> & { readonly packet: number };

const counters = [
  "packets", "bytes", "first_number", "last_number", "expected", "unique", "reordered", "duplicate", "late", "lost", "gaps", "min_gap", "max_gap",
] as const; // biome-ignore format: one list
/** Counted by the engine only; the generator makes none of them. */
const zeros = ["pending", "jumps", "outliers", "restarts"] as const;
const keys = ["protocol", "source", "destination", "sci", "an", "spi"] as const;
const firstKept = 5;

/** What the comparison asks of a run. */
export interface Found {
  readonly count: number;
  readonly untracked: Readonly<Record<string, number>>;
  flow(packet: number): StoredFlow | undefined;
  previous(packet: number): number | undefined;
}

export interface Truth {
  readonly untracked: Readonly<Record<string, number>>;
  readonly flows: AsyncIterable<TruthFlow>;
}

/** The file holds one flow a line, so that one of a million flows is read like one of ten. */
export async function readTruth(path: string): Promise<Truth> {
  const bad = (detail: string, cause?: unknown): TaplineError =>
    new TaplineError("TRUTH_UNREADABLE", { path, detail }, { cause });
  const parse = <T>(text: string): T => {
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw bad((cause as Error).message, cause);
    }
  };
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) throw bad(found === undefined ? "it does not exist" : "it is not a regular file");
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Infinity })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    try {
      const { done, value } = await lines.next();
      if (done !== true) return value;
    } catch (cause) {
      throw bad((cause as Error).message, cause);
    }
    throw bad("it ends too early");
  };

  let head = "";
  for (;;) {
    const line = await next();
    if (line.startsWith('"flows":[')) break;
    head += line;
    if (head.length > 1 << 20) throw bad("it has no list of flows");
  }
  const { totals } = parse<{ totals?: { untracked?: Record<string, number> } }>(`${head.trimEnd().replace(/,$/, "")}}`);
  if (totals === undefined) throw bad("it has no totals");
  async function* flows(): AsyncGenerator<TruthFlow> {
    for (;;) {
      const line = await next();
      if (line === "") continue;
      if (line.startsWith("]")) return;
      const flow = parse<TruthFlow>(line.replace(/,$/, ""));
      if (!Number.isSafeInteger(flow.packet)) throw bad("a flow has no packet number");
      yield flow;
    }
  }
  return { untracked: totals.untracked ?? {}, flows: flows() };
}

type Value = number | string | null;
const plain = (value: unknown): Value => (typeof value === "number" || typeof value === "string" ? value : null);
const cell = (list: unknown, index: number): Value => (Array.isArray(list) ? plain(list[index]) : null);

/** [what, in truth, found] for everything the two sides know of a flow. */
function* figures(
  truth: TruthFlow,
  found: StoredFlow,
  previous: number | undefined,
): Generator<readonly [string, Value, Value]> {
  for (const name of keys) yield [name, plain(truth[name]), found[name] ?? null];
  for (const name of counters) yield [name, plain(truth[name]), found[name] ?? 0];
  for (const name of zeros) yield [name, 0, found[name] ?? 0];
  yield ["previous", plain(truth.previous), previous ?? null];
  yield ["outer_vlan", cell(truth.vlan, 0), found.outer_vlan ?? null];
  yield ["inner_vlan", cell(truth.vlan, 1), found.inner_vlan ?? null];
  if (found.spi === null) {
    yield ["source_port", cell(truth.ports, 0), found.source_port ?? null];
    yield ["destination_port", cell(truth.ports, 1), found.destination_port ?? null];
  }
}

export async function compare(truth: Truth, found: Found): Promise<Verdict> {
  const first: Difference[] = [];
  let [flows, compared, differences] = [0, 0, 0];
  const check = (flow: number, what: string, inTruth: Value, inRun: Value): void => {
    compared += 1;
    if (inTruth === inRun) return;
    differences += 1;
    if (first.length < firstKept) first.push({ flow, what, truth: inTruth, found: inRun });
  };
  for await (const flow of truth.flows) {
    flows += 1;
    const stored = found.flow(flow.packet);
    if (stored === undefined) check(flow.packet, "flow", plain(flow.protocol), null);
    else
      for (const [what, inTruth, inRun] of figures(flow, stored, found.previous(flow.packet)))
        check(flow.packet, what, inTruth, inRun);
  }
  check(0, "flows", flows, found.count);
  for (const reason of new Set([...Object.keys(truth.untracked), ...Object.keys(found.untracked)])) {
    check(0, reason, truth.untracked[reason] ?? 0, found.untracked[reason] ?? 0);
  }
  return { equal: differences === 0, flows, compared, differences, first };
}

export async function compareRun(database: string, run: number, truthPath: string): Promise<Verdict> {
  const truth = await readTruth(truthPath);
  using found = new RunFlows(database, run);
  return await compare(truth, found); // `found` must stay open meanwhile
}
