// Answers questions of the fleet as a NATS micro service, `tapline-sensor` or `tapline-relay`. What it answers is the API's own: the answering function
// is given. Enters: a message with a path. Leaves: the body, with Tapline-Status, Content-Type and, when it was large,
// Content-Encoding: gzip; every refusal is application/problem+json.
import { promisify } from "node:util";
import { constants, gzip as gzipCallback } from "node:zlib";
import { headers, type NatsConnection, type NatsError, type Service, type ServiceMsg } from "nats";
import { TaplineError } from "#domain/errors.ts";
import { problemOf, problemType } from "#domain/problem.ts";
import type { BusConnection } from "./connection.ts";
import { parseQuestion } from "./question.ts";

const gzip = promisify(gzipCallback);

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
}

export interface QueryOptions {
  readonly connection: BusConnection;
  readonly service: {
    readonly name: string;
    readonly subject: string;
    readonly metadata: Readonly<Record<string, string>>;
  };
  /** semantic version */
  readonly version: string;
  readonly answer: (path: string) => Promise<Answer>;
  /** answered at once, and waiting for it */
  readonly limits?: { readonly running: number; readonly waiting: number };
  /** a question that waited longer is refused: its asker has gone */
  readonly patienceMs?: number;
}

export interface QueryFigures {
  readonly answered: number;
  /** malformed */
  readonly refused: number;
  /** no room, or waited too long */
  readonly overloaded: number;
  /** larger than a message */
  readonly tooLarge: number;
  /** the answering function failed */
  readonly failed: number;
  /** the connection was lost before the answer */
  readonly unsent: number;
}

/** Bodies from here on are compressed. */
const largeBytes = 4096;
/** Headers are part of the payload, for the server's limit. */
const headerRoom = 1024;
/** Until a service whose subjects were refused is tried again. */
const refusedMs = 30_000;

interface Waiting {
  readonly message: ServiceMsg;
  readonly since: number;
}

export class QueryService {
  readonly #options: QueryOptions;
  readonly #waiting: Waiting[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #forget: () => void;
  #service: Service | undefined;
  #again: NodeJS.Timeout | undefined;
  #figures = { answered: 0, refused: 0, overloaded: 0, tooLarge: 0, failed: 0, unsent: 0 };

  constructor(options: QueryOptions) {
    this.#options = options;
    this.#forget = options.connection.onSession((session) => void this.#serve(session));
  }

  get #limits(): { readonly running: number; readonly waiting: number } {
    return this.#options.limits ?? { running: 8, waiting: 64 };
  }

  get figures(): QueryFigures {
    return { ...this.#figures };
  }

  /** Takes no more questions, and waits for the answers under way, at most so long. */
  async drain(deadlineMs: number): Promise<void> {
    this.#forget();
    clearTimeout(this.#again);
    const deadline = Promise.withResolvers<void>();
    const timer = setTimeout(deadline.resolve, deadlineMs);
    const finished = async (): Promise<void> => {
      await this.#service?.stop();
      while (this.#running.size > 0) await Promise.all(this.#running);
    };
    await Promise.race([finished(), deadline.promise]);
    clearTimeout(timer);
  }

  async #serve(session: NatsConnection): Promise<void> {
    clearTimeout(this.#again);
    try {
      this.#service = await this.#register(session);
      const error = await this.#service.stopped;
      // It ends when the server refuses one of its subjects; the connection has told that. Permissions can change.
      if (error && !session.isClosed()) this.#again = setTimeout(() => void this.#serve(session), refusedMs);
    } catch (cause) {
      if (!isClosed(cause)) throw cause; // else the next session begins anew
    }
  }

  async #register(session: NatsConnection): Promise<Service> {
    const { version } = this.#options;
    const { name, subject, metadata } = this.#options.service;
    const service = await session.services.add({
      name,
      version,
      description: "answers what its API answers",
      metadata,
    });
    service.addEndpoint("query", {
      subject,
      handler: (_error, message) => this.#take(message),
    });
    return service;
  }

  #take(message: ServiceMsg): void {
    if (message.reply === "") return; // nobody waits for it
    const { running, waiting } = this.#limits;
    if (this.#running.size < running) this.#start(message);
    else if (this.#waiting.length < waiting) this.#waiting.push({ message, since: performance.now() });
    else this.#overload(message, waiting);
  }

  #start(message: ServiceMsg): void {
    const work: Promise<void> = this.#reply(message).finally(() => {
      this.#running.delete(work);
      this.#next();
    });
    this.#running.add(work);
  }

  #next(): void {
    const { waiting } = this.#limits;
    while (this.#waiting.length > 0 && this.#running.size < this.#limits.running) {
      const { message, since } = this.#waiting.shift() as Waiting;
      if (performance.now() - since <= (this.#options.patienceMs ?? 10_000)) this.#start(message);
      else this.#overload(message, waiting);
    }
  }

  #overload(message: ServiceMsg, limit: number): void {
    this.#figures.overloaded++;
    this.#problem(message, new TaplineError("BUS_OVERLOADED", { limit }), message.subject);
  }

  async #reply(message: ServiceMsg): Promise<void> {
    let path = message.subject;
    try {
      path = parseQuestion(message.data);
      if (await this.#send(message, await this.#options.answer(path))) this.#figures.answered++;
    } catch (cause) {
      const error =
        cause instanceof TaplineError
          ? cause
          : new TaplineError(
              "API_FAILED",
              { detail: cause instanceof Error ? cause.message : String(cause) },
              { cause },
            );
      if (error.code === "BUS_BAD_QUERY") this.#figures.refused++;
      else if (error.code === "BUS_ANSWER_TOO_LARGE") this.#figures.tooLarge++;
      else this.#figures.failed++;
      this.#problem(message, error, path);
    }
  }

  async #send(message: ServiceMsg, { status, type, body }: Answer): Promise<boolean> {
    const large = body.length >= largeBytes;
    const data = large ? await gzip(body, { level: constants.Z_BEST_SPEED }) : body;
    const limit = (this.#options.connection.session?.info?.max_payload ?? 1 << 20) - headerRoom;
    if (data.length > limit) throw new TaplineError("BUS_ANSWER_TOO_LARGE", { bytes: data.length, limit });
    return this.#respond(message, data, status, type, large);
  }

  #problem(message: ServiceMsg, error: TaplineError, instance: string): void {
    const body = new TextEncoder().encode(JSON.stringify(problemOf(error, instance)));
    this.#respond(message, body, error.status, problemType, false, error.code);
  }

  #respond(
    message: ServiceMsg,
    data: Uint8Array,
    status: number,
    type: string,
    packed: boolean,
    code?: string,
  ): boolean {
    const named = headers();
    named.set("Tapline-Status", String(status));
    named.set("Content-Type", type);
    if (packed) named.set("Content-Encoding", "gzip");
    if (status >= 400) {
      // What tools for micro services show.
      named.set("Nats-Service-Error-Code", String(status));
      named.set("Nats-Service-Error", code ?? `status ${status}`);
    }
    try {
      return message.respond(data, { headers: named });
    } catch (cause) {
      // The session it came by has ended; the asker's request ends with a time-out.
      if (!isClosed(cause)) throw cause;
      this.#figures.unsent++;
      return false;
    }
  }
}

const isClosed = (cause: unknown): boolean =>
  ["CONNECTION_CLOSED", "CONNECTION_DRAINING"].includes((cause as NatsError).code);
