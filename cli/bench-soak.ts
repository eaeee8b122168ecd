// tapline bench soak: full rate for a long time. Fails when memory, descriptors or threads grow, when a packet is dropped or
// not accounted for, or when a lost number is not found.
//
// How growth is judged: the first minute, or sixth of the time if that is more, is warm-up and not looked at (half of a run
// that is shorter than two minutes: good for a try, not for a verdict). Of the rest, memory may grow by 8 MiB or 3 %,
// whichever is more, from its first to its last sample; descriptors and threads not at all (cli/growth.ts: Theil–Sen slope, and a Mann–Kendall test
// at 1 %, so that a collector's ups and downs are no growth). The database grows with every gap, as it should: shown, not judged.
import { statSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import { Capturing } from "./capture-run.ts";
import { exactTargets } from "./capture-exact.ts";
import { trafficOf } from "./capture-cost.ts";
import type { Kind } from "./capture-peers.ts";
import { resultOf, subjects, type SubjectName } from "./capture-subject.ts";
import { fewestSamples, grows, growthOf } from "./growth.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { bytes, duration, grouped, mebibytes, median } from "./numbers.ts";
import { descriptorsOf, memoryOf, processorNs, threadsOf } from "./process-cost.ts";
import { atMost, targetTable, type Target } from "./target.ts";
import { Scratch } from "./scratch.ts";
import { Wire } from "./wire.ts";

export interface BenchSoakArguments {
  readonly of: SubjectName;
  readonly seconds: number;
  readonly every: number;
  readonly kind: Kind;
  readonly csv?: string;
  readonly json?: boolean;
}

interface Sample {
  readonly seconds: number;
  readonly rss: number;
  readonly anonymous: number;
  readonly descriptors: number;
  readonly threads: number;
  /** database and its log, bytes */
  readonly files: number;
  /** of a core, since the last sample */
  readonly processor: number;
  /** so far, where it can be asked while it runs */
  readonly ringDrops?: number;
}

const MiB = 2 ** 20;
const warmUpOf = (seconds: number): number => Math.min(Math.max(seconds / 6, 60), seconds / 2);
const allowedMemory = (usual: number): number => Math.max(8 * MiB, usual * 0.03);
/** Less than one more that stays. */
const allowedCount = 0.5;
const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

const titles = ["time", "resident", "anonymous", "descriptors", "threads", "database", "of a core", "ring drops"];
const widths = [11, 9, 9, 11, 7, 9, 9, 10] as const;

/** Rows are written as they come, so their widths are known before. */
const line = (cells: readonly string[]): string => cells.map((cell, i) => cell.padStart(widths[i] ?? 0)).join("  ");
const shown = (sample: Sample): string =>
  line([
    duration(sample.seconds * 1e9),
    mebibytes(sample.rss),
    mebibytes(sample.anonymous),
    grouped(sample.descriptors),
    grouped(sample.threads),
    bytes(sample.files),
    `${(sample.processor * 100).toFixed(1)} %`,
    sample.ringDrops === undefined ? "at the end" : grouped(sample.ringDrops),
  ]);

function growthTargets(samples: readonly Sample[], warmUp: number): Target[] {
  const steady = samples.filter((sample) => sample.seconds > warmUp);
  const judged = (
    name: string,
    of: (sample: Sample) => number,
    allowed: number,
    words: (value: number) => string,
  ): Target => {
    const growth = growthOf(steady.map(of));
    const target = atMost(`growth of ${name} after warm-up`, Math.max(growth.by, 0), allowed, words);
    return {
      ...target,
      met: !grows(growth, allowed),
      measured: `${target.measured}${growth.z > 0 ? ` (z ${growth.z.toFixed(1)})` : ""}`,
    };
  };
  const usual = median(steady.map((sample) => sample.rss));
  const count = (value: number): string => value.toFixed(1);
  return [
    judged("resident memory", (sample) => sample.rss, allowedMemory(usual), mebibytes),
    judged("anonymous memory", (sample) => sample.anonymous, allowedMemory(usual), mebibytes),
    judged("descriptors", (sample) => sample.descriptors, allowedCount, count),
    judged("threads", (sample) => sample.threads, allowedCount, count),
  ];
}

function writeSamples(path: string, samples: readonly Sample[]): void {
  const names = ["seconds", "rss", "anonymous", "descriptors", "threads", "files", "processor", "ringDrops"] as const;
  const lines = samples.map((sample) => names.map((name) => sample[name] ?? "").join(","));
  try {
    writeFileSync(path, `${[names.join(","), ...lines].join("\n")}\n`);
  } catch (cause) {
    throw new TaplineError("FILE_WRITE_FAILED", { path, detail: (cause as Error).message }, { cause });
  }
}

export async function benchSoak(typed: BenchSoakArguments): Promise<number> {
  const subject = subjects[typed.of];
  using stop = interruption();
  const { signal } = stop;
  const say = (text: string): void => void (typed.json === true || process.stdout.write(`${text}\n`));
  using scratch = new Scratch();
  // Enough samples for a verdict, however short it is.
  const warmUp = warmUpOf(typed.seconds);
  const everyMs = Math.min(typed.every, (typed.seconds - warmUp) / (fewestSamples + 2)) * 1000;
  try {
    using wire = new Wire();
    await using capturing = await Capturing.start(subject, wire, scratch.path, signal);
    const { pid, folder } = capturing;
    say(
      `${subject.settings}; ${typed.kind} at full rate for ${duration(typed.seconds * 1e9)}, 50,000 flows, 0.05 % of the numbers left out.`,
    );
    say(line(titles));
    const samples: Sample[] = [];
    const started = performance.now();
    let [lastNs, lastAt] = [processorNs(pid), started];
    const take = (): void => {
      const [ns, at] = [processorNs(pid), performance.now()];
      const { rss, anonymous } = memoryOf(pid);
      const ringDrops = subject.ringDrops?.({ wire, folder });
      const sample: Sample = {
        seconds: (at - started) / 1000,
        rss,
        anonymous,
        descriptors: descriptorsOf(pid),
        threads: threadsOf(pid).length,
        files: subject.files(folder).reduce((sum, path) => sum + sizeOf(path), 0),
        processor: (ns - lastNs) / ((at - lastAt) * 1e6),
        ...(ringDrops === undefined ? {} : { ringDrops }),
      };
      [lastNs, lastAt] = [ns, at];
      samples.push(sample);
      say(shown(sample));
    };
    const sending = wire.send(trafficOf(typed.kind, typed.seconds), signal);
    sending.catch(() => undefined); // awaited below
    for (let due = started + everyMs; due < started + typed.seconds * 1000; due += everyMs) {
      await sleep(Math.max(due - performance.now(), 0), undefined, { signal });
      take();
    }
    const sent = await sending;
    await capturing.quiet(signal);
    await capturing.stop(sent.sent);
    if (typed.csv !== undefined) writeSamples(typed.csv, samples);
    const targets = [
      ...exactTargets({ kind: typed.kind, sent, result: resultOf(folder) }),
      ...growthTargets(samples, warmUp),
    ];
    say(`\n${targetTable(targets)}`);
    if (typed.json === true) process.stdout.write(`${JSON.stringify({ sent, samples, targets }, undefined, 2)}\n`);
    return targets.every((target) => target.met) ? 0 : 1;
  } catch (error) {
    if (await stop.explains()) return interruptedCode;
    throw error;
  }
}
