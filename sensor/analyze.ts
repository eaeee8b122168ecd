// The offline analyzer: capture file → engine → store.
//
//   start the engine      native threads read, decode, follow, find gaps
//   open the database     meanwhile; a bad one ends the engine before it did much
//   carry the results     batch by batch: tally, then the store's thread; the engine waits when the store is slower
//   finish the run        summary and ledger; an interrupted run keeps what was done and says that it is incomplete
import { setImmediate as nextTurn } from "node:timers/promises";
import type { AnalysisSummary } from "#domain/analysis.ts";
import type { AnalyzeOptions, Progress } from "#native/engine.ts";
import { engine } from "#native/engine.ts";
import { StoreWriter } from "#store/writer.ts";
import { engineError } from "./engine-error.ts";
import { takeAll } from "./take.ts";
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

export async function analyze(options: AnalyzeOptions, database: string, watching: Watching): Promise<Finished> {
  const started = process.hrtime.bigint();
  const analysis = engine().analyze(options);
  analysis.done.catch(() => undefined); // takeAll reads it; a failure before that is not an unhandled one
  const stop = (): void => analysis.stop();
  watching.signal.addEventListener("abort", stop, { once: true });
  if (watching.signal.aborted) stop();
  try {
    // A file that cannot be opened is known by the event loop's next turn: it leaves no database behind.
    await Promise.race([analysis.done, nextTurn()]);
    const store = await StoreWriter.open(database);
    watching.started(() => analysis.progress());
    const tally = new Tally();
    try {
      const run = await store.beginRun({ source: options.path, options: { ...options } });
      const summary = await takeAll(analysis, async (batch) => {
        if (batch.kind === "flows") tally.add(batch.records);
        await store.write(batch);
      });
      await store.finishRun(summary);
      await store.close();
      return { run, summary, tally, wallNs: Number(process.hrtime.bigint() - started) };
    } catch (error) {
      await store.close();
      throw error;
    }
  } catch (error) {
    throw engineError(error, options.path);
  } finally {
    stop(); // a no-op after the end; a database that failed must not leave the engine reading
    watching.signal.removeEventListener("abort", stop);
  }
}
