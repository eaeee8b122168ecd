// /metrics: the newest run and the API's own requests, for Prometheus.
import type { FastifyInstance } from "fastify";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { apiMetrics, ledgerStages, outcomes, runMetrics } from "#domain/metrics.ts";
import { protocols } from "#domain/vocabulary.ts";
import { presentLedger, presentProtocols, presentSummary } from "./present.ts";
import type { Source } from "./source.ts";

type RunMetric = keyof typeof runMetrics;

export function serveMetrics(app: FastifyInstance, source: Source): void {
  const registry = new Registry();
  const own = { registers: [registry] };
  const gauges = Object.fromEntries(
    Object.entries(runMetrics).map(([name, { help, labels }]) => [
      name,
      new Gauge({ name, help, labelNames: labels, ...own }),
    ]),
  ) as Record<RunMetric, Gauge>;
  const answered = new Counter({
    name: "tapline_api_requests_total",
    help: apiMetrics.tapline_api_requests_total.help,
    labelNames: apiMetrics.tapline_api_requests_total.labels,
    ...own,
  });
  const seconds = new Histogram({
    name: "tapline_api_request_seconds",
    help: apiMetrics.tapline_api_request_seconds.help,
    labelNames: apiMetrics.tapline_api_request_seconds.labels,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    ...own,
  });

  app.addHook("onResponse", async (request, reply) => {
    // The route's pattern, not the address: labels stay as few as the routes.
    const route = request.routeOptions.url ?? "none";
    answered.inc({ route, method: request.method, status: String(reply.statusCode) });
    seconds.observe({ route }, reply.elapsedTime / 1000);
  });

  app.get("/metrics", { schema: { tags: ["operations"], summary: "Prometheus metrics" } }, async (_, reply) => {
    await setRun(gauges, source);
    return reply.type(registry.contentType).send(await registry.metrics());
  });
}

async function setRun(gauges: Record<RunMetric, Gauge>, source: Source): Promise<void> {
  const [run] = await source.runs(1, null);
  const runs = run ? [run.run] : [];
  const [totals, ledgerRows] = await Promise.all([source.totals(runs), source.ledger(runs)]);
  for (const gauge of Object.values(gauges)) gauge.reset();
  gauges.tapline_run.set(run?.run ?? 0);
  gauges.tapline_run_complete.set(run?.complete ?? 0);
  for (const row of presentProtocols(runs, totals).protocols) {
    const { protocol } = row;
    gauges.tapline_run_flows.set({ protocol }, row.flows);
    gauges.tapline_run_packets.set({ protocol }, row.packets);
    gauges.tapline_run_bytes.set({ protocol }, row.bytes);
    if (protocols.indexOf(protocol) > 2) continue; // no numbers, nothing to lose
    gauges.tapline_run_gaps.set({ protocol }, row.gaps);
    gauges.tapline_run_expected.set({ protocol }, row.expected);
    for (const outcome of outcomes) gauges.tapline_run_sequence.set({ protocol, outcome }, row[outcome]);
  }
  gauges.tapline_run_invariant_residue.set(presentSummary(runs, totals).invariant_residue);
  const ledger = presentLedger(ledgerRows);
  gauges.tapline_run_ledger_residue.set(ledger.residue);
  for (const item of ledger.interfaces) {
    for (const stage of ledgerStages) gauges.tapline_run_ledger_packets.inc({ stage }, item[stage]);
    for (const [reason, packets] of Object.entries(item.undecodable))
      gauges.tapline_run_undecodable_packets.inc({ reason }, packets);
    for (const [reason, packets] of Object.entries(item.untracked))
      gauges.tapline_run_untracked_packets.inc({ reason }, packets);
  }
}
