// One sensor at a time writes a database. It holds a write transaction on a tiny database beside it, `<db>-lock`, for as long
// as it lives: the kernel releases that lock however the process ends. Who holds it is in there, too. Readers are not hindered.
import Database from "better-sqlite3";
import { existsSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { TaplineError } from "#domain/errors.ts";

/** A look (lookAtLock) takes the lock for an instant: a sensor that starts just then waits for it. */
const waitMs = 200;

/** The same file by whatever name: a link and its target must not have two locks. */
const lockPath = (path: string): string => {
  const real = existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path));
  return `${real}-lock`;
};

function begin(lock: Database.Database, path: string): void {
  try {
    lock.exec("BEGIN IMMEDIATE");
  } catch (cause) {
    if (!(cause as { code?: string }).code?.startsWith("SQLITE_BUSY")) throw cause;
    const pid = lock.pragma("user_version", { simple: true }) as number;
    throw new TaplineError("STORE_IN_USE", { path, pid }, { cause });
  }
}

/** Held until it is closed. The file stays: to delete it would let two processes lock two files of one name. */
export function holdLock(path: string): Database.Database {
  const lock = new Database(lockPath(path), { timeout: waitMs });
  try {
    for (;;) {
      begin(lock, path);
      if ((lock.pragma("user_version", { simple: true }) as number) === process.pid) return lock;
      // Others can read it only once it is committed, and in between another may have come: look again.
      lock.pragma(`user_version = ${process.pid}`);
      lock.exec("COMMIT");
    }
  } catch (cause) {
    lock.close();
    throw cause;
  }
}

/** Throws STORE_IN_USE when a sensor has the database. */
export function lookAtLock(path: string): void {
  if (!existsSync(dirname(path)) || !existsSync(lockPath(path))) return;
  const lock = new Database(lockPath(path), { timeout: waitMs });
  try {
    begin(lock, path);
  } finally {
    lock.close();
  }
}
