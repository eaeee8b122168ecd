// A source that is open only while somebody asks: a reading thread and its index are megabytes that an idle sensor need not hold.
import { setTimeout as sleep } from "node:timers/promises";
import { traced } from "#process/traces.ts";
import type { Source } from "./source.ts";

/** Opened by the first question, closed when nothing was asked for `restMs`. */
export function restingSource(open: () => Promise<Source>, restMs = 30_000): Source {
  let opened: Promise<Source> | undefined;
  let asked = 0;
  let asking = 0;
  let closing: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const close = (): Promise<void> => {
    clearTimeout(timer);
    const last = opened;
    opened = undefined;
    if (last)
      closing = last.then(
        (source) => source.close(),
        () => undefined, // it never opened: whoever asked was told
      );
    return closing;
  };
  const rest = (): void => {
    const before = asked;
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (asking === 0 && asked === before) void close();
    }, restMs).unref();
  };
  const ask = <T>(name: string, question: (source: Source) => Promise<T>): Promise<T> =>
    traced("ask the database", { question: name }, () => answer(question));
  const answer = async <T>(question: (source: Source) => Promise<T>): Promise<T> => {
    asking++;
    asked++;
    try {
      await closing;
      opened ??= open();
      const attempt = opened;
      try {
        return await question(await attempt);
      } catch (error) {
        // One that could not be opened is tried anew by the next question.
        if (opened === attempt && (await failed(attempt))) opened = undefined;
        throw error;
      }
    } finally {
      asking--;
      if (asking === 0) rest();
    }
  };
  return {
    runs: (...given) => ask("runs", (source) => source.runs(...given)),
    run: (...given) => ask("run", (source) => source.run(...given)),
    chooseRuns: (...given) => ask("chooseRuns", (source) => source.chooseRuns(...given)),
    totals: (...given) => ask("totals", (source) => source.totals(...given)),
    flowText: (...given) => ask("flowText", (source) => source.flowText(...given)),
    flow: (...given) => ask("flow", (source) => source.flow(...given)),
    gapsOfFlow: (...given) => ask("gapsOfFlow", (source) => source.gapsOfFlow(...given)),
    gaps: (...given) => ask("gaps", (source) => source.gaps(...given)),
    blinds: (...given) => ask("blinds", (source) => source.blinds(...given)),
    ledger: (...given) => ask("ledger", (source) => source.ledger(...given)),
    close: async () => {
      while (asking > 0) await sleep(5);
      await close();
    },
  };
}

const failed = (attempt: Promise<Source>): Promise<boolean> =>
  attempt.then(
    () => false,
    () => true,
  );
