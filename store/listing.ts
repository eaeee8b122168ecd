// The command line's lists: flows and gaps of a database that a filter lets through. SQL on the caller's thread: the command
// that lists has nothing else to do.
import type { Database } from "better-sqlite3";
import type { Filter } from "#domain/filter.ts";
import type { Sort } from "#domain/flow-fields.ts";
import type { FlowPage } from "./flow-pages.ts";
import { openForReading } from "./open.ts";
import { type FlowRow, whereFlow } from "./queries.ts";
import { type GapRow, Reads } from "./reads.ts";

export type GapSort = "size" | "noticed";
type Keys = "protocol" | "source" | "destination" | "sci" | "an" | "spi" | "outer_vlan" | "inner_vlan";
export type GapOfFlow = GapRow & Pick<FlowRow, Keys>;

const flowsInMemory = 2_000_000;
const marks = (list: readonly unknown[]): string => list.map(() => "?").join(", ");

export class Listing implements Disposable {
  readonly #db: Database;
  readonly #reads: Reads;

  constructor(path: string) {
    this.#db = openForReading(path);
    this.#reads = new Reads(this.#db, flowsInMemory);
  }

  /** The runs that the filter's run=… terms name; without one, the newest. */
  runs(filter: Filter): number[] {
    return this.#reads.chooseRuns("newest", filter);
  }

  flows(runs: readonly number[], filter: Filter, sort: Sort, limit: number): FlowPage {
    return this.#reads.flowPage({ runs, filter, sort, limit });
  }

  gaps(runs: readonly number[], filter: Filter, sort: GapSort, limit: number): GapOfFlow[] {
    const where = whereFlow(filter);
    const order = sort === "size" ? "g.last - g.first DESC, g.noticed_ns" : "g.noticed_ns";
    return this.#reads.withActive(runs, (flows) =>
      this.#db
        .prepare<unknown[], GapOfFlow>(
          `SELECT g.run, g.packet, g.segment, g.first, g.last, CAST(g.noticed_ns AS TEXT) AS noticed_ns, CAST(g.confirmed_ns AS TEXT) AS confirmed_ns,
           g.jump, g.suspect, f.protocol, f.source, f.destination, f.sci, f.an, f.spi, f.outer_vlan, f.inner_vlan
         FROM gaps g JOIN (SELECT * FROM ${flows} WHERE run IN (${marks(runs)}) AND ${where.text}) f USING (run, packet)
         WHERE g.run IN (${marks(runs)}) ORDER BY ${order}, g.run, g.packet, g.segment, g.first LIMIT ?`,
        )
        .all(...runs, ...where.values, ...runs, limit),
    );
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
