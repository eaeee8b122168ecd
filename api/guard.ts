// Who may ask. On loopback everybody on this machine; elsewhere only who knows the token. And never a page of another site.
import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { TaplineError } from "#domain/errors.ts";
import { isLoopback } from "#domain/network.ts";
import { requestGuard } from "#process/requests.ts";

const shortestToken = 16;

/** Throws when the address is reachable from elsewhere and nothing would keep others out. */
export function requireToken(host: string, token: string | undefined): void {
  if (token === undefined ? !isLoopback(host) : token.length < shortestToken)
    throw new TaplineError("API_TOKEN_REQUIRED", { host });
}

// Digests have one length, so the comparison tells nothing about the token, not even how long it is.
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

export function guard(app: FastifyInstance, host: string, token: string | undefined): void {
  const refuseOthers = requestGuard(host);
  const expected = token === undefined ? undefined : digest(`Bearer ${token}`);
  app.addHook("onRequest", async (request) => {
    refuseOthers(request.headers);
    if (expected && !timingSafeEqual(expected, digest(request.headers.authorization ?? "")))
      throw new TaplineError("API_UNAUTHORIZED");
  });
}
