// A filter and a sort as SQL, for what the columns in memory do not hold. Pure.
import type { Filter, Term } from "#domain/filter.ts";
import type { FlowField, SortField } from "#domain/flow-fields.ts";
import { networkText } from "#domain/network.ts";
import { evictedEnds, flowEnds, protocols } from "#domain/vocabulary.ts";

export type SqlValue = number | bigint | string;
export interface Sql {
  readonly text: string;
  readonly values: readonly SqlValue[];
}

const duration = "(last_ns - first_ns)";
const bandwidth = `(CASE WHEN last_ns > first_ns THEN bytes * 8000.0 / ${duration} ELSE 0.0 END)`;

/** The columns behind a field: a term holds for = and the orders when it holds for any of them. */
const columnsOf = (field: FlowField): readonly string[] => {
  switch (field) {
    case "proto": return ["protocol"];
    case "unique": return ["unique_packets"];
    case "bandwidth": return [bandwidth];
    case "duration": return [duration];
    case "first": return ["first_ns"];
    case "last": return ["last_ns"];
    case "src": return ["source"];
    case "dst": return ["destination"];
    case "addr": return ["source", "destination"];
    case "port": return ["source_port", "destination_port"];
    case "sport": return ["source_port"];
    case "dport": return ["destination_port"];
    case "vlan": return ["outer_vlan", "inner_vlan"];
    case "end": return ["ended"];
    default: return [field];
  }
}; // biome-ignore format: a table

const flags = {
  evicted: `ended IN (${evictedEnds.join(", ")})`,
  jump: "jumps > 0",
  restart: "restarts > 0",
  wrapped: "wrapped = 1",
  ipv6: "ipv6 = 1",
  natt: "natt = 1",
};

export const sortColumn = (sort: SortField): string => {
  if (sort === "first_seen") return "first_ns";
  if (sort === "last_seen") return "last_ns";
  return columnsOf(sort)[0] as string;
};

const marks = (count: number): string => Array.from({ length: count }, () => "?").join(", ");

function term(of: Term): Sql {
  if (of.kind === "flag") return { text: of.on ? `(${flags[of.field]})` : `NOT (${flags[of.field]})`, values: [] };
  const columns = columnsOf(of.field);
  if (of.kind === "address") {
    // in_network(address, network) is the reader's own function.
    const tests = columns.flatMap((name) => of.values.map(() => `in_network(${name}, ?)`));
    const any = `(${tests.join(" OR ")})`;
    return { text: of.op === "=" ? any : `NOT ${any}`, values: columns.flatMap(() => of.values.map(networkText)) };
  }
  const values: readonly SqlValue[] =
    of.kind === "protocol" ? of.values.map((name) => protocols.indexOf(name))
    : of.kind === "end" ? of.values.map((name) => flowEnds.indexOf(name))
    : of.values; // biome-ignore format: a choice
  const list = of.op === "=" || of.op === "!=";
  const tests = columns.map((name) => (list ? `${name} IN (${marks(values.length)})` : `${name} ${of.op} ?`));
  // A missing value makes the test NULL, not false: != must still hold.
  const any = `coalesce(${tests.join(" OR ")}, 0)`;
  const repeated = columns.flatMap(() => values);
  // With one of two columns missing, "NULL OR 1" is 1 and "NULL OR 0" is NULL: coalesce makes it 0.
  return { text: of.op === "!=" ? `NOT ${any}` : any, values: repeated };
}

/** `run=…` terms as well: they read the column run. */
export function whereFlow(filter: Filter): Sql {
  const terms = filter.map(term);
  return { text: terms.map(({ text }) => text).join(" AND ") || "1", values: terms.flatMap(({ values }) => values) };
}

/** A place in an order of flows: everything behind it is the next page. */
export interface FlowPlace {
  /** the sort's value: a number, or ns for a time */
  readonly key: number | bigint;
  readonly run: number;
  readonly packet: number;
}

export function pageOfFlows(
  runs: readonly number[],
  filter: Filter,
  sort: SortField,
  descending: boolean,
  after: FlowPlace | undefined,
  limit: number,
  table = "flows",
): Sql {
  const where = whereFlow(filter);
  const key = sortColumn(sort);
  const beyond = after ? ` AND (${key} ${descending ? "<" : ">"} ? OR (${key} = ? AND (run, packet) > (?, ?)))` : "";
  return {
    text: `SELECT run, packet, CAST(${key} AS TEXT) AS key FROM ${table} WHERE run IN (${marks(runs.length)}) AND ${where.text}${beyond}
ORDER BY ${key}${descending ? " DESC" : ""}, run, packet LIMIT ?`,
    values: [...runs, ...where.values, ...(after ? [after.key, after.key, after.run, after.packet] : []), limit],
  };
}

/** One flow as the API tells it; times as text, because a number would lose nanoseconds. */
export const flowByName = (table = "flows"): string => `SELECT run, packet, protocol, ended, source, destination,
  CAST(first_ns AS TEXT) AS first_ns, CAST(last_ns AS TEXT) AS last_ns, last_ns - first_ns AS duration_ns,
  packets, bytes, min_inter_arrival_ns, max_inter_arrival_ns, sci, an, spi, source_port, destination_port, outer_vlan, inner_vlan,
  ipv6, natt, wrapped, first_sequence, last_sequence, expected, unique_packets, reordered, duplicate, late, lost, pending,
  jumps, outliers, restarts, gaps, min_gap, max_gap
FROM ${table} WHERE run = ? AND packet = ?`;

export interface FlowRow {
  readonly run: number;
  readonly packet: number;
  readonly protocol: number;
  readonly ended: number;
  readonly source: string;
  readonly destination: string;
  readonly first_ns: string;
  readonly last_ns: string;
  readonly duration_ns: number;
  readonly packets: number;
  readonly bytes: number;
  readonly min_inter_arrival_ns: number;
  readonly max_inter_arrival_ns: number;
  readonly sci: string | null;
  readonly an: number | null;
  readonly spi: number | null;
  readonly source_port: number | null;
  readonly destination_port: number | null;
  readonly outer_vlan: number | null;
  readonly inner_vlan: number | null;
  readonly ipv6: number;
  readonly natt: number;
  readonly wrapped: number;
  readonly first_sequence: number | null;
  readonly last_sequence: number | null;
  readonly expected: number;
  readonly unique_packets: number;
  readonly reordered: number;
  readonly duplicate: number;
  readonly late: number;
  readonly lost: number;
  readonly pending: number;
  readonly jumps: number;
  readonly outliers: number;
  readonly restarts: number;
  readonly gaps: number;
  readonly min_gap: number;
  readonly max_gap: number;
}
