// What a process tells of itself: processor time, memory, how long its event loop stood still, and what its logs and traces lost.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, type Registry } from "prom-client";
import { processMetrics } from "#domain/metrics.ts";
import type { LogCounts } from "./log.ts";

type Name = keyof typeof processMetrics;

export interface OwnCounts {
  /** by result */
  readonly reloads: () => Readonly<Record<string, number>>;
  readonly logs: () => LogCounts;
  readonly tracesLost: () => number;
}

const stallWindowMs = 10_000;

/** Registers them; returns what ends their measuring. */
export function ownMetrics(registry: Registry, { logs, tracesLost, reloads }: OwnCounts): () => void {
  const gauge = (name: Name, look: () => number): Gauge =>
    new Gauge({
      name,
      help: processMetrics[name].help,
      registers: [registry],
      collect() {
        this.set(look());
      },
    });
  const counter = (name: Name, look: () => number | Readonly<Record<string, number>>): Counter => {
    const [labelName = ""] = processMetrics[name].labels;
    return new Counter({
      name,
      help: processMetrics[name].help,
      labelNames: processMetrics[name].labels,
      registers: [registry],
      collect() {
        this.reset();
        const value = look();
        if (typeof value === "number") this.inc(value);
        else for (const [label, part] of Object.entries(value)) this.inc({ [labelName]: label }, part);
      },
    });
  };

  const started = Date.now() / 1000 - process.uptime();
  gauge("tapline_process_start_seconds", () => started);
  counter("tapline_process_cpu_seconds_total", () => {
    const { user, system } = process.cpuUsage();
    return { user: user / 1e6, system: system / 1e6 };
  });
  gauge("tapline_process_resident_bytes", () => process.memoryUsage.rss());
  gauge("tapline_process_heap_bytes", () => process.memoryUsage().heapUsed);
  counter("tapline_log_suppressed_total", () => logs().suppressed);
  counter("tapline_log_dropped_total", () => logs().dropped);
  counter("tapline_traces_lost_total", tracesLost);
  counter("tapline_process_reloads_total", reloads);

  // Reading changes nothing: windows turn by the clock, and the answer is the worse of the last two.
  const resolution = 100; // ms; each look wakes the process: 20 cost 0.7 % of a core
  const delays = monitorEventLoopDelay({ resolution });
  delays.enable();
  let before = 0;
  const turn = setInterval(() => {
    before = delays.max;
    delays.reset();
  }, stallWindowMs).unref();
  gauge("tapline_process_loop_stall_seconds", () => {
    // What it measures includes its own interval.
    const ns = Math.max(before, delays.count === 0 ? 0 : delays.max) - resolution * 1e6;
    return Math.max(0, ns) / 1e9;
  });
  return () => {
    clearInterval(turn);
    delays.disable();
  };
}
