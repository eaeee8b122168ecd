// Who asks an HTTP server, and for which of its names. Against DNS rebinding: that needs a name of the attacker's; an address or our own
// name cannot be rebound.
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { TaplineError } from "#domain/errors.ts";

const hostOf = (authority: string): string => {
  const url = URL.parse(`http://${authority}`);
  return url ? url.hostname.replace(/^\[|\]$/g, "") : "";
};

/** A check for a server that listens on `host`; it throws API_HOST_REFUSED for another's name, and for a page of another site. */
export function requestGuard(host: string): (headers: IncomingHttpHeaders) => void {
  const names = new Set(["localhost", host.toLowerCase(), hostname().toLowerCase()]);
  return ({ host: authority = "", origin }) => {
    const asked = hostOf(authority);
    if (isIP(asked) === 0 && !names.has(asked))
      throw new TaplineError("API_HOST_REFUSED", { host: authority || "no host" });
    if (origin !== undefined && URL.parse(origin)?.host !== URL.parse(`http://${authority}`)?.host)
      throw new TaplineError("API_HOST_REFUSED", { host: `${authority} from ${origin}` });
  };
}

/** Why a server could not listen, as one of the catalogue's errors where it is known. */
export function listenError(cause: unknown, host: string, port: number): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === "EADDRINUSE") return new TaplineError("PORT_IN_USE", { port, host }, { cause });
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return new TaplineError("HOST_NOT_LOCAL", { host }, { cause });
  return cause;
}

export const urlOf = (host: string, port: number): string =>
  `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
