// Opens a database file: ours, of a version we know, or a fresh one. Runs in worker threads only.
import Database from "better-sqlite3";
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import { lookAtLock } from "./agent-lock.ts";
import { storeError } from "./failure.ts";
import { applicationId, migrate, schemaVersion } from "./schema.ts";

const magic = "SQLite format 3\0";

/** Whether there is a database to open; throws on anything else that lies there. SQLite alone would say the same of all of them. */
function look(path: string): "absent" | "empty" | "database" {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return "absent";
  if (found.isDirectory()) throw new TaplineError("STORE_IS_DIRECTORY", { path });
  if (!found.isFile()) throw new TaplineError("STORE_NOT_SQLITE", { path });
  if (found.size === 0) return "empty";
  const head = Buffer.alloc(magic.length);
  const file = openSync(path, "r");
  try {
    readSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  if (head.toString("latin1") !== magic) throw new TaplineError("STORE_NOT_SQLITE", { path });
  return "database";
}

/** The schema version found, 0 when there is nothing yet. */
function recognise(db: Database.Database, path: string): number {
  const owner = db.pragma("application_id", { simple: true }) as number;
  const version = db.pragma("user_version", { simple: true }) as number;
  if (owner !== applicationId) {
    const tables = db.prepare("SELECT count(*) FROM sqlite_schema").pluck().get() as number;
    if (owner !== 0 || version !== 0 || tables !== 0) throw new TaplineError("STORE_FOREIGN", { path });
    return 0;
  }
  if (version > schemaVersion) throw new TaplineError("STORE_NEWER", { path, found: version, known: schemaVersion });
  return version;
}

const guarded = <T>(path: string, work: () => T): T => {
  try {
    return work();
  } catch (cause) {
    throw storeError(cause, path);
  }
};

export interface OpenOptions {
  /** how long to wait for another writer */
  readonly busyMs?: number;
  /** For a writer that goes on for months: its write-ahead log stays small. */
  readonly unending?: boolean;
  /** holds the sensor's lock itself */
  readonly owner?: boolean;
}

/** The write-ahead log of an unending writer: copied into the file from this size on, cut back to the other when it can be. */
export const unendingWal = { checkpointBytes: 8 << 20, keptBytes: 16 << 20 };

export const openForWriting = (
  path: string,
  { busyMs = 5000, unending = false, owner = false }: OpenOptions = {},
): Database.Database =>
  guarded(path, () => {
    if (look(path) === "absent" && !existsSync(dirname(path)))
      throw new TaplineError("STORE_CANNOT_CREATE", { path, detail: "its folder does not exist" });
    if (!owner) lookAtLock(path);
    const db = new Database(path, { timeout: busyMs });
    try {
      const version = recognise(db, path);
      // Before the first page is written: afterwards it would take a rewrite of the whole file.
      if (version === 0) db.pragma("auto_vacuum = INCREMENTAL");
      db.pragma("journal_mode = WAL");
      db.pragma("synchronous = NORMAL");
      db.pragma("cache_size = -8192"); // rows come in key order: a larger cache was not faster
      // A checkpoint syncs the disk: let a usual run finish before the first one.
      db.pragma("wal_autocheckpoint = 16384");
      if (unending) {
        db.pragma(`wal_autocheckpoint = ${unendingWal.checkpointBytes / 4096}`);
        db.pragma("cache_size = -2048"); // its process has a memory budget; in a run of months it fills up, whatever is written
        db.pragma(`journal_size_limit = ${unendingWal.keptBytes}`);
      }
      if (version < schemaVersion) migrate(db);
      return db;
    } catch (cause) {
      db.close();
      throw cause;
    }
  });

/** A database still in WAL mode has a -shm file beside it that readers write to as well; a finished one has none (finish). */
function openReadOnly(path: string, busyMs: number): Database.Database {
  const db = new Database(path, { readonly: true, fileMustExist: true, timeout: busyMs });
  try {
    db.prepare("SELECT count(*) FROM sqlite_schema").get();
    return db;
  } catch (cause) {
    db.close();
    if ((cause as { code?: string }).code?.startsWith("SQLITE_CANTOPEN"))
      throw new TaplineError(
        "STORE_READ_ONLY",
        { path, detail: "its last writer did not close it, and the files beside it cannot be made" },
        { cause },
      );
    throw cause;
  }
}

/** Everything into the one file, in a mode that can be read anywhere, so that it can be copied and put on a read-only disk. */
export function finish(db: Database.Database): void {
  try {
    db.pragma("busy_timeout = 0");
    db.pragma("journal_mode = DELETE");
  } catch (cause) {
    // Somebody else has it open: then the WAL stays theirs to clear.
    if (!(cause as { code?: string }).code?.startsWith("SQLITE_BUSY")) throw cause;
    db.pragma("wal_checkpoint(PASSIVE)");
  } finally {
    db.close();
  }
}

export const openForReading = (path: string, { busyMs = 5000 }: OpenOptions = {}): Database.Database =>
  guarded(path, () => {
    const there = look(path);
    if (there === "absent") throw new TaplineError("STORE_NOT_FOUND", { path });
    if (there === "empty") throw new TaplineError("STORE_NOT_SQLITE", { path });
    let db = openReadOnly(path, busyMs);
    const found = recognise(db, path);
    if (found < schemaVersion) {
      db.close();
      if (found === 0) throw new TaplineError("STORE_FOREIGN", { path });
      try {
        finish(openForWriting(path, { busyMs }));
      } catch (cause) {
        if (storeError(cause, path).code === "STORE_READ_ONLY")
          throw new TaplineError("STORE_OLDER", { path, found, known: schemaVersion }, { cause });
        throw cause;
      }
      db = openReadOnly(path, busyMs);
    }
    db.pragma("cache_size = -65536");
    return db;
  });
