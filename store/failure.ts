// What went wrong in SQLite, as one of the project's own errors, and its way across a thread.
import { existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { TaplineError, type ErrorCode, type ErrorDetails } from "#domain/errors.ts";

const codes: readonly (readonly [prefix: string, code: ErrorCode])[] = [
  ["SQLITE_NOTADB", "STORE_NOT_SQLITE"],
  ["SQLITE_CORRUPT", "STORE_DAMAGED"],
  ["SQLITE_BUSY", "STORE_LOCKED"],
  ["SQLITE_LOCKED", "STORE_LOCKED"],
  ["SQLITE_FULL", "STORE_DISK_FULL"],
  // The WAL's shared memory is a file, too; it grows by ftruncate and fails with these when there is no room.
  ["SQLITE_IOERR_SHMSIZE", "STORE_DISK_FULL"],
  ["SQLITE_READONLY", "STORE_READ_ONLY"],
  ["SQLITE_PERM", "STORE_READ_ONLY"],
  ["SQLITE_CANTOPEN", "STORE_CANNOT_CREATE"],
];

export function storeError(cause: unknown, path: string): TaplineError {
  if (cause instanceof TaplineError) return cause;
  const error = cause as Error & { code?: string };
  const known = codes.find(([prefix]) => error.code?.startsWith(prefix))?.[1] ?? "STORE_FAILED";
  const code = error.code?.startsWith("SQLITE_IOERR") && outOfSpace(path) ? "STORE_DISK_FULL" : known;
  return new TaplineError(code, { path, detail: error.message ?? String(cause) }, { cause });
}

/** Some file systems tell of a full disk, or a used-up quota, as an I/O error. */
function outOfSpace(path: string): boolean {
  const folder = dirname(path);
  if (!existsSync(folder)) return false;
  const disk = statfsSync(folder);
  return disk.bavail * disk.bsize < 256 * 1024;
}

/** The records themselves are wrong, a flow that is there already: they would be refused again. */
export const isRefusal = (cause: unknown): boolean =>
  !(cause instanceof TaplineError) &&
  !/^SQLITE_(?!CONSTRAINT|MISMATCH|TOOBIG)/.test((cause as { code?: string }).code ?? "");

/** An Error loses its own fields when it is posted to another thread. */
export interface PostedError {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
}
export const posted = (error: TaplineError): PostedError => ({ code: error.code, details: error.details });
export const received = (error: PostedError): TaplineError => new TaplineError(error.code, error.details);
