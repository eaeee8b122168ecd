// Which way a flow query goes. Pure: it looks at the question, not at the data.
import type { Filter } from "#domain/filter.ts";
import type { FlowField, SortField } from "#domain/flow-fields.ts";

/** In flow_columns, or worked out from what is there. The rest is in the table alone. */
const columnFields: ReadonlySet<FlowField> = new Set<FlowField>([
  "run", "packet", "proto", "packets", "bytes", "lost", "gaps", "bandwidth", "first", "last", "duration", "src", "dst", "addr",
  "port", "sport", "dport", "vlan", "an", "spi", "sci", "end", "evicted", "wrapped", "ipv6", "natt",
]); // biome-ignore format: one list
const columnSorts: ReadonlySet<SortField> = new Set<SortField>([
  "packet",
  "packets",
  "bytes",
  "lost",
  "gaps",
  "bandwidth",
  "duration",
  "first_seen",
  "last_seen",
]);

export type FlowPlan = { readonly indexed: true } | { readonly indexed: false; readonly note: string };

/** `flows`: how many the chosen runs have; `limit`: how many the reader may hold in memory. */
export function planFlows(filter: Filter, sort: SortField, flows: number, limit: number): FlowPlan {
  const without: string[] = [...new Set(filter.map((term) => term.field))].filter((field) => !columnFields.has(field));
  if (!columnSorts.has(sort)) without.push(`sort=${sort}`);
  if (without.length > 0)
    return { indexed: false, note: `no index for ${without.join(", ")}: every flow of the run was read` };
  if (flows > limit)
    return {
      indexed: false,
      note: `${flows} flows are more than the ${limit} that are indexed in memory: every flow of the run was read`,
    };
  return { indexed: true };
}
