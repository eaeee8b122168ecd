// A process from its signals' view: SIGTERM and SIGINT close its parts in the reverse order of their making, each within its deadline; SIGHUP
// reloads; what nobody handled is told, and ends it in the same order. main.ts awaits `ended` and exits with it.
import { TaplineError } from "#domain/errors.ts";
import type { Log } from "./log.ts";

export interface Part {
  readonly name: string;
  /** The signal is aborted at the deadline; after that nobody waits for it. */
  readonly close: (signal: AbortSignal) => Promise<void> | void;
  readonly deadlineMs: number;
}

export interface Shutdown {
  /** Aborted when the first part is about to be closed. */
  readonly signal: AbortSignal;
  /** The exit code, once every part is closed or given up: 0, or 1 when something failed. */
  readonly ended: Promise<number>;
  /** Registered as they are made: what is used by others comes first, and closes last. One that comes when the end has begun is closed next. */
  part(part: Part): void;
  /** One at a time; signals that come meanwhile are one more, afterwards. */
  onReload(reload: (signal: AbortSignal) => Promise<void>): void;
  /** The end, as by SIGTERM; `error` makes the exit code 1. */
  stop(reason: string, error?: unknown): void;
  /** Gives the signals back. */
  [Symbol.dispose](): void;
}

export interface ShutdownOptions {
  readonly log: Log;
  /** A second signal: nothing more is waited for but the last log lines, `void logs.close(500).then(() => process.exit(code))`. */
  readonly exitNow: (code: number) => void;
  /** Told at each turn, as systemd wants to know. */
  readonly notify?: (turn: "reloading" | "reloaded" | "stopping") => void;
}

const reloadDeadlineMs = 5000;
const numbers = { SIGINT: 2, SIGTERM: 15 } as const;

export function createShutdown({ log, exitNow, notify }: ShutdownOptions): Shutdown {
  const parts: Part[] = [];
  const begun = new AbortController();
  const ended = Promise.withResolvers<number>();
  let failed = false;
  let reload: ((signal: AbortSignal) => Promise<void>) | undefined;
  let reloading: Promise<void> | undefined;
  let again = false;
  let drained = false;

  const close = async ({ name, close: closing, deadlineMs }: Part): Promise<void> => {
    const started = performance.now();
    const deadline = Promise.withResolvers<"late">();
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort();
      deadline.resolve("late");
    }, deadlineMs);
    try {
      const closed = (async () => await closing(late.signal))();
      // When it fails after its deadline, that is told, too.
      closed.catch((error: unknown) => {
        if (late.signal.aborted) log.warning("failed to close a part", { part: name, error });
      });
      if ((await Promise.race([closed, deadline.promise])) === "late")
        throw new TaplineError("SHUTDOWN_DEADLINE", { part: name, deadline: deadlineMs });
      log.debug("closed a part", { part: name, ms: Math.round(performance.now() - started) });
    } catch (error) {
      failed = true;
      log.error("failed to close a part", { part: name, error });
    } finally {
      clearTimeout(timer);
    }
  };

  const drain = async (): Promise<void> => {
    const started = performance.now();
    const unfinished = reloading;
    if (unfinished) await close({ name: "reload", close: () => unfinished, deadlineMs: reloadDeadlineMs });
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) await close(part);
    drained = true;
    log.notice("stopped", { ms: Math.round(performance.now() - started), clean: !failed });
    ended.resolve(failed ? 1 : 0);
  };

  const stop = (reason: string, error?: unknown): void => {
    if (error !== undefined) failed = true;
    if (begun.signal.aborted) return;
    log.notice("began to stop", { reason });
    notify?.("stopping");
    begun.abort();
    void drain();
  };

  const onSignal = (signal: NodeJS.Signals): void => {
    if (!begun.signal.aborted) {
      stop(signal);
      return;
    }
    log.warning("ended at once, by a second signal", { signal, open: parts.map(({ name }) => name) });
    exitNow(128 + numbers[signal as keyof typeof numbers]);
  };

  const reloadOnce = async (run: NonNullable<typeof reload>): Promise<void> => {
    notify?.("reloading");
    try {
      await run(begun.signal);
    } catch (error) {
      log.error("failed to reload; what ran before goes on", { error });
    }
    notify?.("reloaded");
  };
  const reloadAll = async (run: NonNullable<typeof reload>): Promise<void> => {
    do {
      again = false;
      await reloadOnce(run);
    } while (again && !begun.signal.aborted);
    reloading = undefined;
  };
  const onHangup = (): void => {
    if (reload === undefined || begun.signal.aborted)
      log.notice("ignored a reload", { reason: begun.signal.aborted ? "stopping" : "still starting" });
    else if (reloading) again = true;
    else reloading = reloadAll(reload);
  };

  const onUnexpected = (error: unknown): void => {
    const detail = error instanceof Error ? error.message : String(error);
    // The first is never left out; one that repeats itself without end is.
    log[failed ? "error" : "critical"]("met an error that nobody handled", {
      error: new TaplineError("PROCESS_UNEXPECTED", { detail }),
      cause: error,
    });
    stop("an error that nobody handled", error ?? new Error(detail));
  };

  const handlers = [
    ["SIGTERM", onSignal],
    ["SIGINT", onSignal],
    ["SIGHUP", onHangup],
    ["uncaughtException", onUnexpected],
    ["unhandledRejection", onUnexpected],
  ] as const;
  for (const [event, handler] of handlers) process.on(event, handler as (...args: unknown[]) => void);

  return {
    signal: begun.signal,
    ended: ended.promise,
    part: (part) => {
      if (drained) void close(part);
      else parts.push(part);
    },
    onReload: (next) => {
      reload = next;
    },
    stop,
    [Symbol.dispose]: () => {
      for (const [event, handler] of handlers) process.off(event, handler as (...args: unknown[]) => void);
    },
  };
}
