// tapline bench capture: what capturing costs, beside programs that do less or other things, on a wire of its own.
//
//   (nothing)    processor time of a packet, ours beside the peers'
//   --full-rate  nothing dropped, nothing unaccounted for, every number left out found
//   --memory     a million flows alive; idle
//   --ablation   what each step of the capture is worth
import { ablation, ablationText } from "./capture-ablation.ts";
import { costOf, costTargets, costText, writeCosts, type Cost } from "./capture-cost.ts";
import { exactAt, exactTargets, exactText, type Exact } from "./capture-exact.ts";
import { memories, memoryTargets, memoryText } from "./capture-memory.ts";
import { peersNamed, type Kind, type PeerName } from "./capture-peers.ts";
import { subjects, type SubjectName } from "./capture-subject.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { machine } from "./machine.ts";
import { Scratch } from "./scratch.ts";
import { styled } from "./table.ts";
import { targetTable, type Target } from "./target.ts";
import { cores } from "./wire.ts";

export interface BenchCaptureArguments {
  readonly against: PeerName | "all" | "none";
  readonly of: SubjectName;
  readonly seconds?: number;
  readonly rounds: number;
  readonly kind?: Kind;
  readonly fullRate: boolean;
  readonly memory: boolean;
  readonly ablation: boolean;
  readonly csv?: string;
  readonly svg?: string;
  readonly strict: boolean;
  readonly json?: boolean;
}

type Say = (text: string) => void;
interface Part {
  readonly targets: readonly Target[];
  readonly json: Record<string, unknown>;
}

const usualSeconds = { cost: 5, fullRate: 60, ablation: 3 } as const;
const kindsOf = ({ kind }: BenchCaptureArguments): readonly Kind[] =>
  kind === undefined ? ["macsec", "mixed"] : [kind];

async function cost(typed: BenchCaptureArguments, folder: string, signal: AbortSignal, say: Say): Promise<Part> {
  const peers = peersNamed(typed.against);
  const seconds = typed.seconds ?? usualSeconds.cost;
  const costs: Cost[] = [];
  for (const kind of kindsOf(typed)) {
    const one = await costOf(subjects[typed.of], peers, { kind, seconds, rounds: typed.rounds }, folder, signal);
    say(costText(one));
    costs.push(one);
  }
  writeCosts(costs, typed);
  return { targets: costs.flatMap(costTargets), json: { costs } };
}

async function fullRate(typed: BenchCaptureArguments, folder: string, signal: AbortSignal, say: Say): Promise<Part> {
  const exact: Exact[] = [];
  for (const kind of kindsOf(typed))
    exact.push(await exactAt(subjects[typed.of], kind, typed.seconds ?? usualSeconds.fullRate, folder, signal));
  say(exactText(exact));
  return { targets: exact.flatMap(exactTargets), json: { exact } };
}

async function memory(typed: BenchCaptureArguments, folder: string, signal: AbortSignal, say: Say): Promise<Part> {
  const found = await memories(subjects[typed.of], folder, signal);
  say(memoryText(subjects[typed.of], found));
  return { targets: memoryTargets(found), json: { memory: found } };
}

async function steps(typed: BenchCaptureArguments, _: string, signal: AbortSignal, say: Say): Promise<Part> {
  const found = await ablation(typed.kind ?? "macsec", typed.seconds ?? usualSeconds.ablation, typed.rounds, signal);
  say(ablationText(found));
  return { targets: [], json: { ablation: found } };
}

export async function benchCapture(typed: BenchCaptureArguments): Promise<number> {
  using stop = interruption();
  const say: Say = (text) => void (typed.json === true || process.stdout.write(`${text}\n`));
  const on = machine();
  using scratch = new Scratch();
  try {
    say(
      styled(
        `${on.processor}, ${on.cores} cores, Linux ${on.kernel}; a veth pair between two namespaces, sender on core ${cores.sender}, reader on core ${cores.reader}`,
        "quiet",
      ),
    );
    const part = typed.fullRate ? fullRate : typed.memory ? memory : typed.ablation ? steps : cost;
    const { targets, json } = await part(typed, scratch.path, stop.signal, say);
    if (targets.length > 0) say(targetTable(targets));
    if (typed.json === true)
      process.stdout.write(`${JSON.stringify({ machine: on, ...json, targets }, undefined, 2)}\n`);
    return typed.strict && targets.some((target) => !target.met) ? 1 : 0;
  } catch (error) {
    if (await stop.explains()) return interruptedCode;
    throw error;
  }
}
