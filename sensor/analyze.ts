// The analyzer: engine → store, over a capture file or over live interfaces.
//
//   start the engine      native threads read or capture, decode, follow, find gaps
//   open the database     meanwhile; a bad one ends the engine before it did much
//   carry the results     batch by batch: tally, then the store's thread; the engine waits when the store is slower
//   finish the run        summary and ledger; an interrupted run keeps what was done and says that it is incomplete
import { realpathSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { AnalysisSummary, CaptureFigures } from "#domain/analysis.ts";
import type { AnalyzeOptions, CaptureOptions, Job, Progress } from "#native/engine.ts";
import { engine } from "#native/engine.ts";
import { StoreWriter } from "#store/writer.ts";
import { engineError } from "./engine-error.ts";
import { rests, takeAll } from "./take.ts";
import { Tally } from "./tally.ts";

export interface Finished {
  readonly run: number;
  readonly summary: AnalysisSummary;
  readonly tally: Tally;
  /** from the call to the closed database */
  readonly wallNs: number;
}

export interface Watching {
  /** Ends the reading; what was done stays. */
  readonly signal: AbortSignal;
  /** Called once, when there is something to look at. */
  readonly started: (progress: () => Progress) => void;
}

/** A capture file, from its first record to its last. */
export const analyze = (options: AnalyzeOptions, database: string, watching: Watching): Promise<Finished> =>
  carry(
    engine().analyze(options),
    { source: options.path, options: { ...options } },
    rests.file,
    database,
    watching,
    (summary) => summary,
  );

/** Live interfaces, until the signal. */
export async function watch(options: CaptureOptions, database: string, watching: Watching): Promise<Finished> {
  const started = process.hrtime.bigint();
  const source = options.ports.map((port) => port.name).join(",");
  const capture = engine().capture(options);
  let telling: NodeJS.Timeout | undefined;
  return carry(
    capture,
    { source, options: { ...options } },
    rests.live,
    database,
    watching,
    (figures) => liveSummary(figures, options, Number(process.hrtime.bigint() - started)),
    (run, startedNs, store) => {
      capture.keepLive({ database: realpathSync(database), run, startedNs });
      telling = setInterval(() => capture.stored(store.settled), tellStoredMs);
    },
  ).finally(() => clearInterval(telling));
}

/** How often the engine hears what is stored: a slot of its live file is free only then. */
const tellStoredMs = 200;

async function carry<Summary>(
  job: Job<Summary>,
  run: { readonly source: string; readonly options: Record<string, unknown> },
  restMs: number,
  database: string,
  watching: Watching,
  summarize: (end: Summary) => AnalysisSummary,
  begun?: (run: number, startedNs: bigint, store: StoreWriter) => void,
): Promise<Finished> {
  const started = process.hrtime.bigint();
  job.done.catch(() => undefined); // takeAll reads it; a failure before that is not an unhandled one
  const stop = (): void => job.stop();
  watching.signal.addEventListener("abort", stop, { once: true });
  if (watching.signal.aborted) stop();
  try {
    // A source that cannot be opened is known by the event loop's next turn: it leaves no database behind.
    await Promise.race([job.done, nextTurn()]);
    const store = await StoreWriter.open(database);
    watching.started(() => job.progress());
    const tally = new Tally();
    try {
      const startedNs = BigInt(Date.now()) * 1_000_000n;
      const number = await store.beginRun({ ...run, startedNs });
      begun?.(number, startedNs, store);
      const end = await takeAll(job, restMs, async (batch) => {
        if (batch.kind === "flows") tally.add(batch.records);
        await store.write(batch);
      });
      const summary = summarize(end);
      await store.finishRun(summary);
      await store.close();
      return { run: number, summary, tally, wallNs: Number(process.hrtime.bigint() - started) };
    } catch (error) {
      await store.close();
      throw error;
    }
  } catch (error) {
    throw engineError(error, run.source);
  } finally {
    stop(); // a no-op after the end; a database that failed must not leave the engine reading
    watching.signal.removeEventListener("abort", stop);
  }
}

/** A live capture has no end to miss: it is complete when it was asked to end and everything in the rings was taken. */
function liveSummary(figures: CaptureFigures, options: CaptureOptions, engineNs: number): AnalysisSummary {
  const { liveFlows: _live, liveWriteErrors: _errors, protocols: _protocols, ...shared } = figures;
  return {
    ...shared,
    complete: figures.ledger.every((port) => port.inFlight === 0),
    looped: 1,
    format: "live",
    timeReversed: 0,
    threads: options.threads * options.ports.length,
    engineNs,
  };
}
