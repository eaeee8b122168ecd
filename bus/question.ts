// A question to a sensor, as it comes over NATS: {"path": "/api/v1/flows?filter=…"}. Only what may be read over HTTP with GET, and
// only what ends. Enters: bytes of a stranger. Leaves: the path, as a URL parser writes it.
import { z } from "zod";
import { TaplineError } from "#domain/errors.ts";

export const questionBytes = 4096;

const question = z.strictObject({ path: z.string() });

const allowed = /^\/(?:api\/v1\/.+|health|healthz)$/;
/** Never ends. */
const endless = "/api/v1/stream";

/** Throws BUS_BAD_QUERY. */
export function parseQuestion(data: Uint8Array): string {
  const bad = (detail: string, cause?: unknown): TaplineError =>
    new TaplineError("BUS_BAD_QUERY", { detail }, { cause });
  if (data.length > questionBytes) throw bad(`it has ${data.length} bytes`);
  let asked: unknown;
  try {
    asked = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (cause) {
    throw bad("it is not JSON", cause);
  }
  const { success, data: found } = question.safeParse(asked);
  if (!success) throw bad("it is not an object with a path, a text, and nothing else");
  // The server behind it reads the path as a URL, so it is judged as one: "/api/v1/../../metrics" is /metrics.
  const url = found.path.startsWith("/") ? URL.parse(found.path, "http://sensor") : null;
  if (url?.host !== "sensor") throw bad("its path does not begin with /api/v1/");
  // … and its router takes %73 for s.
  const plain = decoded(url.pathname)?.replaceAll(/\/+/g, "/").replace(/\/$/, "");
  if (plain === undefined || !allowed.test(plain))
    throw bad(`${url.pathname} is not among /api/v1/…, /health, /healthz`);
  if (plain === endless) throw bad("a stream does not fit into one answer");
  return url.pathname + url.search;
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
