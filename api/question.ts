// The flow list's parameters as one question to the source, and the cursor that continues it.
import { createHash } from "node:crypto";
import type { z } from "zod";
import { TaplineError } from "#domain/errors.ts";
import { parseFilter, printFilter, type Filter, type Term } from "#domain/filter.ts";
import type { Sort, SortField } from "#domain/flow-fields.ts";
import type { FlowPlace } from "#store/queries.ts";
import type { BlindReason } from "#domain/vocabulary.ts";
import type { BlindPlace, GapPlace } from "#store/reads.ts";
import type { flowsQuery } from "./schemas.ts";

export type Wanted = number | "all" | "newest";

export interface FlowQuestion {
  readonly wanted: Wanted;
  readonly filter: Filter;
  readonly sort: Sort;
  readonly limit: number;
  readonly after?: FlowPlace;
  cursor(place: FlowPlace): string;
}

const number = (field: "bytes" | "bandwidth", op: ">=" | "<=", value: number | undefined): Term[] =>
  value === undefined ? [] : [{ kind: "number", field, op, values: [value] }];

const encode = (parts: readonly (string | number)[]): string =>
  Buffer.from(JSON.stringify(parts)).toString("base64url");

/** Every part must have the type asked for, else the cursor was not ours. */
function decode(text: string, types: readonly ("string" | "number")[]): (string | number)[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (Array.isArray(parts) && parts.length === types.length && types.every((type, i) => typeof parts[i] === type))
      return parts as (string | number)[];
  } catch {
    // not JSON: refused below like any other
  }
  throw new TaplineError("API_BAD_CURSOR");
}

const isTime = (by: SortField): boolean => by === "first_seen" || by === "last_seen";

export function flowQuestion(query: z.output<typeof flowsQuery>): FlowQuestion {
  const filter: Filter = [
    ...parseFilter(query.filter ?? ""),
    ...number("bytes", ">=", query.min_bytes),
    ...number("bytes", "<=", query.max_bytes),
    ...number("bandwidth", ">=", query.min_bandwidth_mbps),
    ...number("bandwidth", "<=", query.max_bandwidth_mbps),
  ];
  const descending = query.sort.startsWith("-");
  const sort: Sort = { by: query.sort.slice(descending ? 1 : 0) as SortField, descending };
  // A cursor is a place in one order of one set of flows, and means nothing in another.
  const digest = createHash("sha256")
    .update(`${printFilter(filter)}|${query.sort}|${query.run ?? ""}`)
    .digest("base64url")
    .slice(0, 12);
  const cursor = ({ key, run, packet }: FlowPlace): string => encode([digest, String(key), run, packet]);
  const base = { filter, sort, limit: query.limit, cursor };
  if (query.cursor === undefined) return { ...base, wanted: query.run ?? "newest" };

  const [from, key, run, packet] = decode(query.cursor, ["string", "string", "number", "number"]) as [
    string,
    string,
    number,
    number,
  ];
  if (from !== digest || !(isTime(sort.by) ? /^-?\d{1,19}$/.test(key) : Number.isFinite(Number(key))))
    throw new TaplineError("API_BAD_CURSOR");
  const after: FlowPlace = { key: isTime(sort.by) ? BigInt(key) : Number(key), run, packet };
  // "The newest run" stays the one that the first page was about.
  const ownRuns = filter.some((term) => term.field === "run");
  return { ...base, after, wanted: query.run ?? (ownRuns ? "newest" : run) };
}

export const gapCursor = ({ run, packet, segment, first }: GapPlace): string => encode([run, packet, segment, first]);
export function gapPlace(cursor: string | undefined): GapPlace | null {
  if (cursor === undefined) return null;
  const [run, packet, segment, first] = decode(cursor, ["number", "number", "number", "number"]) as [
    number,
    number,
    number,
    number,
  ];
  return { run, packet, segment, first };
}

export const blindCursor = ({ run, since_ns, interface: name, reason }: BlindPlace): string =>
  encode([run, since_ns, name, reason]);
export function blindPlace(cursor: string | undefined): BlindPlace | null {
  if (cursor === undefined) return null;
  const [run, since_ns, name, reason] = decode(cursor, ["number", "string", "string", "string"]) as [
    number,
    string,
    string,
    BlindReason,
  ];
  if (!/^-?\d{1,19}$/.test(since_ns)) throw new TaplineError("API_BAD_CURSOR");
  return { run, since_ns, interface: name, reason };
}

export const runCursor = (run: number): string => encode([run]);
export const runPlace = (cursor: string | undefined): number | null =>
  cursor === undefined ? null : (decode(cursor, ["number"])[0] as number);
