// The addresses under /api/v1: each asks the source and presents its rows.
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { TaplineError } from "#domain/errors.ts";
import type { Filter } from "#domain/filter.ts";
import {
  presentBlind,
  presentFlowDetail,
  presentGap,
  presentLedger,
  presentProtocols,
  presentRun,
  presentSummary,
} from "./present.ts";
import {
  blindCursor,
  blindPlace,
  flowQuestion,
  gapCursor,
  gapPlace,
  runCursor,
  runPlace,
  type Wanted,
} from "./question.ts";
import type { Live } from "./live.ts";
import * as schemas from "./schemas.ts";
import type { Source } from "./source.ts";

/** One more row than asked for tells whether there is another page. */
function cut<T>(
  rows: readonly T[],
  limit: number,
  cursor: (last: T) => string,
): { readonly page: readonly T[]; readonly next_cursor: string | null } {
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return { page, next_cursor: rows.length > limit && last !== undefined ? cursor(last) : null };
}

const closing = Buffer.from("}");

const flowName = (id: string): [run: number, packet: number] => id.split("-").map(Number) as [number, number];

export function serveRoutes(plain: FastifyInstance, source: Source, version: string, live?: Live): void {
  const app = plain.withTypeProvider<ZodTypeProvider>();

  /** A run that was named must be there; a database without any has nothing to say, which is no error. */
  const chosen = async (wanted: Wanted, filter: Filter = []): Promise<readonly number[]> => {
    const runs = await source.chooseRuns(wanted, filter);
    if (typeof wanted === "number" && !runs.includes(wanted) && !(await source.run(wanted)))
      throw new TaplineError("API_RUN_NOT_FOUND", { run: wanted });
    return runs;
  };

  const says = (summary: string, ok: object) => ({ summary, response: { 200: ok, default: schemas.problem } });

  app.get(
    "/health",
    { schema: { querystring: schemas.nothing, ...says("Whether it works", schemas.health) } },
    async () => ({ status: "ok" as const, version }),
  );

  app.get(
    "/api/v1/stats/summary",
    { schema: { querystring: schemas.runQuery, ...says("Sums of a run", schemas.summary) } },
    async ({ query }) => {
      const runs = await chosen(query.run ?? "newest");
      return presentSummary(runs, await source.totals(runs));
    },
  );

  app.get(
    "/api/v1/flows",
    { schema: { querystring: schemas.flowsQuery, ...says("Flows, filtered and in order", schemas.flowList) } },
    async ({ query }, reply) => {
      const { wanted, cursor, ...question } = flowQuestion(query);
      const page = await source.flowText({ ...question, runs: await chosen(wanted, question.filter) });
      const head = JSON.stringify({
        count: page.count,
        total: page.total,
        indexed: page.plan.indexed,
        ...(page.plan.indexed ? {} : { note: page.plan.note }),
        next_cursor: page.next ? cursor(page.next) : null,
      });
      // The rows were written by the thread that read them; only the frame around them is made here.
      reply.type("application/json; charset=utf-8");
      return reply.send(Buffer.concat([Buffer.from(`${head.slice(0, -1)},"flows":`), page.text, closing]));
    },
  );

  const flowOf = async (id: string) => {
    const found = await source.flow(...flowName(id));
    if (!found) throw new TaplineError("API_FLOW_NOT_FOUND", { flow: id });
    return found;
  };

  app.get(
    "/api/v1/flows/:id",
    { schema: { params: schemas.flowParams, querystring: schemas.nothing, ...says("One flow", schemas.flowDetail) } },
    async ({ params }) => {
      const { flow, links } = await flowOf(params.id);
      return presentFlowDetail(flow, links);
    },
  );

  app.get(
    "/api/v1/flows/:id/gaps",
    {
      schema: {
        params: schemas.flowParams,
        querystring: schemas.pageQuery,
        ...says("Gaps of one flow", schemas.gapList),
      },
    },
    async ({ params, query }) => {
      await flowOf(params.id);
      const rows = await source.gapsOfFlow(...flowName(params.id), gapPlace(query.cursor), query.limit + 1);
      const { page, next_cursor } = cut(rows, query.limit, gapCursor);
      return { count: page.length, next_cursor, gaps: page.map(presentGap) };
    },
  );

  app.get(
    "/api/v1/gaps",
    { schema: { querystring: schemas.gapsQuery, ...says("Gaps, by flow", schemas.gapList) } },
    async ({ query }) => {
      const after = gapPlace(query.cursor);
      const runs = await chosen(query.run ?? after?.run ?? "newest");
      const { page, next_cursor } = cut(await source.gaps(runs, after, query.limit + 1), query.limit, gapCursor);
      return { count: page.length, next_cursor, gaps: page.map(presentGap) };
    },
  );

  app.get(
    "/api/v1/blind",
    { schema: { querystring: schemas.gapsQuery, ...says("Times not watched", schemas.blindList) } },
    async ({ query }) => {
      const after = blindPlace(query.cursor);
      const runs = await chosen(query.run ?? after?.run ?? "newest");
      const { page, next_cursor } = cut(await source.blinds(runs, after, query.limit + 1), query.limit, blindCursor);
      return { count: page.length, next_cursor, blind: page.map(presentBlind) };
    },
  );

  app.get(
    "/api/v1/runs",
    { schema: { querystring: schemas.pageQuery, ...says("Runs, the newest first", schemas.runList) } },
    async ({ query }) => {
      const rows = await source.runs(query.limit + 1, runPlace(query.cursor));
      const { page, next_cursor } = cut(rows, query.limit, ({ run }) => runCursor(run));
      return { count: page.length, next_cursor, runs: page.map(presentRun) };
    },
  );

  app.get(
    "/api/v1/protocols",
    { schema: { querystring: schemas.runQuery, ...says("Sums per protocol", schemas.protocolList) } },
    async ({ query }) => {
      const runs = await chosen(query.run ?? "newest");
      return presentProtocols(runs, await source.totals(runs));
    },
  );

  app.get(
    "/api/v1/ledger",
    { schema: { querystring: schemas.runQuery, ...says("Where every packet went", schemas.ledger) } },
    async ({ query }) => {
      const runs = await chosen(query.run ?? "newest");
      const now = live?.ledger();
      // The database's rows of the running run are a second old.
      const rows = presentLedger(await source.ledger(runs.filter((run) => run !== now?.run))).interfaces;
      const all = now && runs.includes(now.run) ? [...rows, ...now.interfaces] : rows;
      return { residue: all.reduce((sum, { residue }) => sum + residue, 0), interfaces: all };
    },
  );
}
