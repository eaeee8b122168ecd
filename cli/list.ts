// tapline flows, tapline gaps: what a database holds, through the same filters as the API.
import { presentFlow, presentGap } from "#api/present.ts";
import { parseFilter, pointAtError } from "#domain/filter.ts";
import type { SortField } from "#domain/flow-fields.ts";
import { timeText } from "#domain/time.ts";
import { flowEnds } from "#domain/vocabulary.ts";
import { Listing, type GapSort } from "#store/listing.ts";
import type { FlowRow } from "#store/queries.ts";
import { flowLabel, protocolName } from "./flow-label.ts";
import { bytes, grouped, percent } from "./numbers.ts";
import { styled, table, type Cell, type Column } from "./table.ts";

export interface ListArguments {
  readonly sort?: string;
  readonly limit: number;
  readonly json?: boolean;
}

const text = (title: string): Column => ({ title, align: "left" });
const number = (title: string): Column => ({ title, align: "right" });
const bad = (shown: string): Cell => ({ text: shown, mood: "bad" });
const quiet: Cell = { text: "–", mood: "quiet" };
const time = (ns: string): string => timeText(BigInt(ns));
/** As the API names it: the run, and the flow's first packet. */
const nameOf = ({ run, packet }: Pick<FlowRow, "run" | "packet">): string => `${run}-${packet}`;

function list<T>(
  database: string,
  filter: string,
  look: (listing: Listing, parsed: ReturnType<typeof parseFilter>, runs: readonly number[]) => T,
): T {
  try {
    const parsed = parseFilter(filter);
    using listing = new Listing(database);
    return look(listing, parsed, listing.runs(parsed));
  } catch (error) {
    const place = pointAtError(error);
    if (place !== undefined) process.stderr.write(`${place}\n`);
    throw error;
  }
}

const print = (shown: string): number => {
  process.stdout.write(`${shown}\n`);
  return 0;
};
const runsText = (runs: readonly number[]): string =>
  runs.length === 1 ? `run ${runs[0]}` : `runs ${runs.join(", ")}`;

/** Not ended as flows end: said where there are such. */
const isOpen = ({ ended }: FlowRow): boolean => ["active", "interrupted"].includes(flowEnds[ended] ?? "");

function flowCells(flow: FlowRow): Cell[] {
  const named = [nameOf(flow), protocolName(flow), flowLabel(flow), grouped(flow.packets), bytes(flow.bytes)];
  // TCP and UDP carry no number that would tell: a 0 there would claim something.
  const counters = flow.first_sequence === null ? Array.from({ length: 6 }, () => quiet) : [
    flow.lost === 0 ? "0" : bad(grouped(flow.lost)),
    flow.lost === 0 ? "0 %" : bad(percent(flow.lost, flow.expected)),
    ...[flow.gaps, flow.reordered, flow.duplicate, flow.late].map(grouped),
  ]; // biome-ignore format: a choice
  return [...named, ...counters, time(flow.last_ns)];
}

export function listFlows(database: string, filter = "", { sort = "packet", limit, json }: ListArguments): number {
  return list(database, filter, (listing, parsed, runs) => {
    const by = sort as SortField;
    const page = listing.flows(runs, parsed, { by, descending: by !== "packet" && by !== "first_seen" }, limit);
    if (json === true) {
      const flows = page.flows.map(presentFlow);
      return print(JSON.stringify({ runs, count: flows.length, total: page.total, flows }, undefined, 2));
    }
    if (page.flows.length === 0) return print(`No flow of ${runsText(runs)} matches.`);
    const columns = [
      text("flow"),
      text("protocol"),
      text("endpoints"),
      ...["packets", "bytes", "lost", "loss", "gaps", "reordered", "duplicate", "late"].map(number),
      text("last packet"),
      ...(page.flows.some(isOpen) ? [text("end")] : []),
    ];
    const of =
      page.total === null || page.total === page.flows.length ? "" : ` of ${grouped(page.total)}; --limit shows more`;
    const slow = page.plan.indexed ? "" : ` (${page.plan.note})`;
    return print(
      `${table(
        columns,
        page.flows.map((flow) => (isOpen(flow) ? [...flowCells(flow), flowEnds[flow.ended] ?? ""] : flowCells(flow))),
      )}\n${styled(`${grouped(page.flows.length)} flows${of}, ${runsText(runs)}${slow}`, "quiet")}`,
    );
  });
}

export function listGaps(database: string, filter = "", { sort = "size", limit, json }: ListArguments): number {
  return list(database, filter, (listing, parsed, runs) => {
    const gaps = listing.gaps(runs, parsed, sort as GapSort, limit);
    const size = (gap: (typeof gaps)[number]): number => gap.last - gap.first + 1;
    if (json === true) {
      const shown = gaps.map((gap) => ({
        ...presentGap(gap),
        protocol: protocolName(gap),
        endpoints: flowLabel(gap),
      }));
      return print(JSON.stringify({ runs, count: shown.length, gaps: shown }, undefined, 2));
    }
    if (gaps.length === 0) return print(`No gap of ${runsText(runs)} matches.`);
    const columns = [
      text("flow"),
      text("protocol"),
      text("endpoints"),
      number("size"),
      number("first lost"),
      number("last lost"),
      text("noticed"),
      text("marks"),
    ];
    const marks = ({ jump, suspect }: (typeof gaps)[number]): string =>
      [...(jump === 1 ? ["jump"] : []), ...(suspect === 1 ? ["suspect"] : [])].join(", ");
    const rows = gaps.map((gap): Cell[] => [
      nameOf(gap), protocolName(gap), flowLabel(gap), bad(grouped(size(gap))), grouped(gap.first), grouped(gap.last), time(gap.noticed_ns), marks(gap),
    ]); // biome-ignore format: one row
    return print(`${table(columns, rows)}\n${styled(`${grouped(gaps.length)} gaps, ${runsText(runs)}`, "quiet")}`);
  });
}
