// What the writer's thread does between batches for a database that is written for months: retention in short steps, the
// write-ahead log kept small, and the figures that tell how it stands. A failure here is told, and tried again a second later.
import type { Database } from "better-sqlite3";
import { statSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { posted, storeError, type PostedError } from "./failure.ts";
import { unendingWal } from "./open.ts";
import type { Retention } from "./retention.ts";

export interface StoreFigures {
  readonly fileBytes: number;
  readonly walBytes: number;
  /** of the file system, for us */
  readonly freeBytes: number;
  /** when the oldest batch that is kept was stored */
  readonly oldestNs: bigint | undefined;
  readonly prunedFlows: number;
  readonly prunedGaps: number;
  /** times a reader's long question kept the write-ahead log from being cut back */
  readonly walHeld: number;
}

/** Longest time away from the batches, about. */
const stepMs = 15;

export class Upkeep {
  readonly #db: Database;
  readonly #path: string;
  readonly #retention: Retention;
  #walHeld = 0;
  failure: PostedError | undefined;

  constructor(db: Database, path: string, retention: Retention) {
    this.#db = db;
    this.#path = path;
    this.#retention = retention;
  }

  /** True when there is more to do. */
  step(): boolean {
    return this.#guarded(() => this.#retention.step(stepMs)) ?? false;
  }

  /** Once a second. */
  tick(): StoreFigures {
    const disk = statfsSync(dirname(this.#path));
    const freeBytes = disk.bavail * disk.bsize;
    // On a disk that is nearly full what lies in the log belongs into the file: the log then has room in itself.
    const tooLong = this.#walBytes() > Math.min(unendingWal.keptBytes, freeBytes);
    // Pages that were given back are in the log only, until it is copied.
    if (tooLong || statSync(this.#path).size > this.#pagesBytes()) this.#guarded(() => this.#cutWal());
    return {
      fileBytes: statSync(this.#path).size,
      walBytes: this.#walBytes(),
      freeBytes,
      oldestNs: this.#retention.oldestNs,
      prunedFlows: this.#retention.prunedFlows,
      prunedGaps: this.#retention.prunedGaps,
      walHeld: this.#walHeld,
    };
  }

  /** A reader in the middle of a question holds the log: what can be copied is, and the rest waits for the next second. */
  #cutWal(): void {
    const wait = this.#db.pragma("busy_timeout", { simple: true }) as number;
    this.#db.pragma("busy_timeout = 0");
    try {
      const [result] = this.#db.pragma("wal_checkpoint(TRUNCATE)") as { readonly busy: number }[];
      if (result?.busy) this.#walHeld++;
    } finally {
      this.#db.pragma(`busy_timeout = ${wait}`);
    }
  }

  #pagesBytes(): number {
    const pragma = (name: string): number => this.#db.pragma(name, { simple: true }) as number;
    return pragma("page_count") * pragma("page_size");
  }

  #walBytes(): number {
    return statSync(`${this.#path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  }

  #guarded<T>(work: () => T): T | undefined {
    try {
      const done = work();
      this.failure = undefined;
      return done;
    } catch (cause) {
      this.failure = posted(storeError(cause, this.#path));
      return undefined;
    }
  }
}
