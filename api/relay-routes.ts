// What a running relay answers under /api/v1: rules, hops, the report of the last second, and whether it is well. Keys of tunnels are in none of it.
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { TaplineError } from "#domain/errors.ts";
import {
  hopRow,
  type HopRow,
  relayReport,
  type RelayReport,
  ruleDetail,
  type RuleDetail,
  ruleRow,
  type RuleRow,
} from "#domain/relay-report.ts";
import type { HealthState } from "#process/health.ts";
import { answerHealth } from "./live.ts";
import * as schemas from "./schemas.ts";

export interface RelaySource {
  /** of the last second, in the order of their ids */
  rules(): readonly RuleRow[];
  rule(id: string): RuleDetail | undefined;
  hops(): readonly HopRow[];
  /** of the last second; null in the first */
  report(): RelayReport | null;
  liveness(): HealthState;
  readiness(): HealthState;
}

const count = z.int().min(0);
const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe("how many to return, at most 1000"),
  cursor: z.string().max(200).optional().describe("next_cursor of the page before"),
  state: ruleRow.shape.state.optional().describe("only rules that stand so"),
});
const ruleParams = z.strictObject({ id: z.string().max(96) });
const ruleList = z.object({
  count,
  total: count.describe("rules that match, on all pages"),
  next_cursor: z.string().nullable(),
  rules: z.array(ruleRow),
});
const hopList = z.object({ count, hops: z.array(hopRow) });

export function serveRelayRoutes(plain: FastifyInstance, relay: RelaySource): void {
  const app = plain.withTypeProvider<ZodTypeProvider>();
  const says = (summary: string, ok: object) => ({ summary, response: { 200: ok, default: schemas.problem } });
  const { nothing } = schemas;

  app.get(
    "/api/v1/rules",
    { schema: { querystring: pageQuery, ...says("Rules with their counters, by id", ruleList) } },
    async ({ query: { limit, cursor, state } }) => {
      const all = relay.rules().filter((row) => state === undefined || row.state === state);
      // By key, not by offset: rules may come and go between two pages.
      const rest = cursor === undefined ? all : all.filter(({ id }) => id > cursor);
      const rules = rest.slice(0, limit);
      const next_cursor = rest.length > limit ? (rules.at(-1)?.id ?? null) : null;
      return { count: rules.length, total: all.length, next_cursor, rules };
    },
  );
  // Ids have slashes in them: the rest of the path is one.
  app.get(
    "/api/v1/rules/*",
    { schema: { querystring: nothing, ...says("One rule and its outputs", ruleDetail) } },
    async ({ params }) => {
      const { id } = ruleParams.parse({ id: (params as Record<string, string>)["*"] });
      const found = relay.rule(id);
      if (!found) throw new TaplineError("RELAY_RULE_UNKNOWN", { rule: id, near: "" });
      return found;
    },
  );
  app.get(
    "/api/v1/hops",
    { schema: { querystring: nothing, ...says("What arrived of each path, and what did not", hopList) } },
    async () => {
      const hops = [...relay.hops()];
      return { count: hops.length, hops };
    },
  );
  app.get(
    "/api/v1/report",
    { schema: { querystring: nothing, ...says("What the fleet is told each second", relayReport) } },
    (_, reply) => {
      const report = relay.report();
      return report ? reply.send(report) : reply.code(503).header("retry-after", "1").send({ ok: false, checks: [] });
    },
  );
  answerHealth(app, { liveness: () => relay.liveness(), readiness: () => relay.readiness() });
}
