// The analyzer: engine → store, over a capture file or over live interfaces.
//
//   start the engine      native threads read or capture, decode, follow, find gaps
//   open the database     meanwhile; a bad one ends the engine before it did much
//   carry the results     batch by batch: tally, then the store's thread; the engine waits when the store is slower
//   finish the run        summary and ledger; an interrupted run keeps what was done and says that it is incomplete
import { realpathSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { AnalysisSummary, CaptureFigures, PortCounts, ResultBatch } from "#domain/analysis.ts";
import type { AnalyzeOptions, CaptureOptions, Job, Progress } from "#native/engine.ts";
import { engine } from "#native/engine.ts";
import { StoreWriter } from "#store/writer.ts";
import { blindRows } from "./blinds.ts";
import { engineError } from "./engine-error.ts";
import { liveSummary } from "./live-summary.ts";
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
    {
      job: engine().analyze(options),
      source: options.path,
      options: { ...options },
      restMs: rests.file,
      summarize: (summary) => summary,
      ports: () => [],
    },
    database,
    watching,
  );

/** Live interfaces, until the signal. */
export async function watch(options: CaptureOptions, database: string, watching: Watching): Promise<Finished> {
  const started = process.hrtime.bigint();
  const job = engine().capture(options);
  const work: Work<CaptureFigures> = {
    job,
    source: options.ports.map((port) => port.name).join(","),
    options: { ...options },
    restMs: rests.live,
    summarize: (figures) => liveSummary(figures, Number(process.hrtime.bigint() - started)),
    ports: () => job.figures()?.ledger ?? [],
    begun: (run, startedNs) => job.keepLive({ database: realpathSync(database), run, startedNs }),
    // A slot of its live file is free only once it hears that the flow is stored.
    looked: (store) => job.stored(store.settled),
  };
  return carry(work, database, watching);
}

/** What a file's analysis and a live one differ in. */
interface Work<End> {
  readonly job: Job<End>;
  readonly source: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly restMs: number;
  readonly summarize: (end: End) => AnalysisSummary;
  /** as blind records number them */
  readonly ports: () => readonly PortCounts[];
  readonly begun?: (run: number, startedNs: bigint) => void;
  /** after each look at what the engine has */
  readonly looked?: (store: StoreWriter) => void;
}

async function carry<End>(
  { job, source, options, restMs, summarize, ports, begun, looked }: Work<End>,
  database: string,
  watching: Watching,
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
      const number = await store.beginRun({ source, options, startedNs });
      begun?.(number, startedNs);
      const take = async (batch: ResultBatch): Promise<void> => {
        if (batch.kind === "blinds") return store.blind(blindRows(batch.records, ports()));
        if (batch.kind === "flows") tally.add(batch.records);
        await store.write(batch);
      };
      const end = await takeAll(job, restMs, take, () => looked?.(store));
      const summary = summarize(end);
      await store.finishRun(summary);
      await store.close();
      return { run: number, summary, tally, wallNs: Number(process.hrtime.bigint() - started) };
    } catch (error) {
      await store.close();
      throw error;
    }
  } catch (error) {
    throw engineError(error, source);
  } finally {
    stop(); // a no-op after the end; a database that failed must not leave the engine reading
    watching.signal.removeEventListener("abort", stop);
  }
}
