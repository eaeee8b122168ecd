// tapline analyze: a capture file or a live interface, at the command line.
import { availableParallelism } from "node:os";
import { TaplineError } from "#domain/errors.ts";
import type { AnalyzeOptions, CaptureOptions, Progress, ReplayMode } from "#native/engine.ts";
import { analyze as replay, watch, type Finished, type Watching } from "#sensor/analyze.ts";
import { engineError } from "#sensor/engine-error.ts";
import { resultJson, resultText } from "./analysis-report.ts";
import { UsageError } from "./arguments.ts";
import { captureKind } from "./capture-path.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { bytes, grouped, packetRate } from "./numbers.ts";
import { explain } from "./problem.ts";
import { progress, type Step } from "./progress.ts";

export interface AnalyzeArguments {
  readonly mode: ReplayMode;
  readonly pps?: number;
  readonly speed?: number;
  readonly loop: number;
  readonly threads?: number;
  readonly duration?: number;
  readonly filter?: string;
  readonly direction?: "In" | "Both";
  readonly ring?: number;
  readonly settle: number;
  readonly idle: number;
  readonly maxFlows: number;
  readonly truth?: string;
  readonly json?: boolean;
}

function engineOptions(path: string, typed: AnalyzeArguments): AnalyzeOptions {
  if ((typed.mode === "fixed") !== (typed.pps !== undefined)) {
    throw new UsageError(typed.mode === "fixed" ? "--mode fixed needs --pps" : "--pps belongs to --mode fixed");
  }
  if ((typed.mode === "speed") !== (typed.speed !== undefined)) {
    throw new UsageError(typed.mode === "speed" ? "--mode speed needs --speed" : "--speed belongs to --mode speed");
  }
  if (typed.truth !== undefined && typed.loop > 1)
    throw new UsageError("--truth describes one reading of the file: leave out --loop");
  for (const name of ["duration", "filter", "direction", "ring"] as const) {
    if (typed[name] !== undefined) throw new UsageError(`--${name} is for a live interface, and ${path} is a file`);
  }
  return {
    path,
    threads: typed.threads ?? Math.min(availableParallelism(), 16),
    mode: typed.mode,
    ...(typed.pps === undefined ? {} : { pps: typed.pps }),
    ...(typed.speed === undefined ? {} : { speed: typed.speed }),
    loop: typed.loop,
    settleNs: Math.round(typed.settle * 1e9),
    idleNs: Math.round(typed.idle * 1e9),
    maxFlows: typed.maxFlows,
  };
}

/** As tcpdump's -B: what a burst may need while this process is not scheduled. */
const ringMiB = 16;
const blockKiB = 256;

function captureOptions(name: string, typed: AnalyzeArguments): CaptureOptions {
  if (typed.mode !== "fast" || typed.loop > 1 || typed.truth !== undefined)
    throw new UsageError(`--mode, --loop and --truth are for a capture file, and ${name} is a live interface`);
  return {
    ports: [{ name }],
    wait: false,
    threads: typed.threads ?? 1,
    filter: typed.filter ?? "",
    direction: typed.direction ?? "In",
    promiscuous: true,
    ring: { blockKiB, blocks: Math.ceil(((typed.ring ?? ringMiB) * 1024) / blockKiB), retireMs: 4 },
    settleNs: Math.round(typed.settle * 1e9),
    idleNs: Math.round(typed.idle * 1e9),
    maxFlows: typed.maxFlows,
  };
}

const liveStep = (now: Progress, elapsedNs: number, durationMs: number | undefined): Step => ({
  share: durationMs === undefined ? 0 : elapsedNs / 1e6 / durationMs,
  notes: [
    `${grouped(now.packets)} packets`,
    packetRate(now.packets / (elapsedNs / 1e9)),
    `${grouped(now.flows)} flows`,
    `${grouped(now.lost)} lost`,
  ],
});

const stepOf = (now: Progress, elapsedNs: number): Step => ({
  share: now.bytesTotal === 0 ? 0 : now.bytesRead / now.bytesTotal,
  notes: [
    now.bytesRead < now.bytesTotal ? `${bytes(now.bytesRead)} of ${bytes(now.bytesTotal)}` : "read, storing the rest",
    packetRate(now.packets / (elapsedNs / 1e9)),
    `${grouped(now.lost)} lost`,
  ],
});

export async function analyze(capture: string, database: string, typed: AnalyzeArguments): Promise<number> {
  const live = captureKind(capture) === "interface";
  using stop = interruption(() =>
    process.stderr.write("\nStopping: what was done so far is kept. Ctrl-C again quits at once.\n"),
  );
  const durationMs = live && typed.duration !== undefined ? typed.duration * 1000 : undefined;
  const started = performance.now();
  const elapsedNs = (): number => (performance.now() - started) * 1e6;
  let bar: Disposable | undefined;
  let over: NodeJS.Timeout | undefined;
  const enough = new AbortController();
  const watching: Watching = {
    signal: AbortSignal.any([stop.signal, enough.signal]),
    started: (look) => {
      if (durationMs !== undefined) over = setTimeout(() => enough.abort(), durationMs);
      bar = progress(live ? "capturing" : "analyzing", () =>
        live ? liveStep(look(), elapsedNs(), durationMs) : stepOf(look(), elapsedNs()),
      );
    },
  };
  const options = live ? captureOptions(capture, typed) : engineOptions(capture, typed);
  const finished: Finished = await ("path" in options
    ? replay(options, database, watching)
    : watch(options, database, watching)
  ).finally(() => {
    clearTimeout(over);
    bar?.[Symbol.dispose]();
  });
  const verdict =
    typed.truth === undefined
      ? undefined
      : await (await import("./truth.ts")).compareRun(database, finished.run, typed.truth);
  const mode: ReplayMode | "live" = "path" in options ? options.mode : "live";
  const result = { capture, database, mode, finished, ...(verdict === undefined ? {} : { verdict }) };
  process.stdout.write(
    typed.json === true ? `${JSON.stringify(resultJson(result), undefined, 2)}\n` : `${resultText(result)}\n`,
  );

  // What was read before the damage is kept and shown; the damage is an error all the same.
  const { fileError } = finished.summary;
  if (fileError !== undefined) process.stderr.write(`${explain(engineError(fileError, capture)).text}\n`);
  if (stop.signal.aborted && !live) {
    process.stderr.write(
      `Interrupted: run ${finished.run} holds the first ${grouped(finished.summary.packets)} packets and is marked incomplete.\n`,
    );
    return interruptedCode;
  }
  if (verdict !== undefined && !verdict.equal) {
    process.stderr.write(
      `${explain(new TaplineError("TRUTH_DIFFERS", { path: typed.truth ?? "", differences: verdict.differences })).text}\n`,
    );
    return 1;
  }
  return fileError === undefined ? 0 : 1;
}
