// What only a running sensor can answer, beside its database: /api/v1/stream, /api/v1/report, /api/v1/pinning, and whether it is well.
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { pinningReport, type PinningReport } from "#domain/pinning.ts";
import { sensorReport, type ReportedInterface, type SensorReport } from "#domain/report.ts";
import type { HealthState } from "#process/health.ts";
import * as schemas from "./schemas.ts";
import { serveStream, type Stream } from "./stream.ts";

type LedgerRow = z.output<typeof schemas.ledger>["interfaces"][number];

export interface Live {
  readonly stream: Stream;
  /** as of this moment */
  ledger(): { readonly run: number; readonly interfaces: readonly LedgerRow[] };
  /** of the last second; null in the first */
  report(): SensorReport | null;
  pinning(): PinningReport;
  liveness(): HealthState;
  readiness(): HealthState;
}

const healthAnswer = z.object({
  ok: z.boolean(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
});

/** A row of the ledger out of a report's. */
export function liveRow(run: number, row: ReportedInterface): LedgerRow {
  const { interface: name, seen, ring_drops, in_flight, delivered, decoded, tracked, undecodable, untracked, residue, ...live } = row; // biome-ignore format: one list
  return { run, interface: name, link_type: 1, seen, ring_drops, in_flight, delivered, decoded, tracked, undecodable, untracked, residue, live }; // biome-ignore format: one list
}

export function serveLive(plain: FastifyInstance, live: Live): void {
  const app = plain.withTypeProvider<ZodTypeProvider>();
  const says = (summary: string, ok: object) => ({
    querystring: schemas.nothing,
    summary,
    response: { 200: ok, default: schemas.problem },
  });
  serveStream(app, live.stream);
  app.get("/api/v1/report", { schema: says("What the fleet is told each second", sensorReport) }, (_, reply) => {
    const report = live.report();
    return report ? reply.send(report) : reply.code(503).header("retry-after", "1").send({ ok: false, checks: [] });
  });
  app.get("/api/v1/pinning", { schema: says("CPUs, memory and IRQs: wanted and actual", pinningReport) }, async () =>
    live.pinning(),
  );
  answerHealth(app, live);
}

/** /healthz and /readyz */
export function answerHealth(plain: FastifyInstance, health: Pick<Live, "liveness" | "readiness">): void {
  const app = plain.withTypeProvider<ZodTypeProvider>();
  const answer = (path: string, look: () => HealthState, summary: string): void => {
    const response: object = { 200: healthAnswer, default: schemas.problem };
    app.get(path, { schema: { querystring: schemas.nothing, summary, response } }, (_, reply) => {
      const { ok, checks } = look();
      return reply.code(ok ? 200 : 503).send({ ok, checks: [...checks] });
    });
  };
  answer("/healthz", () => health.liveness(), "Whether it works");
  answer("/readyz", () => health.readiness(), "Whether it does what it is configured to do");
}
