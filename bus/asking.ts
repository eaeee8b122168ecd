// The asker's end of queries.ts. Enters: a session, whom to ask, and a path of the API. Leaves: the answer's JSON, or BUS_UNANSWERED with what was said instead.
import { promisify } from "node:util";
import { gunzip as gunzipCallback } from "node:zlib";
import type { NatsConnection } from "nats";
import { TaplineError } from "#domain/errors.ts";

const gunzip = promisify(gunzipCallback);
/** Of the JSON: a stranger's. */
const mostBytes = 16 * 2 ** 20;

export async function askAgent(session: NatsConnection, subject: string, path: string, timeoutMs: number): Promise<unknown> {
  try {
    const { headers, data } = await session.request(subject, JSON.stringify({ path }), { timeout: timeoutMs });
    const packed = headers?.get("Content-Encoding") === "gzip";
    const body = packed ? await gunzip(data, { maxOutputLength: mostBytes }) : Buffer.from(data);
    const status = headers?.get("Tapline-Status") ?? "";
    if (status !== "200") throw new Error(`${status}: ${body.toString("utf8").slice(0, 200)}`);
    return JSON.parse(body.toString("utf8"));
  } catch (cause) {
    throw new TaplineError("BUS_UNANSWERED", { subject, path, detail: (cause as Error).message }, { cause });
  }
} // biome-ignore format: the signature
