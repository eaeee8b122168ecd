// The command line's lists: flows and gaps of a database that a filter lets through. SQL on the caller's thread: the command
// that lists has nothing else to do.
import type { Database } from "better-sqlite3";
import type { Filter, Operator } from "#domain/filter.ts";
import type { Sort } from "#domain/flow-fields.ts";
import { FlowPages, type FlowPage } from "./flow-pages.ts";
import { openForReading } from "./open.ts";
import { whereFlow, type FlowRow } from "./queries.ts";

export type GapSort = "size" | "noticed";
export interface GapRow
  extends Pick<
    FlowRow,
    "run" | "packet" | "protocol" | "source" | "destination" | "sci" | "an" | "spi" | "outer_vlan" | "inner_vlan"
  > {
  readonly first: number;
  readonly last: number;
  /** ns since 1970, as text */
  readonly noticed_ns: string;
  readonly confirmed_ns: string;
  readonly jump: number;
  readonly suspect: number;
}

const flowsInMemory = 2_000_000;
const marks = (list: readonly unknown[]): string => list.map(() => "?").join(", ");

const holds: Readonly<Record<Operator, (a: number, b: number) => boolean>> = {
  "=": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
};

export class Listing implements Disposable {
  readonly #db: Database;
  readonly #pages: FlowPages;

  constructor(path: string) {
    this.#db = openForReading(path);
    this.#pages = new FlowPages(this.#db, flowsInMemory);
  }

  /** The runs that the filter's run=… terms name; without one, the latest. */
  runs(filter: Filter): number[] {
    const all = this.#db.prepare("SELECT run FROM runs ORDER BY run").pluck().all() as number[];
    const terms = filter.flatMap((term) => (term.kind === "number" && term.field === "run" ? [term] : []));
    if (terms.length === 0) return all.slice(-1);
    return all.filter((run) =>
      terms.every(({ op, values }) =>
        op === "!=" ? values.every((value) => value !== run) : values.some((value) => holds[op](run, value)),
      ),
    );
  }

  flows(runs: readonly number[], filter: Filter, sort: Sort, limit: number): FlowPage {
    return this.#pages.page({ runs, filter, sort, limit });
  }

  gaps(runs: readonly number[], filter: Filter, sort: GapSort, limit: number): GapRow[] {
    const where = whereFlow(filter);
    const order = sort === "size" ? "g.last - g.first DESC, g.noticed_ns" : "g.noticed_ns";
    return this.#db
      .prepare(
        `SELECT g.run, g.packet, g.first, g.last, CAST(g.noticed_ns AS TEXT) AS noticed_ns, CAST(g.confirmed_ns AS TEXT) AS confirmed_ns, g.jump, g.suspect,
           f.protocol, f.source, f.destination, f.sci, f.an, f.spi, f.outer_vlan, f.inner_vlan
         FROM gaps g JOIN (SELECT * FROM flows WHERE run IN (${marks(runs)}) AND ${where.text}) f USING (run, packet)
         WHERE g.run IN (${marks(runs)}) ORDER BY ${order}, g.run, g.packet, g.first LIMIT ?`,
      )
      .all(...runs, ...where.values, ...runs, limit) as GapRow[];
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
