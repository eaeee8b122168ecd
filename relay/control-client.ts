// Asks a relay over its control socket. Enters: a question. Leaves: its result; lines that come before it are handed on one by one.
import { createConnection } from "node:net";
import { catalogue, type ErrorCode, TaplineError } from "#domain/errors.ts";
import { controlAnswer, type ControlAnswer, type ControlRequest, mostLineBytes } from "#domain/relay-control.ts";
import { Lines } from "./lines.ts";

export interface AskOptions {
  readonly path: string;
  readonly more?: (result: unknown) => void;
  readonly signal?: AbortSignal;
}

/** Answers are longer than questions: ten thousand rules with all their figures. */
const mostAnswerBytes = 16 * mostLineBytes;

export async function askRelay(request: ControlRequest, { path, more, signal }: AskOptions): Promise<unknown> {
  const socket = createConnection({ path, ...(signal ? { signal } : {}) });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new TaplineError("RELAY_NOT_RUNNING", { path, detail: unreachable(cause) }, { cause });
  }
  try {
    socket.write(`${JSON.stringify(request)}\n`);
    const lines = new Lines(mostAnswerBytes);
    for await (const part of socket as AsyncIterable<Buffer>)
      for (const line of lines.take(part)) {
        const answer = controlAnswer.parse(JSON.parse(line.toString("utf8")));
        if (!answer.ok) throw toldError(answer);
        if (answer.more !== true) return answer.result;
        more?.(answer.result);
      }
    throw new TaplineError("CONTROL_UNFINISHED");
  } finally {
    socket.destroy();
  }
}

function unreachable(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    ENOENT: "there is no such socket",
    ECONNREFUSED: "nobody listens there",
    EACCES: "permission denied",
  };
  return known[code ?? ""] ?? message;
}

/** The relay's own words, which has filled in what its catalogue leaves open. */
function toldError({ error }: ControlAnswer): Error {
  const { code = "API_FAILED", message = "", hint = "" } = error ?? {};
  const known: ErrorCode = Object.hasOwn(catalogue, code) ? (code as ErrorCode) : "API_FAILED";
  return Object.assign(new TaplineError(known), { message, hint });
}
