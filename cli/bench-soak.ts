// tapline bench soak: full rate for a long time. Fails when memory, descriptors or threads grow (soak-watch.ts says how that is
// judged), when a packet is dropped or not accounted for, or when a lost number is not found.
import { Capturing } from "./capture-run.ts";
import { exactTargets } from "./capture-exact.ts";
import { trafficOf } from "./capture-cost.ts";
import type { Kind } from "./capture-peers.ts";
import { resultOf, subjects, type SubjectName } from "./capture-subject.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { duration } from "./numbers.ts";
import { relaySoak } from "./relay-soak.ts";
import { targetTable } from "./target.ts";
import { Scratch } from "./scratch.ts";
import { SoakWatch, type Soaking } from "./soak-watch.ts";
import { Wire } from "./wire.ts";

export interface BenchSoakArguments {
  readonly of: SubjectName | "relay";
  readonly seconds: number;
  readonly every: number;
  readonly kind: Kind;
  readonly csv?: string;
  readonly json?: boolean;
}

const captureSoak =
  (name: SubjectName, kind: Kind): Soaking =>
  async ({ seconds, every }, under, say, signal) => {
    const subject = subjects[name];
    using wire = new Wire();
    await using capturing = await Capturing.start(subject, wire, under, signal);
    const { pid, folder } = capturing;
    say(
      `${subject.settings}; ${kind} at full rate for ${duration(seconds * 1e9)}, 50,000 flows, 0.05 % of the numbers left out.`,
    );
    const watched = { pid, files: () => subject.files(folder), dropped: () => subject.ringDrops?.({ wire, folder }) };
    const watch = new SoakWatch(watched, seconds, every);
    const sending = wire.send(trafficOf(kind, seconds), signal);
    sending.catch(() => undefined); // awaited below
    await watch.watch(say, signal);
    const sent = await sending;
    await capturing.quiet(signal);
    await capturing.stop(sent.sent);
    return { sent, watch, targets: exactTargets({ kind, sent, result: resultOf(folder) }) };
  };

export async function benchSoak(typed: BenchSoakArguments): Promise<number> {
  using stop = interruption();
  const say = (text: string): void => void (typed.json === true || process.stdout.write(`${text}\n`));
  using scratch = new Scratch();
  try {
    const soaking = typed.of === "relay" ? relaySoak : captureSoak(typed.of, typed.kind);
    const { sent, watch, ...found } = await soaking(typed, scratch.path, say, stop.signal);
    if (typed.csv !== undefined) watch.write(typed.csv);
    const targets = [...found.targets, ...watch.targets];
    say(`\n${targetTable(targets)}`);
    if (typed.json === true)
      process.stdout.write(`${JSON.stringify({ sent, samples: watch.samples, targets }, undefined, 2)}\n`);
    return targets.every((target) => target.met) ? 0 : 1;
  } catch (error) {
    if (await stop.explains()) return interruptedCode;
    throw error;
  }
}
