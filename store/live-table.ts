// Active flows as rows of a temporary table of the reader's own, on disk where they are many: for questions in SQL, and because one
// piece of code alone knows how a record becomes a row.
import type { Database } from "better-sqlite3";
import { FlowInsert } from "./flow-insert.ts";
import { flowByName, type FlowRow } from "./queries.ts";
import type { TotalRow } from "./reads.ts";

export type RunRecords = readonly [run: number, records: ArrayBuffer];

/** Those rows of the table that have none in the database. */
export const unstored =
  "(SELECT * FROM temp.live_flows l WHERE NOT EXISTS (SELECT 1 FROM main.flows f WHERE f.run = l.run AND f.packet = l.packet))";

export class LiveTable {
  readonly #db: Database;
  #insert: FlowInsert | undefined;
  /** what it was filled with; undefined: with some flows only */
  state: number | undefined;

  constructor(db: Database) {
    this.#db = db;
  }

  fill(parts: Iterable<RunRecords>, state?: number): void {
    if (!this.#insert) {
      const made = this.#db.prepare("SELECT sql FROM main.sqlite_schema WHERE name = 'flows'").pluck().get() as string;
      this.#db.exec(made.replace("CREATE TABLE flows", "CREATE TEMP TABLE live_flows"));
      this.#insert = new FlowInsert(this.#db, "temp.live_flows");
    }
    const insert = this.#insert;
    this.clear();
    this.#db.transaction(() => {
      for (const [run, records] of parts) insert.insert(run, records);
    })();
    this.state = state;
  }

  clear(): void {
    if (this.#insert) this.#db.exec("DELETE FROM temp.live_flows");
    this.state = undefined;
  }

  /** In the order of the packets; those that are there. */
  rows(run: number, packets: readonly number[]): FlowRow[] {
    const read = this.#db.prepare<[number, number], FlowRow>(flowByName("temp.live_flows"));
    return packets.map((packet) => read.get(run, packet)).filter((row) => row !== undefined);
  }

  totals(runs: readonly number[], from: string): TotalRow[] {
    const sums = ["packets", "bytes", "expected", "unique_packets", "reordered", "duplicate", "late", "lost", "pending", "jumps", "outliers", "restarts", "gaps"]; // biome-ignore format: one list
    return this.#db
      .prepare<unknown[], TotalRow>(
        `SELECT run, protocol, count(*) AS flows, CAST(min(first_ns) AS TEXT) AS first_ns, CAST(max(last_ns) AS TEXT) AS last_ns,
           max(max_gap) AS max_gap, ${sums.map((name) => `sum(${name}) AS ${name}`).join(", ")}
         FROM ${from} WHERE run IN (${runs.map(() => "?").join(", ")}) GROUP BY run, protocol`,
      )
      .all(...runs);
  }
}
