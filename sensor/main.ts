// `tapline sensor`: configuration → parts → running until a signal → drained.
import { Registry } from "prom-client";
import { sensorConfig } from "#domain/sensor-config.ts";
import { loadConfig } from "#process/config.ts";
import { createHealth } from "#process/health.ts";
import { createLogs } from "#process/log.ts";
import { startMetrics } from "#process/metrics.ts";
import { createNotify } from "#process/notify.ts";
import { ownMetrics } from "#process/own-metrics.ts";
import { startProfiling } from "#process/profiling.ts";
import { createShutdown } from "#process/shutdown.ts";
import { startTraces, traced } from "#process/traces.ts";
import { version } from "#process/version.ts";
import { Reloads } from "./reloads.ts";
import { startSensor } from "./sensor.ts";

export interface SensorArguments {
  readonly config: string;
  readonly require: boolean;
}

export async function runSensor({ config: path, require }: SensorArguments): Promise<number> {
  process.umask(0o077); // what was captured is nobody else's
  const config = await loadConfig(path, sensorConfig);
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
  const reloads = new Reloads(path, config, log);
  try {
    const { endpoint } = config.export.otlp ?? {};
    const traces = await startTraces({ endpoint, service: "tapline-sensor", version, attributes: {}, log });
    shutdown.part({ name: "traces", close: (signal) => traces.close(signal), deadlineMs: 3000 });
    const registry = new Registry();
    const stopMeasuring = ownMetrics(registry, {
      logs: () => logs.counts(),
      tracesLost: () => traces.lost(),
      reloads: () => reloads.counts,
    });
    const failed = (asked: string, error: unknown): void => log.error("failed to answer", { path: asked, error });
    const metrics = await startMetrics({ ...config.metrics, registry, health, failed });
    shutdown.part({
      name: "metrics",
      deadlineMs: 1000,
      close: async (signal) => {
        stopMeasuring();
        await metrics.close(signal);
      },
    });
    const context = { logs, health, registry, shutdown, require, refusal: () => reloads.refusal };
    const sensor = await traced("start", {}, () => startSensor(config, context));
    if (config.profiling) {
      const profiling = await startProfiling({ port: config.profiling.port, stages: () => sensor.stages(), log });
      shutdown.part({ name: "profiling", close: (signal) => profiling.close(signal), deadlineMs: 1000 });
      log.warning("profiling is open to this machine", { url: profiling.url });
    }
    running = true;
    notify.ready("running");
    shutdown.onReload(() => reloads.take((next) => sensor.change(next)));
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
  // What missed its deadline must not keep the process, and with it the database's lock.
  return process.exit(code);
}
