// Who may ask. On loopback everybody on this machine; elsewhere only who knows the token. And never a page of another site.
import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { FastifyInstance } from "fastify";
import { TaplineError } from "#domain/errors.ts";
import { isLoopback } from "#domain/network.ts";

const shortestToken = 16;

/** Throws when the address is reachable from elsewhere and nothing would keep others out. */
export function requireToken(host: string, token: string | undefined): void {
  if (token === undefined ? !isLoopback(host) : token.length < shortestToken)
    throw new TaplineError("API_TOKEN_REQUIRED", { host });
}

const hostOf = (authority: string): string => {
  const url = URL.parse(`http://${authority}`);
  return url ? url.hostname.replace(/^\[|\]$/g, "") : "";
};

// Digests have one length, so the comparison tells nothing about the token, not even how long it is.
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

export function guard(app: FastifyInstance, host: string, token: string | undefined): void {
  const names = new Set(["localhost", host.toLowerCase(), hostname().toLowerCase()]);
  const expected = token === undefined ? undefined : digest(`Bearer ${token}`);
  app.addHook("onRequest", async (request) => {
    // DNS rebinding needs a name of the attacker's; an address or our own name cannot be rebound.
    const authority = request.headers.host ?? "";
    const asked = hostOf(authority);
    if (isIP(asked) === 0 && !names.has(asked))
      throw new TaplineError("API_HOST_REFUSED", { host: authority || "no host" });
    const { origin } = request.headers;
    if (origin !== undefined && URL.parse(origin)?.host !== URL.parse(`http://${authority}`)?.host)
      throw new TaplineError("API_HOST_REFUSED", { host: `${authority} from ${origin}` });
    if (expected && !timingSafeEqual(expected, digest(request.headers.authorization ?? "")))
      throw new TaplineError("API_UNAUTHORIZED");
  });
}
