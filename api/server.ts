// The HTTP server: source → routes, with documentation, metrics, limits and guards around them.
import { readFileSync } from "node:fs";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from "fastify";
import { jsonSchemaTransform, validatorCompiler } from "fastify-type-provider-zod";
import { TaplineError } from "#domain/errors.ts";
import { listenError, urlOf } from "#process/requests.ts";
import { version } from "#process/version.ts";
import { openDatabase } from "./database-source.ts";
import { serveLive, type Live } from "./live.ts";
import { guard, requireToken } from "./guard.ts";
import { serveMetrics } from "./metrics.ts";
import { answerProblems } from "./problem.ts";
import { type RelaySource, serveRelayRoutes } from "./relay-routes.ts";
import { serveRoutes } from "./routes.ts";
import type { Source } from "./source.ts";

export interface HttpOptions {
  /** false: it answers ask() alone */
  readonly listen?: boolean;
  /** 0 takes any free one */
  readonly port?: number;
  readonly host?: string;
  /** required on any address that is not loopback */
  readonly token?: string;
  /** a file that holds the token; for command lines, which everybody on the machine can read */
  readonly tokenFile?: string;
  readonly logger?: FastifyBaseLogger;
  /** closes the server when aborted */
  readonly signal?: AbortSignal;
  /** requests a minute from one address */
  readonly requestsPerMinute?: number;
}

export interface ServeOptions extends HttpOptions {
  /** a database's path, or whoever else answers */
  readonly db: string | Source;
  /** of a running sensor: what its database does not hold */
  readonly live?: Live;
  /** see store/reader.ts */
  readonly flowsInMemory?: number;
}

export interface Served {
  readonly url: string;
  /** What a GET of this path would answer, for who asks by another way than HTTP. */
  ask(path: string): Promise<{ readonly status: number; readonly type: string; readonly body: Uint8Array }>;
  /** Answers what was asked, then ends. */
  close(): Promise<void>;
}

// On closing, connections that wait for their next request must not hold the server up.
const serverOptions = { forceCloseConnections: "idle" } as const;

/** Of a database, and of the sensor that writes it. */
export async function serve(options: ServeOptions): Promise<Served> {
  const { db, live } = options;
  options.signal?.throwIfAborted();
  const limits = options.flowsInMemory === undefined ? {} : { flowsInMemory: options.flowsInMemory };
  const token = tokenOf(options);
  const source = typeof db === "string" ? await openDatabase(db, limits) : db;
  return serveHttp(options, token, (app) => {
    app.addHook("onClose", () => source.close());
    // A sensor has its own metrics, on a port of their own.
    if (!live) serveMetrics(app, source);
    serveRoutes(app, source, version, live);
    if (live) serveLive(app, live);
  });
}

/** Of a running relay. */
export const serveRelay = async (options: HttpOptions, relay: RelaySource): Promise<Served> =>
  serveHttp(options, tokenOf(options), (app) => serveRelayRoutes(app, relay));

/** Undefined when none is needed. */
function tokenOf(options: HttpOptions): string | undefined {
  const token = options.tokenFile === undefined ? options.token : readToken(options.tokenFile);
  if (options.listen ?? true) requireToken(options.host ?? "127.0.0.1", token);
  return token;
}

async function serveHttp(
  options: HttpOptions,
  token: string | undefined,
  routes: (app: FastifyInstance) => void,
): Promise<Served> {
  const { port = 3001, host = "127.0.0.1", signal } = options;
  const app: FastifyInstance = options.logger
    ? Fastify({
        loggerInstance: options.logger,
        logController: new LogController({ disableRequestLogging: true }),
        ...serverOptions,
      })
    : Fastify(serverOptions);
  try {
    await build(app, options, token);
    routes(app);
    if (options.listen ?? true) await listen(app, port, host);
    else await app.ready();
  } catch (error) {
    await app.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    signal?.removeEventListener("abort", onAbort);
    await app.close();
  };
  const onAbort = (): void => void close();
  signal?.addEventListener("abort", onAbort, { once: true });
  const bound = app.addresses()[0];
  const actual = typeof bound === "object" ? bound.port : port;
  const headers = { host: "localhost", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  return {
    url: urlOf(host, actual),
    ask: async (path) => {
      const { statusCode, headers: given, rawPayload } = await app.inject({ method: "GET", url: path, headers });
      return { status: statusCode, type: String(given["content-type"]), body: rawPayload };
    },
    close,
  };
}

function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (cause) {
    throw new TaplineError("FILE_UNREADABLE", { path, detail: (cause as Error).message }, { cause });
  }
}

async function build(
  app: FastifyInstance,
  { host = "127.0.0.1", requestsPerMinute = 6000 }: HttpOptions,
  token: string | undefined,
): Promise<void> {
  app.setValidatorCompiler(validatorCompiler);
  // The types have seen to the shape of answers already; checking a thousand flows again would cost more than finding them.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  answerProblems(app);
  guard(app, host, token);
  await app.register(helmet, {
    contentSecurityPolicy: { directives: { "upgrade-insecure-requests": null } },
    hsts: false,
  });
  await app.register(rateLimit, {
    max: requestsPerMinute,
    timeWindow: "1 minute",
    errorResponseBuilder: (_, { after, max }) =>
      new TaplineError("API_RATE_LIMITED", { limit: max, window: `1 minute; wait ${after}` }),
  });
  await app.register(swagger, {
    openapi: {
      info: {
        title: "Tapline",
        version,
        description: "Where packets get lost. Errors are application/problem+json with a code and a hint.",
      },
    },
    transform: jsonSchemaTransform,
  });
  await app.register(swaggerUi, {
    routePrefix: "/api/docs",
    uiConfig: { validatorUrl: null },
    // Everything from here, nothing from elsewhere, and no upgrade to https, which is not spoken here.
    staticCSP:
      "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; frame-ancestors 'none'",
  });
}

async function listen(app: FastifyInstance, port: number, host: string): Promise<void> {
  try {
    await app.listen({ port, host });
  } catch (cause) {
    throw listenError(cause, host, port);
  }
}
