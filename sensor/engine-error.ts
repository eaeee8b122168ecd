// The engine names what went wrong by code; the catalogue's text needs to know of which file, too.
import { catalogue, TaplineError, type ErrorCode } from "#domain/errors.ts";

interface Coded {
  readonly code: string;
  readonly offset?: number;
  readonly detail?: string;
}

const known = (code: unknown): code is ErrorCode => typeof code === "string" && Object.hasOwn(catalogue, code);

export function engineError(error: unknown, path: string): unknown {
  const { code, offset = 0, detail = "" } = (error ?? {}) as Partial<Coded>;
  if (error instanceof TaplineError || !known(code)) return error;
  return new TaplineError(code, { path, offset, detail }, { cause: error });
}
