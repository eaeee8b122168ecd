// An agent's life: configuration → logs, traces, metrics → its own parts → running until a signal → drained. Enters: a configuration's path and
// schema, and what starts the agent proper. Leaves: the end of the process, with its exit code.
import { Registry } from "prom-client";
import type { z } from "zod";
import type { TaplineError } from "#domain/errors.ts";
import { loadConfig } from "./config.ts";
import { createHealth, type Health } from "./health.ts";
import { leaveStartBehind } from "./lean.ts";
import { createLogs, type Logs, type LogSettings } from "./log.ts";
import { startMetrics } from "./metrics.ts";
import { createNotify } from "./notify.ts";
import { ownMetrics } from "./own-metrics.ts";
import { startProfiling } from "./profiling.ts";
import { Reloads } from "./reloads.ts";
import type { NamesSecrets } from "./secrets.ts";
import { createShutdown, type Shutdown } from "./shutdown.ts";
import { startTraces, traced } from "./traces.ts";
import { version } from "./version.ts";

/** What every agent's configuration has. */
interface AgentConfig extends NamesSecrets {
  readonly log: LogSettings;
  readonly metrics: { readonly host: string; readonly port: number };
  readonly profiling?: { readonly port: number } | undefined;
  readonly export: { readonly otlp?: { readonly endpoint: string } | undefined };
}

export interface AgentContext {
  readonly logs: Logs;
  readonly health: Health;
  readonly registry: Registry;
  readonly shutdown: Shutdown;
  /** why the configuration in the file is not the one that runs */
  readonly refusal: () => TaplineError | undefined;
}

export interface RunningAgent<Config> {
  /** Applies what can change at run time; throws when the new configuration cannot be applied, and then changes nothing. */
  change(next: Config): Promise<void>;
  /** what /debug/stages shows */
  stages(): unknown;
}

export interface AgentOptions<S extends z.ZodType<AgentConfig>> {
  /** "sensor": its traces are of tapline-sensor */
  readonly kind: string;
  /** path of its configuration */
  readonly config: string;
  readonly schema: S;
  /** the engine's: gives back the program's text that only starting ran, and what was freed */
  readonly releaseUnused: () => void;
  readonly start: (config: z.output<S>, context: AgentContext) => Promise<RunningAgent<z.output<S>>>;
}

/** Ends the process, unless the start fails: then it throws. */
export async function runAgent<S extends z.ZodType<AgentConfig>>(options: AgentOptions<S>): Promise<never> {
  const { kind, config: path, schema, start } = options;
  process.umask(0o077); // what it writes is nobody else's
  const config = await loadConfig(path, schema);
  const logs = createLogs(config.log);
  const log = logs.facility("process");
  const health = createHealth();
  let running = false;
  health.ready("start", () => ({ ok: running, detail: running ? "done" : "still starting" }));
  const notify = createNotify({ environment: process.env, log, alive: () => health.liveness().ok });
  using shutdown = createShutdown({
    log,
    exitNow: (code) => void logs.close(500).then(() => process.exit(code)),
    notify: (turn) => (turn === "reloaded" ? notify.ready("running") : notify[turn]()),
  });
  shutdown.part({ name: "notify", close: (signal) => notify.close(signal), deadlineMs: 1000 });
  log.notice("started", { version, config: path, pid: process.pid });
  const reloads = new Reloads(config, { path, schema, log });
  try {
    const { endpoint } = config.export.otlp ?? {};
    const traces = await startTraces({ endpoint, service: `tapline-${kind}`, version, attributes: {}, log });
    shutdown.part({ name: "traces", close: (signal) => traces.close(signal), deadlineMs: 3000 });
    const registry = new Registry();
    const stopMeasuring = ownMetrics(registry, {
      logs: () => logs.counts(),
      tracesLost: () => traces.lost(),
      reloads: () => reloads.counts,
    });
    const failed = (asked: string, error: unknown): void => log.error("failed to answer", { path: asked, error });
    const { host, port } = config.metrics;
    const metrics = await startMetrics({ host, port, registry, health, failed });
    shutdown.part({
      name: "metrics",
      deadlineMs: 1000,
      close: async (signal) => {
        stopMeasuring();
        await metrics.close(signal);
      },
    });
    const agent = await traced("start", {}, () =>
      start(config, { logs, health, registry, shutdown, refusal: () => reloads.refusal }),
    );
    if (config.profiling) {
      const profiling = await startProfiling({ port: config.profiling.port, stages: () => agent.stages(), log });
      shutdown.part({ name: "profiling", close: (signal) => profiling.close(signal), deadlineMs: 1000 });
      log.warning("profiling is open to this machine", { url: profiling.url });
    }
    leaveStartBehind(options.releaseUnused);
    running = true;
    notify.ready("running");
    shutdown.onReload(() => reloads.take((next) => agent.change(next)));
  } catch (error) {
    // A signal that came while it started is no failure.
    if (!shutdown.signal.aborted) {
      shutdown.stop("failed to start", error);
      await shutdown.ended;
      await logs.close();
      throw error;
    }
  }
  const code = await shutdown.ended;
  await logs.close();
  // What missed its deadline must not keep the process, and with it what only one process may hold.
  return process.exit(code);
}
