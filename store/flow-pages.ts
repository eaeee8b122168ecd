// Pages of the flow list: by the columns in memory where the plan says so, by SQL where not. Both give the same answer.
import type { Database } from "better-sqlite3";
import type { Filter } from "#domain/filter.ts";
import type { Sort } from "#domain/flow-fields.ts";
import { parseNetwork, within, type Network } from "#domain/network.ts";
import { FlowIndex } from "./flow-index.ts";
import { keysOf } from "./flow-match.ts";
import { planFlows, type FlowPlan } from "./flow-plan.ts";
import { firstInOrder, selectRows, type After, type Order } from "./flow-select.ts";
import type { LiveFlows } from "./live-flows.ts";
import type { LiveRun } from "./live-run.ts";
import { flowByName, pageOfFlows, type FlowPlace, type FlowRow } from "./queries.ts";

export interface FlowQuery {
  readonly runs: readonly number[];
  readonly filter: Filter;
  readonly sort: Sort;
  readonly limit: number;
  readonly after?: FlowPlace;
}

/** A page whose flows are text already, in UTF-8. */
export interface FlowText extends Omit<FlowPage, "flows"> {
  readonly count: number;
  readonly text: Uint8Array<ArrayBuffer>;
}

export interface FlowPage {
  readonly flows: readonly FlowRow[];
  /** flows that match, over all pages; null when counting them would take as long as reading them all */
  readonly total: number | null;
  /** the last flow's place, when there are more behind it */
  readonly next: FlowPlace | null;
  readonly plan: FlowPlan;
}

type Found = Pick<FlowPage, "total"> & { readonly places: readonly FlowPlace[] };

const isTime = ({ by }: Sort): boolean => by === "first_seen" || by === "last_seen";

const inOrder =
  (descending: boolean) =>
  (a: FlowPlace, b: FlowPlace): number => {
    if (a.key !== b.key) return a.key < b.key === descending ? 1 : -1;
    return a.run - b.run || a.packet - b.packet;
  };

export class FlowPages {
  readonly #db: Database;
  /** flows held in memory over all runs; the runs longest unused make room */
  readonly #limit: number;
  readonly #live: LiveFlows;
  readonly #indices = new Map<number, FlowIndex>();

  constructor(db: Database, limit: number, live: LiveFlows) {
    this.#db = db;
    this.#limit = limit;
    this.#live = live;
    let spelled = "";
    let network: Network | undefined;
    db.function("in_network", { deterministic: true }, (address: unknown, text: unknown) => {
      if (text !== spelled) [spelled, network] = [String(text), parseNetwork(String(text))];
      const found = parseNetwork(String(address));
      return found && network && within(found.bytes, network) ? 1 : 0;
    });
  }

  /** Of one moment: active flows end, and retention may delete flows, while they are looked for. */
  page(query: FlowQuery): FlowPage {
    return this.#live.ask(() => this.#page(query));
  }

  #page(query: FlowQuery): FlowPage {
    const lives = this.#live.of(query.runs);
    const ended = query.runs.reduce((sum, run) => sum + this.#kept(run), 0);
    const flows = lives.reduce((sum, { index }) => sum + index.length, ended);
    let plan: FlowPlan = this.#live.spilled
      ? {
          indexed: false,
          note: `more flows are active than the ${this.#limit} that are indexed in memory: every flow was read`,
        }
      : planFlows(query.filter, query.sort.by, flows, this.#limit);
    const indices = plan.indexed
      ? [...query.runs.map((run) => this.#index(run)), ...lives.map(({ index }) => index)]
      : [];
    if (plan.indexed && !indices.every((index) => index.exact))
      plan = {
        indexed: false,
        note: "the capture spans more than 104 days, more than the index holds to the nanosecond: every flow of the run was read",
      };
    const found = plan.indexed ? this.#byColumns(indices, query) : this.#bySql(query, this.#live.table(lives));
    const more = found.places.length > query.limit;
    const places = more ? found.places.slice(0, query.limit) : found.places;
    return {
      flows: this.#rows(places, lives),
      total: found.total,
      next: more ? (places.at(-1) ?? null) : null,
      plan,
    };
  }

  #rows(places: readonly FlowPlace[], lives: readonly LiveRun[]): FlowRow[] {
    const active = new Map<string, FlowRow>();
    for (const live of lives) {
      const packets = places.filter(({ run, packet }) => run === live.run && live.rowOf(packet) !== undefined);
      const rows = this.#live.rows(
        live,
        packets.map(({ packet }) => packet),
      );
      for (const row of rows) active.set(`${row.run}-${row.packet}`, row);
    }
    const read = this.#db.prepare<[number, number], FlowRow>(flowByName("main.flows"));
    return places
      .map(({ run, packet }) => active.get(`${run}-${packet}`) ?? read.get(run, packet) ?? this.#live.row(run, packet))
      .filter((row) => row !== undefined);
  }

  /** Runs that are still written: their columns are loaded again when somebody asks. */
  letGo(runs: readonly number[]): void {
    for (const run of runs) this.#indices.delete(run);
  }

  #byColumns(indices: readonly FlowIndex[], query: FlowQuery): Found {
    const filter = query.filter.filter((term) => term.field !== "run");
    const places: FlowPlace[] = [];
    let total = 0;
    for (const index of indices) {
      const rows = selectRows(index, filter);
      total += rows ? rows.length : index.length;
      places.push(...this.#firstOf(index, rows, query));
    }
    if (indices.length > 1) places.sort(inOrder(query.sort.descending));
    return { total, places: places.slice(0, query.limit + 1) };
  }

  #firstOf(index: FlowIndex, rows: Uint32Array | undefined, { sort, after, limit }: FlowQuery): FlowPlace[] {
    const keys = keysOf(index, sort.by);
    const order: Order = { keys, sign: sort.descending ? -1 : 1, ties: index.packet };
    let behind: After | undefined;
    if (after) {
      // Of equal keys, an earlier run's all lie before the cursor, a later run's all behind it.
      const tie =
        index.run === after.run
          ? after.packet
          : index.run < after.run
            ? Number.POSITIVE_INFINITY
            : Number.NEGATIVE_INFINITY;
      behind = { key: Number(typeof after.key === "bigint" ? after.key - index.baseNs : after.key), tie };
    }
    return firstInOrder(rows, rows?.length ?? index.length, order, limit + 1, behind).map((row) => {
      const key = keys[row] as number;
      return {
        key: isTime(sort) ? index.baseNs + BigInt(key) : key,
        run: index.run,
        packet: index.packet[row] as number,
      };
    });
  }

  #bySql({ runs, filter, sort, after, limit }: FlowQuery, table: string): Found {
    const sql = pageOfFlows(runs, filter, sort.by, sort.descending, after, limit + 1, table);
    const rows = this.#db.prepare<unknown[], { run: number; packet: number; key: string }>(sql.text).all(...sql.values);
    return {
      total: null,
      places: rows.map(({ run, packet, key }) => ({ run, packet, key: isTime(sort) ? BigInt(key) : Number(key) })),
    };
  }

  /** Flows of a run that retention has not deleted. */
  #kept(run: number): number {
    const sql = `SELECT coalesce(sum(flows), 0) - coalesce((SELECT pruned_flows FROM runs WHERE run = @run), 0) FROM totals WHERE run = @run`;
    return this.#db.prepare(sql).pluck().get({ run }) as number;
  }

  /** The run's columns, with what the writer has added since the last question. */
  #index(run: number): FlowIndex {
    const first = this.#db.prepare("SELECT min(part) FROM flow_columns WHERE run = ?").pluck().get(run) as
      | number
      | null;
    let index = this.#indices.get(run);
    // What lay too far from its base may be gone: with a new one the rest may fit.
    if (index?.dropBefore(first ?? Number.POSITIVE_INFINITY) && !index.exact) index = undefined;
    // Last used goes last.
    this.#indices.delete(run);
    if (!index) {
      const flows = this.#kept(run);
      this.#makeRoom(flows);
      index = new FlowIndex(run, flows);
    }
    this.#indices.set(run, index);
    const parts = this.#db.prepare<[number, number], { readonly part: number; readonly cells: Uint8Array }>(
      "SELECT part, cells FROM flow_columns WHERE run = ? AND part >= ? ORDER BY part",
    );
    for (const { part, cells } of parts.iterate(run, index.nextPart)) index.append(cells, part);
    return index;
  }

  #makeRoom(wanted: number): void {
    let held = [...this.#indices.values()].reduce((sum, index) => sum + index.packet.length, 0);
    for (const [run, index] of this.#indices) {
      if (held + wanted <= this.#limit) return;
      this.#indices.delete(run);
      held -= index.packet.length;
    }
  }
}
