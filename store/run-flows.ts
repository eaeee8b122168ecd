// Every flow of one run, looked up by its first packet: for a comparison that wants all of them, one by one. SQL on the
// caller's thread: the command that compares has nothing else to do.
import type { Database, Statement } from "better-sqlite3";
import { protocols } from "#domain/vocabulary.ts";
import { openForReading } from "./open.ts";

/** A row of `flows`, under the names of domain/records.ts. */
export type StoredFlow = Readonly<Record<string, number | string | null>>;

export class RunFlows implements Disposable {
  readonly #db: Database;
  readonly #run: number;
  readonly #flow: Statement;
  readonly #previous: Statement;

  constructor(path: string, run: number) {
    this.#db = openForReading(path);
    this.#run = run;
    this.#flow = this.#db.prepare(`
      SELECT packet, protocol, source, destination, sci, an, spi, source_port, destination_port, outer_vlan, inner_vlan, natt, ipv6,
        packets, bytes, first_sequence AS first_number, last_sequence AS last_number, expected, unique_packets AS "unique",
        reordered, duplicate, late, lost, pending, jumps, outliers, restarts, gaps, min_gap, max_gap
      FROM flows WHERE run = ? AND packet = ?`);
    this.#previous = this.#db.prepare("SELECT previous FROM links WHERE run = ? AND packet = ? AND kind = 0").pluck();
  }

  get count(): number {
    return this.#db.prepare("SELECT count(*) FROM flows WHERE run = ?").pluck().get(this.#run) as number;
  }

  /** Packets in no flow, by reason, over all interfaces. */
  get untracked(): Readonly<Record<string, number>> {
    const rows = this.#db
      .prepare("SELECT reason, sum(packets) FROM ledger_reasons WHERE run = ? GROUP BY reason HAVING sum(packets) > 0")
      .raw()
      .all(this.#run) as [string, number][];
    return Object.fromEntries(rows);
  }

  flow(packet: number): StoredFlow | undefined {
    const row = this.#flow.get(this.#run, packet) as StoredFlow | undefined;
    return row === undefined ? undefined : { ...row, protocol: protocols[row.protocol as number] ?? null };
  }

  /** The flow this one continues with a new key. */
  previous(packet: number): number | undefined {
    return this.#previous.get(this.#run, packet) as number | undefined;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
