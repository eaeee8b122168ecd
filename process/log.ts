// Logs of a process: a constant message, values as keys, a facility and a severity. To stderr, as JSON lines or as text for people.
// Levels change at run time, for each facility. Repetition is limited (log-limit.ts), secrets are taken out (log-values.ts).
import pino, { type DestinationStream } from "pino";
import { facilities, type Facility, severities, type Severity } from "#domain/severity.ts";
import { descriptorDestination, type LogDestination } from "./log-destination.ts";
import { repetitionLimit } from "./log-limit.ts";
import { logText } from "./log-text.ts";
import { cleanValues, type LogValues } from "./log-values.ts";

/** `message` is constant and in the past tense: "opened the database". What varies is in `values`; an Error is under `error`. */
export type Log = Readonly<Record<Severity, (message: string, values?: LogValues) => void>>;

export interface LogSettings {
  readonly level: Severity;
  readonly facilities?: Readonly<Partial<Record<Facility, Severity>>>;
  /** absent: text when standard error is a terminal */
  readonly format?: "json" | "text" | undefined;
}

export interface LogCounts {
  /** lines left out because the same message had just been written often */
  readonly suppressed: number;
  /** lines lost because whoever reads standard error did not keep up, or went away */
  readonly dropped: number;
}

export interface Logs {
  facility(name: Facility): Log;
  /** Takes effect with the next line. */
  set(settings: LogSettings): void;
  settings(): LogSettings;
  counts(): LogCounts;
  /** The last thing before process.exit: settles when all lines are written, or after `ms`. */
  close(ms?: number): Promise<void>;
}

export interface LogOptions {
  readonly destination?: LogDestination;
  readonly terminal?: boolean;
  /** milliseconds since 1970 */
  readonly now?: () => number;
}

const rank: Readonly<Record<string, number>> = Object.fromEntries(severities.map((name, i) => [name, (i + 1) * 10]));

export function createLogs(first: LogSettings, options: LogOptions = {}): Logs {
  const { destination = descriptorDestination(), terminal = process.stderr.isTTY, now = Date.now } = options;
  let settings = first;
  let asText = false;
  const levels = new Map<Facility, number>();
  const set = (next: LogSettings): void => {
    settings = next;
    asText = (next.format ?? (terminal ? "text" : "json")) === "text";
    for (const name of facilities) levels.set(name, rank[next.facilities?.[name] ?? next.level] ?? 0);
  };
  set(first);

  const stream: DestinationStream = { write: (line) => destination.write(asText ? logText(line) : line) };
  const writer = pino<Severity>(
    {
      customLevels: rank as Record<Severity, number>,
      useOnlyCustomLevels: true,
      level: "debug", // facilities have their own, above
      base: null,
      messageKey: "message",
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: (severity) => ({ severity }) },
    },
    stream,
  );

  const write = (facility: Facility, severity: Severity, message: string, values: LogValues): void =>
    writer[severity]({ facility, ...values }, message);
  const limit = repetitionLimit(now, ({ facility, severity, message }, suppressed) =>
    write(facility, severity, message, { suppressed }),
  );

  const of = (facility: Facility): Log => {
    const at =
      (severity: Severity) =>
      (message: string, values?: LogValues): void => {
        if ((rank[severity] ?? 0) < (levels.get(facility) ?? 0)) return;
        if (severity !== "critical" && !limit.passes({ facility, severity, message })) return;
        write(facility, severity, message, values === undefined ? {} : cleanValues(values));
      };
    return Object.fromEntries(severities.map((severity) => [severity, at(severity)])) as unknown as Log;
  };
  const logs = new Map(facilities.map((name) => [name, of(name)]));

  return {
    facility: (name) => logs.get(name) as Log,
    set,
    settings: () => settings,
    counts: () => ({ suppressed: limit.suppressed(), dropped: destination.dropped() }),
    close: (ms = 1000) => {
      limit.settle();
      return destination.drained(ms);
    },
  };
}
