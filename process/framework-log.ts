// Our logs under the names that fastify calls its logger by. What it logs of requests is reduced to method, path and status.
import type { FastifyBaseLogger } from "fastify";
import type { Severity } from "#domain/severity.ts";
import type { Log } from "./log.ts";
import type { LogValues } from "./log-values.ts";

const names = {
  fatal: "critical",
  error: "error",
  warn: "warning",
  info: "info",
  debug: "debug",
  trace: "debug",
} as const satisfies Record<string, Severity>;

interface Asked {
  readonly method?: string;
  readonly url?: string;
}
interface Answered {
  readonly statusCode?: number;
}

function values({ req, res, err, ...rest }: LogValues): LogValues {
  const { method, url } = (req ?? {}) as Asked;
  const { statusCode } = (res ?? {}) as Answered;
  return {
    ...rest,
    ...(err === undefined ? {} : { error: err }),
    ...(req === undefined ? {} : { method, path: url?.split("?")[0] }),
    ...(res === undefined ? {} : { status: statusCode }),
  };
}

/** For Fastify's `loggerInstance`, with request logging disabled: a line for each request is what the metrics are for. */
export function frameworkLog(log: Log, bound: LogValues = {}): FastifyBaseLogger {
  const at =
    (severity: Severity) =>
    (first: unknown, message?: string): void => {
      if (typeof first === "string") log[severity](first, bound);
      else if (first instanceof Error) log[severity](message ?? "failed", { ...bound, error: first });
      else log[severity](message ?? "told nothing", { ...bound, ...values((first ?? {}) as LogValues) });
    };
  return {
    ...Object.fromEntries(Object.entries(names).map(([name, severity]) => [name, at(severity)])),
    silent: () => {},
    level: "debug", // facilities have their own
    child: (more: LogValues) => frameworkLog(log, { ...bound, ...values(more) }),
  } as unknown as FastifyBaseLogger;
}
