// Keeps one repeated message from drowning the others: ten a ten seconds of each (facility, severity, message), then silence, then one line that says
// how many there were. Messages are constants, so there are few; the table is bounded all the same.
import type { Facility, Severity } from "#domain/severity.ts";

export interface LogKey {
  readonly facility: Facility;
  readonly severity: Severity;
  readonly message: string;
}
interface Window {
  readonly key: LogKey;
  readonly until: number;
  passed: number;
  suppressed: number;
}

const windowMs = 10_000;
const most = 10;
const mostWindows = 1000;

export interface RepetitionLimit {
  passes(key: LogKey): boolean;
  /** Tells what was suppressed so far, and starts anew. */
  settle(): void;
  suppressed(): number;
}

export function repetitionLimit(now: () => number, tell: (key: LogKey, suppressed: number) => void): RepetitionLimit {
  // In the order of their ends: every window is equally long.
  const windows = new Map<string, Window>();
  let total = 0;
  let timer: NodeJS.Timeout | undefined;

  const end = (name: string, window: Window): void => {
    windows.delete(name);
    if (window.suppressed > 0) tell(window.key, window.suppressed);
  };
  const endOld = (time: number): void => {
    for (const [name, window] of windows) {
      if (window.until > time) break;
      end(name, window);
    }
  };
  /** A message that never comes again is told of, too. */
  const watch = (): void => {
    if (timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      endOld(now());
      if ([...windows.values()].some((window) => window.suppressed > 0)) watch();
    }, windowMs).unref();
  };

  return {
    passes: (key) => {
      const time = now();
      endOld(time);
      const name = `${key.facility} ${key.severity} ${key.message}`;
      let window = windows.get(name);
      if (window === undefined) {
        const [oldest] = windows;
        if (windows.size >= mostWindows && oldest !== undefined) end(...oldest);
        window = { key, until: time + windowMs, passed: 0, suppressed: 0 };
        windows.set(name, window);
      }
      if (window.passed < most) {
        window.passed++;
        return true;
      }
      window.suppressed++;
      total++;
      watch();
      return false;
    },
    settle: () => {
      for (const [name, window] of windows) end(name, window);
    },
    suppressed: () => total,
  };
}
