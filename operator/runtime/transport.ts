// HTTP to the Kubernetes API on node's own client. Enters: a request. Leaves: the answer, whole or as a stream, or an error of the catalogue.
// Nothing waits for ever: an answer has a deadline, a stream a longest silence; then the connection is destroyed, since nobody can tell a slow
// peer from one that is gone. Connections of answers are kept and used again; each stream has one of its own.
import { Agent as PlainAgent, type ClientRequest, type IncomingMessage, request as plainRequest } from "node:http";
import { Agent, request } from "node:https";
import { TaplineError } from "#domain/errors.ts";
import type { Access } from "./access.ts";
import { type ApiStatus, apiError, hasCode, isStatus } from "./api-error.ts";

export interface Asked {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** with the query */
  readonly path: string;
  /** for people: "list nodes" */
  readonly what: string;
  readonly body?: { readonly type: string; readonly value: unknown } | undefined;
  readonly signal?: AbortSignal | undefined;
  /** for an answer: until it is whole; for a stream: between any two of its pieces */
  readonly silenceMs: number;
}

interface Opened {
  readonly response: IncomingMessage;
  /** a piece came: the time of silence begins again */
  readonly heard: () => void;
}

const mostSockets = 16;
const mostBytes = 64 << 20;

export class Transport {
  readonly #access: Access;
  readonly #userAgent: string;
  readonly #kept: PlainAgent;
  readonly #single: PlainAgent;
  /** failures of a kept connection that the server had just closed: the request did not reach it */
  readonly #stale = new WeakSet<TaplineError>();

  constructor(access: Access, userAgent: string) {
    this.#access = access;
    this.#userAgent = userAgent;
    const { ca, cert, key, serverName: servername } = access;
    const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }), ...(servername && { servername }) };
    const make = (keepAlive: boolean, maxSockets: number): PlainAgent => {
      const options = { keepAlive, maxSockets, scheduling: "lifo" } as const;
      return access.server.protocol === "http:" ? new PlainAgent(options) : new Agent({ ...options, ...tls });
    };
    this.#kept = make(true, mostSockets);
    this.#single = make(false, Number.POSITIVE_INFINITY);
  }

  /** The answer's JSON. */
  async answer(asked: Asked): Promise<unknown> {
    try {
      return await this.#answer(asked, false);
    } catch (error) {
      // A token that was rotated, or a kept connection that the server closed: once more, anew. What is not idempotent is left to the caller.
      const refused = hasCode(error, "KUBE_UNAUTHORIZED") && this.#access.token;
      const stale = this.#stale.has(error as TaplineError) && asked.method !== "POST";
      if (!refused && !stale) throw error;
      return await this.#answer(asked, true);
    }
  }

  /** The answer's pieces, as they come. Closes the connection when the reader stops. */
  async *stream(asked: Asked): AsyncGenerator<Buffer, void, undefined> {
    const { response, heard } = await this.#open(asked, this.#single, false);
    if (response.statusCode !== 200) await this.#refuse(asked, response);
    try {
      for await (const piece of response) {
        heard();
        yield piece as Buffer;
      }
    } catch (error) {
      throw this.#failure(asked, error);
    } finally {
      response.destroy();
    }
  }

  close(): void {
    this.#kept.destroy();
    this.#single.destroy();
  }

  async #answer(asked: Asked, again: boolean): Promise<unknown> {
    const { response } = await this.#open(asked, this.#kept, again);
    if ((response.statusCode ?? 0) >= 300) return await this.#refuse(asked, response);
    const text = await this.#text(asked, response);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new TaplineError("KUBE_FAILED", { what: asked.what, detail: (cause as Error).message }, { cause });
    }
  }

  async #refuse(asked: Asked, response: IncomingMessage): Promise<never> {
    const http = response.statusCode ?? 0;
    const retryAfter = Number(response.headers["retry-after"]);
    const text = await this.#text(asked, response);
    const said = statusIn(text);
    // Something between us and the API may answer in its own words.
    const status: ApiStatus = said ?? { kind: "Status", message: `HTTP ${http}: ${text.trim().slice(0, 200)}` };
    throw apiError({ http, what: asked.what, status, retryAfter: Number.isNaN(retryAfter) ? undefined : retryAfter });
  }

  async #text(asked: Asked, response: IncomingMessage): Promise<string> {
    const pieces: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const piece of response) {
        pieces.push(piece as Buffer);
        bytes += (piece as Buffer).length;
        if (bytes > mostBytes) throw new Error(`the answer has more than ${mostBytes} bytes`);
      }
    } catch (error) {
      throw this.#failure(asked, error);
    }
    return Buffer.concat(pieces).toString("utf8");
  }

  /** Until the answer's head is there. */
  #open(asked: Asked, agent: PlainAgent, again: boolean): Promise<Opened> {
    const { server, token } = this.#access;
    const { method, path, body, signal, silenceMs } = asked;
    signal?.throwIfAborted();
    const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body.value));
    const headers = {
      accept: "application/json",
      "user-agent": this.#userAgent,
      ...(token && { authorization: `Bearer ${token(again)}` }),
      ...(body && text && { "content-type": body.type, "content-length": text.length }),
    };
    const send = server.protocol === "http:" ? plainRequest : request;
    return new Promise((resolve, reject) => {
      const sent: ClientRequest = send(new URL(path, server), { method, headers, agent });
      let response: IncomingMessage | undefined;
      const end = (error: unknown): void => void (response ?? sent).destroy(error as Error);
      const silent = (): void =>
        end(new TaplineError("KUBE_SILENT", { server: server.host, seconds: silenceMs / 1000, what: asked.what }));
      const timer = setTimeout(silent, silenceMs);
      const aborted = (): void => end(signal?.reason);
      signal?.addEventListener("abort", aborted, { once: true });
      sent.once("close", () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
      });
      sent.on("error", (error) => {
        const failure = this.#failure(asked, error);
        if (sent.reusedSocket && hasCode(failure, "KUBE_UNREACHABLE")) this.#stale.add(failure);
        reject(failure);
      });
      sent.once("response", (message) => {
        response = message;
        resolve({ response: message, heard: () => void timer.refresh() });
      });
      sent.end(text);
    });
  }

  #failure({ what, signal }: Asked, error: unknown): Error {
    if (signal?.aborted) return signal.reason as Error;
    if (error instanceof TaplineError) return error;
    const { message, code } = error as NodeJS.ErrnoException;
    const detail = `${what}: ${message || code}`;
    return new TaplineError("KUBE_UNREACHABLE", { server: this.#access.server.host, detail }, { cause: error });
  }
}

function statusIn(text: string): ApiStatus | undefined {
  try {
    const said: unknown = JSON.parse(text);
    return isStatus(said) ? said : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // no JSON: it is not the API's
    throw error;
  }
}
