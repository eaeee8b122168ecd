// What was refused, counted by reason and, of the last few, by name: nobody can make this grow.
import { type Refused, type ReportRefusal, reportRefusals } from "./intake.ts";

/** Names of nodes, or what passes for one, that are remembered for each reason. */
const mostNamed = 16;
const longestName = 80;

export interface RefusedRow {
  readonly reason: ReportRefusal;
  readonly reports: number;
  /** the newest first, with the newest detail */
  readonly nodes: readonly { readonly node: string; readonly detail: string }[];
}

export class Refusals {
  readonly #counts = new Map<ReportRefusal, { reports: number; nodes: Map<string, string> }>();
  readonly #told = new Map<ReportRefusal, number>();

  add({ refused, node = "?", detail }: Refused): void {
    const row = this.#counts.get(refused) ?? { reports: 0, nodes: new Map<string, string>() };
    this.#counts.set(refused, row);
    row.reports++;
    const name = node.slice(0, longestName);
    row.nodes.delete(name); // to the end: the newest
    row.nodes.set(name, detail.slice(0, 200));
    const [oldest] = row.nodes.keys();
    if (row.nodes.size > mostNamed && oldest !== undefined) row.nodes.delete(oldest);
  }

  /** What came since the last call; its reports are those alone. */
  news(): RefusedRow[] {
    return this.rows().flatMap((row) => {
      const reports = row.reports - (this.#told.get(row.reason) ?? 0);
      this.#told.set(row.reason, row.reports);
      return reports === 0 ? [] : [{ ...row, reports }];
    });
  }

  /** In the order of the list of reasons; those of 0 are left out. */
  rows(): RefusedRow[] {
    return (Object.keys(reportRefusals) as ReportRefusal[]).flatMap((reason) => {
      const row = this.#counts.get(reason);
      if (!row) return [];
      return [{ reason, reports: row.reports, nodes: [...row.nodes].reverse().map(([node, detail]) => ({ node, detail })) }]; // biome-ignore format: one row
    });
  }
}
