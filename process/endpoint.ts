// A small HTTP server beside a process's real work: a few fixed paths, GET only, everything limited. Enters: handlers by path.
// Leaves: their answers, and problems as application/problem+json with the catalogue's code and hint.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { TaplineError } from "#domain/errors.ts";
import { listenError, requestGuard, urlOf } from "./requests.ts";

export interface Request {
  readonly query: URLSearchParams;
  /** aborted when the asker went away or the server closes */
  readonly signal: AbortSignal;
}
export interface Answer {
  readonly status?: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}
/** One that streams writes to `response` itself, and returns nothing. */
export type Handler = (request: Request, response: ServerResponse) => Answer | Promise<Answer | undefined>;

export interface EndpointOptions {
  readonly host: string;
  /** 0 takes any free one */
  readonly port: number;
  readonly paths: Readonly<Record<string, Handler>>;
  /** Answer only requests to this machine's own names. */
  readonly guarded: boolean;
  /** Told of a handler that failed in a way nobody foresaw. */
  readonly failed: (path: string, error: unknown) => void;
  /** a client that does not read is cut off after this; also the longest an answer may take to begin */
  readonly idleMs?: number;
}

export interface Endpoint {
  readonly url: string;
  /** Takes no more, lets answers finish until the signal is aborted, then cuts them off. */
  close(signal?: AbortSignal): Promise<void>;
}

const mostConnections = 64;

export async function startEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const { host, port, paths, failed } = options;
  const closing = new AbortController();
  const guard = options.guarded ? requestGuard(host) : undefined;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [path = "", query = ""] = (request.url ?? "").split("?", 2);
    try {
      guard?.(request.headers);
      const handler = Object.hasOwn(paths, path) ? paths[path] : undefined;
      if (!handler) {
        const known = Object.keys(paths).join(", ");
        throw new TaplineError("ENDPOINT_NOT_FOUND", { path: path.slice(0, 200), known });
      }
      if (request.method !== "GET" && request.method !== "HEAD")
        throw new TaplineError("ENDPOINT_BAD_METHOD", { method: request.method ?? "?" });
      const gone = new AbortController();
      response.once("close", () => gone.abort());
      const signal = AbortSignal.any([gone.signal, closing.signal]);
      const said = await handler({ query: new URLSearchParams(query), signal }, response);
      // Else the connection would wait for a next request, and closing for it.
      if (closing.signal.aborted) response.shouldKeepAlive = false;
      if (said) send(response, said);
    } catch (error) {
      if (!(error instanceof TaplineError) && !response.destroyed) failed(path, error);
      if (response.headersSent || response.destroyed) response.destroy();
      else send(response, problem(error, path));
    }
  };

  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 5000,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => {
      request.resume(); // a body is of no interest, and must not hold the connection up
      void answer(request, response);
    },
  );
  server.maxConnections = mostConnections;
  server.setTimeout(options.idleMs ?? 30_000);
  await listen(server, host, port);

  return {
    url: urlOf(host, (server.address() as AddressInfo).port),
    close: async (signal) => {
      closing.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const cut = (): void => server.closeAllConnections();
      if (signal?.aborted) cut();
      signal?.addEventListener("abort", cut, { once: true });
      await closed;
      signal?.removeEventListener("abort", cut);
    },
  };
}

const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(listenError(cause, host, port)));
    server.listen({ host, port }, resolve);
  });

/** RFC 9457, in the shape of the API's. */
function problem(error: unknown, instance: string): Answer {
  const known =
    error instanceof TaplineError ? error : new TaplineError("API_FAILED", { detail: (error as Error).message });
  const { code, message: detail, hint, status } = known;
  const title = code.toLowerCase().replaceAll("_", " ");
  const body = JSON.stringify({ type: `urn:tapline:error:${code}`, title, status, code, detail, hint, instance });
  return { status, type: "application/problem+json", body: `${body}\n` };
}

function send(response: ServerResponse, { status = 200, type, body, headers = {} }: Answer): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    "content-type": type,
    "content-length": bytes.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...headers,
  });
  response.end(bytes); // Node leaves it out for HEAD
}
