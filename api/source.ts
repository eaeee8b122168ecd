// Where the API's answers come from: one database today. Whoever can answer these questions can stand behind the routes.
import type { Filter } from "#domain/filter.ts";
import type { FlowQuery, FlowText } from "#store/flow-pages.ts";
import type { FlowRow } from "#store/queries.ts";
import type { BlindPlace, BlindRow, GapPlace, GapRow, LedgerRow, LinkRow, RunRow, TotalRow } from "#store/reads.ts";

export interface Source {
  /** newest first */
  runs(limit: number, before: number | null): Promise<readonly RunRow[]>;
  run(run: number): Promise<RunRow | null>;
  /** ascending */
  chooseRuns(wanted: number | "all" | "newest", filter: Filter): Promise<readonly number[]>;
  totals(runs: readonly number[]): Promise<readonly TotalRow[]>;
  /** the flows as a JSON array of what flows-text.ts writes */
  flowText(query: FlowQuery): Promise<FlowText>;
  flow(run: number, packet: number): Promise<{ readonly flow: FlowRow; readonly links: readonly LinkRow[] } | null>;
  gapsOfFlow(run: number, packet: number, after: GapPlace | null, limit: number): Promise<readonly GapRow[]>;
  gaps(runs: readonly number[], after: GapPlace | null, limit: number): Promise<readonly GapRow[]>;
  blinds(runs: readonly number[], after: BlindPlace | null, limit: number): Promise<readonly BlindRow[]>;
  ledger(runs: readonly number[]): Promise<readonly LedgerRow[]>;
  close(): Promise<void>;
}
