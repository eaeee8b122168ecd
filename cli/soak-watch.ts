// What is looked at again and again while something runs for long: memory, descriptors, threads. Do they grow?
//
// How growth is judged: the first minute, or sixth of the time if that is more, is warm-up and not looked at (half of a run
// that is shorter than two minutes: good for a try, not for a verdict). Of the rest, memory may grow by 8 MiB or 3 %,
// whichever is more, from its first to its last sample; descriptors and threads not at all (growth.ts: Theil–Sen slope, and a
// Mann–Kendall test at 1 %, so that a collector's ups and downs are no growth). Files grow with what is found, as they should:
// shown, not judged.
import { statSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";
import { fewestSamples, grows, growthOf } from "./growth.ts";
import { bytes, duration, grouped, mebibytes, median } from "./numbers.ts";
import { descriptorsOf, memoryOf, processorNs, threadsOf } from "./process-cost.ts";
import { atMost, type Target } from "./target.ts";

interface Sample {
  readonly seconds: number;
  readonly rss: number;
  readonly anonymous: number;
  readonly descriptors: number;
  readonly threads: number;
  /** bytes */
  readonly files: number;
  /** of a core, since the last sample */
  readonly processor: number;
  /** packets that it dropped so far, where it can be asked while it runs */
  readonly dropped?: number;
}

const MiB = 2 ** 20;
const warmUpOf = (seconds: number): number => Math.min(Math.max(seconds / 6, 60), seconds / 2);
const allowedMemory = (usual: number): number => Math.max(8 * MiB, usual * 0.03);
/** Less than one more that stays. */
const allowedCount = 0.5;
const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

const titles = ["time", "resident", "anonymous", "descriptors", "threads", "files", "of a core", "dropped"];
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
    sample.dropped === undefined ? "at the end" : grouped(sample.dropped),
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

/** What is watched. */
export interface Watched {
  readonly pid: number;
  readonly files: () => readonly string[];
  readonly dropped?: () => number | undefined;
}

export class SoakWatch {
  readonly #watched: Watched;
  readonly #seconds: number;
  readonly #every: number;
  readonly samples: Sample[] = [];

  /** Looked at every so many seconds; oftener in a short run: enough for a verdict, however short it is. */
  constructor(watched: Watched, seconds: number, every: number) {
    this.#watched = watched;
    this.#seconds = seconds;
    this.#every = every;
  }

  /** Until the time is over. */
  async watch(say: (text: string) => void, signal: AbortSignal): Promise<void> {
    const { pid, files, dropped: asked } = this.#watched;
    const everyMs = Math.min(this.#every, (this.#seconds - warmUpOf(this.#seconds)) / (fewestSamples + 2)) * 1000;
    const started = performance.now();
    let [lastNs, lastAt] = [processorNs(pid), started];
    say(line(titles));
    for (let due = started + everyMs; due < started + this.#seconds * 1000; due += everyMs) {
      await sleep(Math.max(due - performance.now(), 0), undefined, { signal });
      const [ns, at] = [processorNs(pid), performance.now()];
      const { rss, anonymous } = memoryOf(pid);
      const dropped = asked?.();
      const sample: Sample = {
        seconds: (at - started) / 1000,
        rss,
        anonymous,
        descriptors: descriptorsOf(pid),
        threads: threadsOf(pid).length,
        files: files().reduce((sum, path) => sum + sizeOf(path), 0),
        processor: (ns - lastNs) / ((at - lastAt) * 1e6),
        ...(dropped === undefined ? {} : { dropped }),
      };
      [lastNs, lastAt] = [ns, at];
      this.samples.push(sample);
      say(shown(sample));
    }
  }

  get targets(): Target[] {
    return growthTargets(this.samples, warmUpOf(this.#seconds));
  }

  write(path: string): void {
    const names = ["seconds", "rss", "anonymous", "descriptors", "threads", "files", "processor", "dropped"] as const;
    const rows = this.samples.map((sample) => names.map((name) => sample[name] ?? "").join(","));
    try {
      writeFileSync(path, `${[names.join(","), ...rows].join("\n")}\n`);
    } catch (cause) {
      throw new TaplineError("FILE_WRITE_FAILED", { path, detail: (cause as Error).message }, { cause });
    }
  }
}

/** What a soak found, beside growth. */
interface Soaked {
  readonly sent: unknown;
  readonly watch: SoakWatch;
  readonly targets: readonly Target[];
}
export type Soaking = (
  wanted: { readonly seconds: number; readonly every: number },
  folder: string,
  say: (text: string) => void,
  signal: AbortSignal,
) => Promise<Soaked>;
