// /metrics for Prometheus, /healthz and /readyz for whoever restarts or routes, on a port of their own.
import type { Registry } from "prom-client";
import { isLoopback } from "#domain/network.ts";
import { type Answer, type Endpoint, startEndpoint } from "./endpoint.ts";
import type { Health, HealthState } from "./health.ts";

export interface MetricsOptions {
  readonly host: string;
  readonly port: number;
  readonly registry: Registry;
  readonly health: Health;
  readonly failed: (path: string, error: unknown) => void;
}

/** 200 `ok`, or 503 with the checks that failed, one a line; `?verbose` is all of them as JSON. */
export function healthAnswer({ ok, checks }: HealthState, verbose: boolean): Answer {
  const status = ok ? 200 : 503;
  if (verbose) return { status, type: "application/json", body: `${JSON.stringify({ ok, checks }, undefined, 2)}\n` };
  const wrong = checks.filter((check) => !check.ok).map(({ name, detail }) => `${name}: ${detail}\n`);
  return { status, type: "text/plain; charset=utf-8", body: ok ? "ok\n" : wrong.join("") };
}

export function startMetrics({ host, port, registry, health, failed }: MetricsOptions): Promise<Endpoint> {
  // Several scrapers at one moment share one answer: asking often must not cost much.
  let collecting: Promise<string> | undefined;
  const collect = (): Promise<string> =>
    (collecting ??= registry.metrics().finally(() => {
      collecting = undefined;
    }));
  return startEndpoint({
    host,
    port,
    failed,
    // Elsewhere scrapers use whatever name the network gave this machine.
    guarded: isLoopback(host),
    paths: {
      "/metrics": async () => ({ type: registry.contentType, body: await collect() }),
      "/healthz": ({ query }) => healthAnswer(health.liveness(), query.has("verbose")),
      "/readyz": ({ query }) => healthAnswer(health.readiness(), query.has("verbose")),
    },
  });
}
