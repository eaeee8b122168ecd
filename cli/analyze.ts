// tapline analyze: the offline analyzer at the command line.
import { TaplineError } from "#domain/errors.ts";
import type { AnalyzeOptions, Progress, ReplayMode } from "#native/engine.ts";
import { analyze as run } from "#sensor/analyze.ts";
import { engineError } from "#sensor/engine-error.ts";
import { resultJson, resultText } from "./analysis-report.ts";
import { UsageError } from "./arguments.ts";
import { checkCapturePath } from "./capture-path.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { bytes, grouped, packetRate } from "./numbers.ts";
import { explain } from "./problem.ts";
import { progress, type Step } from "./progress.ts";

export interface AnalyzeArguments {
  readonly mode: ReplayMode;
  readonly pps?: number;
  readonly speed?: number;
  readonly loop: number;
  readonly threads: number;
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
  return {
    path,
    threads: typed.threads,
    mode: typed.mode,
    ...(typed.pps === undefined ? {} : { pps: typed.pps }),
    ...(typed.speed === undefined ? {} : { speed: typed.speed }),
    loop: typed.loop,
    settleNs: Math.round(typed.settle * 1e9),
    idleNs: Math.round(typed.idle * 1e9),
    maxFlows: typed.maxFlows,
  };
}

const stepOf = (now: Progress, elapsedNs: number): Step => ({
  share: now.bytesTotal === 0 ? 0 : now.bytesRead / now.bytesTotal,
  notes: [
    now.bytesRead < now.bytesTotal ? `${bytes(now.bytesRead)} of ${bytes(now.bytesTotal)}` : "read, storing the rest",
    packetRate(now.packets / (elapsedNs / 1e9)),
    `${grouped(now.lost)} lost`,
  ],
});

export async function analyze(typedCapture: string, database: string, typed: AnalyzeArguments): Promise<number> {
  const capture = checkCapturePath(typedCapture);
  const options = engineOptions(capture, typed);
  using stop = interruption(() =>
    process.stderr.write("\nStopping: what was done so far is kept. Ctrl-C again quits at once.\n"),
  );
  const started = performance.now();
  let bar: Disposable | undefined;
  const finished = await run(options, database, {
    signal: stop.signal,
    started: (look) => (bar = progress("analyzing", () => stepOf(look(), (performance.now() - started) * 1e6))),
  }).finally(() => bar?.[Symbol.dispose]());
  const verdict =
    typed.truth === undefined
      ? undefined
      : await (await import("./truth.ts")).compareRun(database, finished.run, typed.truth);
  const result = { capture, database, options, finished, ...(verdict === undefined ? {} : { verdict }) };
  process.stdout.write(
    typed.json === true ? `${JSON.stringify(resultJson(result), undefined, 2)}\n` : `${resultText(result)}\n`,
  );

  // What was read before the damage is kept and shown; the damage is an error all the same.
  const { fileError } = finished.summary;
  if (fileError !== undefined) process.stderr.write(`${explain(engineError(fileError, capture)).text}\n`);
  if (stop.signal.aborted) {
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
