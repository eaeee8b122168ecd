// The engine names what went wrong by code; the catalogue's text needs to know of which file, too.
import { captureCapabilities, heldCapabilities } from "#host/capabilities.ts";
import { catalogue, TaplineError, type ErrorCode } from "#domain/errors.ts";

interface Coded {
  readonly code: string;
  readonly offset?: number;
  readonly detail?: string;
}

const known = (code: unknown): code is ErrorCode => typeof code === "string" && Object.hasOwn(catalogue, code);

const missingCapabilities = (): string => {
  const held = heldCapabilities();
  return captureCapabilities
    .filter(({ name }) => !held.has(name))
    .map(({ name }) => name)
    .join(", ");
};

export function engineError(error: unknown, path: string): unknown {
  const { code, offset = 0, detail: said = "" } = (error ?? {}) as Partial<Coded>;
  if (error instanceof TaplineError || !known(code)) return error;
  // The kernel tells of one at a time; who has to grant them wants to know all.
  const detail = code === "CAPTURE_NOT_PERMITTED" ? missingCapabilities() || said : said;
  return new TaplineError(code, { path, offset, detail }, { cause: error });
}
