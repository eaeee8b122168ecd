// tapline bench relay: how fast multicast is carried, by the kernel's own routing, by socat and by our three engines, in rigs of
// namespaces (relay-rig.ts). Rounds are interleaved; one with steal is voided and told. Rates come with what was lost: more than none
// is a missed target.
import { engine } from "#native/engine.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { machine } from "./machine.ts";
import { count, duration, grouped } from "./numbers.ts";
import { hashedCase } from "./relay-cases.ts";
import { latenciesOf } from "./relay-latency.ts";
import { rateCaseNames, type BenchRelayArguments, type BenchRelayPart } from "./relay-parts.ts";
import { ratesOf } from "./relay-rates.ts";
import { readingOf } from "./relay-run.ts";
import { Scratch } from "./scratch.ts";
import { styled } from "./table.ts";
import { atMost, exactly, targetTable, type Target } from "./target.ts";

interface Part {
  readonly text: string;
  readonly targets: readonly Target[];
  readonly json: Record<string, unknown>;
}

async function hashed(packets: number, folder: string, signal: AbortSignal): Promise<Part> {
  const { sent, rate, lost, duplicate, wrong } = await readingOf(hashedCase(packets), folder, signal);
  const target = (what: string, value: number): Target =>
    exactly(`three hops, every byte read: ${what}`, value, 0, grouped);
  return {
    text: `Three hops, every byte read: ${grouped(sent.sent)} packets sent at ${count(sent.pps)}/s, ${count(rate)}/s arrived, ${grouped(lost)} lost, ${grouped(duplicate)} twice, ${grouped(wrong)} wrong.\n`,
    targets: [target("lost", lost), target("twice or wrong", duplicate + wrong)],
    json: { hashed: { sent, rate, lost, duplicate, wrong } },
  };
}

/** ns */
const promisedSteps = { lookUp: 100, buffer: 200 } as const;
const microRounds = 20;

/** Steps in user space; `tapline bench micro` has all of the engine's. */
function micro(): Part {
  const found = engine()
    .micro(microRounds)
    .filter(({ name }) => name.startsWith("relay: "));
  return {
    text: `Steps in user space: ${found.map(({ name, nsPerOp }) => `${name.slice("relay: ".length)} ${duration(nsPerOp)}`).join("; ")}. The seed measured 15 ns for a rule's look-up and 113 ns for a buffer.\n`,
    targets: found.map(({ name, nsPerOp }) =>
      atMost(name, nsPerOp, name.includes("look-up") ? promisedSteps.lookUp : promisedSteps.buffer, duration),
    ),
    json: { micro: found },
  };
}

export async function benchRelay(typed: BenchRelayArguments): Promise<number> {
  using stop = interruption();
  const { signal } = stop;
  const say = (text: string): void => void (typed.json === true || process.stdout.write(`${text}\n`));
  const on = machine();
  using scratch = new Scratch();
  const asked = (part: BenchRelayPart): boolean => typed.case === undefined || typed.case.includes(part);
  const targets: Target[] = [];
  const json: Record<string, unknown> = { machine: on };
  const tell = (part: Part): void => {
    say(part.text);
    targets.push(...part.targets);
    Object.assign(json, part.json);
  };
  try {
    say(
      styled(
        `${on.processor}, ${on.cores} cores, Linux ${on.kernel}; namespaces in a row, joined by veth pairs`,
        "quiet",
      ),
    );
    if (rateCaseNames.some(asked)) {
      const { rows, voided, ...rates } = await ratesOf(typed, scratch.path, signal);
      tell({ ...rates, json: { rates: rows, voided } });
    }
    if (asked("latency")) {
      const { rows, voided, ...latency } = await latenciesOf(typed, scratch.path, signal);
      tell({ ...latency, json: { latency: rows, latency_voided: voided } });
    }
    if (asked("hashed")) tell(await hashed(typed.hashed, scratch.path, signal));
    if (asked("micro")) tell(micro());
    if (targets.length > 0) say(targetTable(targets));
    if (typed.json === true) process.stdout.write(`${JSON.stringify({ ...json, targets }, undefined, 2)}\n`);
    return typed.strict && targets.some((target) => !target.met) ? 1 : 0;
  } catch (error) {
    if (await stop.explains()) return interruptedCode;
    throw error;
  }
}
