// The engine names what went wrong by a code of the catalogue and words; here it becomes the catalogue's error.
import { catalogue, type ErrorCode, TaplineError } from "#domain/errors.ts";

const known = (code: unknown): code is ErrorCode => typeof code === "string" && Object.hasOwn(catalogue, code);

export function codedError(cause: unknown): TaplineError {
  if (cause instanceof TaplineError) return cause;
  const {
    code,
    detail,
    message = String(cause),
  } = (cause ?? {}) as { code?: unknown; detail?: string; message?: string };
  return new TaplineError(known(code) ? code : "RELAY_FAILED", { detail: detail ?? message }, { cause });
}
