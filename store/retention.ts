// Deletes what is too old or too much, oldest first, a part at a time and each part in slices that take milliseconds, so that
// writing keeps up. Sums stay: what was counted stays counted, and the run tells how many of its flows and gaps are gone.
//
// A flow part goes with its gaps first and then, in one transaction, its flows, links and columns: nobody sees half of it.
import type { Database, Statement } from "better-sqlite3";
import { cellsOfColumns } from "./columns.ts";
import { partKinds, unpackGapKeys } from "./parts.ts";

export interface RetentionLimits {
  /** since a batch was stored */
  readonly days?: number;
  /** of the database's pages in use */
  readonly MiB?: number;
}

interface Part {
  readonly run: number;
  readonly kind: number;
  readonly part: number;
  readonly stored: bigint;
}

/** A flow part on its way out: its gaps go first. */
interface OpenPart {
  readonly part: Part;
  readonly packets: readonly number[];
  /** those of its flows that may still have gaps */
  readonly withGaps: number[];
}

/** Rows deleted, or pages moved, between two looks at the clock. */
const slice = 500;
/** From here on batches have to wait: else a writer that never rests would outrun its retention. */
const farOverBytes = 2 << 20;
/** Free pages that are kept for what comes next: an eighth of the file, at least 4 MiB. */
const spareShare = 8;
const spareBytes = 4 << 20;

export class Retention {
  readonly #db: Database;
  readonly #now: () => bigint;
  readonly #statements = new Map<string, Statement>();
  #limits: RetentionLimits;
  /** All that ended before it may go. */
  #horizon = 0n;
  /** The flow part whose gaps are being deleted, and those of its flows that may still have some. */
  #open: OpenPart | undefined;
  prunedFlows = 0;
  prunedGaps = 0;

  constructor(db: Database, now: () => bigint, limits: RetentionLimits = {}) {
    this.#db = db;
    this.#now = now;
    this.#limits = limits;
  }

  set(limits: RetentionLimits): void {
    this.#limits = limits;
  }

  /** When the oldest batch that is still there was stored. */
  get oldestNs(): bigint | undefined {
    return this.#sql("SELECT min(stored_ns) FROM parts").safeIntegers().pluck().get() as bigint | undefined;
  }

  /** Works for about `budgetMs`, longer only while the size is far over its limit; true when there is more to do. */
  step(budgetMs: number): boolean {
    if (this.#limits.days === undefined && this.#limits.MiB === undefined) return false;
    const until = performance.now() + budgetMs;
    while (this.#slice()) if (performance.now() >= until && !this.#over(farOverBytes)) return true;
    return false;
  }

  #slice(): boolean {
    if (this.#open) return this.#continue(this.#open);
    const oldest = this.#due();
    if (oldest) {
      if (oldest.stored > this.#horizon) this.#horizon = oldest.stored;
      if (oldest.kind === partKinds.gaps) this.#deleteGapPart(oldest);
      else this.#open = this.#flowsOf(oldest);
      return true;
    }
    return this.#deleteBlind() || this.#deleteRun() || this.#giveBack();
  }

  /** The oldest part, when it has to go. Within a run parts go in order, even when the clock was set back between them. */
  #due(): Part | undefined {
    const { days } = this.#limits;
    const found = this.#sql("SELECT run, kind, stored_ns FROM parts ORDER BY stored_ns LIMIT 1").safeIntegers().get() as
      | { readonly run: bigint; readonly kind: bigint; readonly stored_ns: bigint }
      | undefined;
    const ageLimit = days === undefined ? 0n : this.#now() - BigInt(Math.round(days * 86_400)) * 1_000_000_000n;
    if (ageLimit > this.#horizon) this.#horizon = ageLimit;
    if (!found) return undefined;
    if (!this.#over(0) && found.stored_ns >= ageLimit) return undefined;
    const [run, kind] = [Number(found.run), Number(found.kind)];
    const part = this.#sql("SELECT min(part) FROM parts WHERE run = ? AND kind = ?").pluck().get(run, kind) as number;
    return { run, kind, part, stored: found.stored_ns };
  }

  #flowsOf(part: Part): OpenPart {
    const blob = this.#sql("SELECT cells FROM flow_columns WHERE run = ? AND part = ?")
      .pluck()
      .get(part.run, part.part) as Uint8Array;
    const { packet, gaps } = cellsOfColumns(blob);
    return {
      part,
      packets: [...packet].sort((a, b) => a - b),
      withGaps: Array.from(packet.filter((_, i) => gaps[i] !== 0)),
    };
  }

  #continue(open: OpenPart): boolean {
    const { run } = open.part;
    if (open.withGaps.length > 0) {
      let left = slice;
      this.#transaction(() => {
        const some = this.#sql("DELETE FROM gaps WHERE run = ? AND packet = ? LIMIT ?");
        const done: number[] = [];
        for (const packet of open.withGaps.slice(0, slice)) {
          const changes = some.run(run, packet, left).changes;
          left -= changes;
          if (left <= 0) break;
          done.push(packet);
        }
        const counted = this.#countGaps(run, slice - left);
        return () => {
          counted();
          open.withGaps.splice(0, done.length);
        };
      });
      return true;
    }
    this.#transaction(() => {
      const flow = this.#sql("DELETE FROM flows WHERE run = ? AND packet = ?");
      const links = this.#sql("DELETE FROM links WHERE run = ? AND packet = ?");
      let flows = 0;
      for (const packet of open.packets) {
        flows += flow.run(run, packet).changes;
        links.run(run, packet);
      }
      this.#sql("DELETE FROM flow_columns WHERE run = ? AND part = ?").run(run, open.part.part);
      this.#deletePart(open.part);
      this.#sql("UPDATE runs SET pruned_flows = pruned_flows + ? WHERE run = ?").run(flows, run);
      return () => {
        this.prunedFlows += flows;
        this.#open = undefined;
      };
    });
    return true;
  }

  #deleteGapPart(part: Part): void {
    const keys = this.#sql("SELECT keys FROM gap_keys WHERE run = ? AND part = ?")
      .pluck()
      .get(part.run, part.part) as Uint8Array;
    this.#transaction(() => {
      const gap = this.#sql("DELETE FROM gaps WHERE run = ? AND packet = ? AND segment = ? AND first = ?");
      let gaps = 0;
      for (const { packet, segment, first } of unpackGapKeys(keys))
        gaps += gap.run(part.run, packet, segment, first).changes;
      this.#sql("DELETE FROM gap_keys WHERE run = ? AND part = ?").run(part.run, part.part);
      this.#deletePart(part);
      return this.#countGaps(part.run, gaps);
    });
  }

  #deletePart({ run, kind, part }: Part): void {
    this.#sql("DELETE FROM parts WHERE run = ? AND kind = ? AND part = ?").run(run, kind, part);
  }

  /** Inside the transaction; what it returns is to be done after it. */
  #countGaps(run: number, gaps: number): () => void {
    if (gaps > 0) this.#sql("UPDATE runs SET pruned_gaps = pruned_gaps + ? WHERE run = ?").run(gaps, run);
    return () => {
      this.prunedGaps += gaps;
    };
  }

  #deleteBlind(): boolean {
    // Of the first run that has any: what comes behind is younger.
    const sql = `DELETE FROM blind WHERE run = (SELECT min(run) FROM blind) AND since_ns < @horizon AND until_ns < @horizon LIMIT ${slice}`;
    return this.#sql(sql).run({ horizon: this.#horizon }).changes > 0;
  }

  /** A run that ended before the horizon and has no part left goes entirely; never the newest. */
  #deleteRun(): boolean {
    const run = this.#sql(
      `SELECT run FROM runs WHERE run < (SELECT max(run) FROM runs) AND coalesce(finished_ns, checkpoint_ns, started_ns) < ?
         AND NOT EXISTS (SELECT 1 FROM parts WHERE parts.run = runs.run) ORDER BY run LIMIT 1`,
    )
      .pluck()
      .get(this.#horizon) as number | undefined;
    if (run === undefined) return false;
    // Of flows that a killed sensor never ended.
    for (const table of ["gaps", "links"])
      if (this.#sql(`DELETE FROM ${table} WHERE run = ? LIMIT ${slice}`).run(run).changes > 0) return true;
    this.#transaction(() => {
      for (const table of ["totals", "ledger", "ledger_reasons", "blind", "runs"])
        this.#sql(`DELETE FROM ${table} WHERE run = ?`).run(run);
      return () => {};
    });
    return true;
  }

  /** Free pages beyond the spare ones go back to the file system: the file shrinks at the next checkpoint. */
  #giveBack(): boolean {
    if (this.#pragma("auto_vacuum") !== 2) return false;
    const pageBytes = this.#pragma("page_size");
    const pages = this.#pragma("page_count");
    const free = this.#pragma("freelist_count");
    const { MiB } = this.#limits;
    const over = MiB === undefined ? 0 : pages - Math.floor((MiB * 2 ** 20) / pageBytes);
    const spare = Math.max(Math.floor(pages / spareShare), Math.floor(spareBytes / pageBytes));
    const wanted = Math.min(free, Math.max(free - spare, over));
    if (wanted <= 0) return false;
    this.#db.pragma(`incremental_vacuum(${Math.min(wanted, slice)})`);
    return true;
  }

  #over(bytes: number): boolean {
    const { MiB } = this.#limits;
    const used = (this.#pragma("page_count") - this.#pragma("freelist_count")) * this.#pragma("page_size");
    return MiB !== undefined && used > MiB * 2 ** 20 + bytes;
  }

  #pragma(name: string): number {
    return this.#db.pragma(name, { simple: true }) as number;
  }

  #sql(text: string): Statement {
    let statement = this.#statements.get(text);
    if (!statement) {
      statement = this.#db.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }

  /** What `work` returns happens only once the rows are gone. */
  #transaction(work: () => () => void): void {
    this.#db.transaction(work).immediate()();
  }
}
