// The one connection to NATS, in the background and for ever. Whoever sends asks for `session`, the client of the connection that
// stands, or gets each new one by onSession(). A session is never brought back to life: after a loss there is a new one, made with
// credentials and certificates as they are then. So nothing queues in the client while NATS is away.
import { setTimeout as sleep } from "node:timers/promises";
import { Events, type NatsConnection, type Status } from "nats";
import { TaplineError } from "#domain/errors.ts";
import { type Access, accessOptions } from "./access.ts";
import { parseServer, type ServerAddress } from "./address.ts";
import type { Conditions } from "./conditions.ts";
import { dial } from "./dial.ts";
import { busError } from "./failure.ts";

export interface BusOptions extends Access {
  readonly servers: readonly string[];
  /** shown in the server's list of connections */
  readonly name: string;
  /** replies to our requests arrive below it: domain/subjects */
  readonly inboxPrefix: string;
  readonly conditions: Conditions;
  /** ns since 1970 */
  readonly now: () => bigint;
  /** [0, 1) */
  readonly random?: () => number;
  /** for one server to answer */
  readonly attemptMs?: number;
  /** first and longest pause between attempts; half of it is random */
  readonly pauseMs?: readonly [first: number, longest: number];
  /** ends the connection at once, without a drain */
  readonly signal?: AbortSignal;
}

export interface BusState {
  /** connecting: never yet; away: was, and will be again */
  readonly state: "connecting" | "connected" | "away" | "closed";
  /** ns since 1970 */
  readonly since: bigint;
  /** host:port of the server that is, or was last, connected */
  readonly server: string | undefined;
  /** connections after the first */
  readonly reconnects: number;
  readonly lastError: TaplineError | undefined;
}

/** A server that died without a word is noticed after two of these unanswered. */
const pingMs = 10_000;

export class BusConnection {
  readonly #options: BusOptions;
  readonly #servers: readonly ServerAddress[];
  readonly #listeners = new Set<(session: NatsConnection) => void>();
  readonly #ending = new AbortController();
  readonly #ended: Promise<void>;
  #session: NatsConnection | undefined;
  #state: BusState;

  /** Starts at once and returns at once. Throws BUS_BAD_ADDRESS. */
  constructor(options: BusOptions) {
    this.#options = options;
    const random = options.random ?? Math.random;
    // Each sensor begins elsewhere in the list.
    const first = Math.floor(random() * options.servers.length);
    const servers = options.servers.map(parseServer);
    if (servers.length === 0) throw new TaplineError("BUS_BAD_ADDRESS", { address: '""', detail: "there is none" });
    this.#servers = [...servers.slice(first), ...servers.slice(0, first)];
    this.#state = { state: "connecting", since: options.now(), server: undefined, reconnects: 0, lastError: undefined };
    const signal = AbortSignal.any([this.#ending.signal, ...(options.signal ? [options.signal] : [])]);
    this.#ended = this.#run(signal, random);
  }

  get state(): BusState {
    return this.#state;
  }

  /** Undefined while NATS is away. */
  get session(): NatsConnection | undefined {
    return this.#session?.isClosed() === true ? undefined : this.#session;
  }

  /** Called with the session that stands, if one does, and with every later one. Returns what ends it. */
  onSession(listener: (session: NatsConnection) => void): () => void {
    this.#listeners.add(listener);
    if (this.session) listener(this.session);
    return () => void this.#listeners.delete(listener);
  }

  /** Sends what is on its way, lets subscriptions finish, closes. Never longer than the deadline. */
  async drain(deadlineMs: number): Promise<void> {
    const session = this.session;
    if (session && !session.isDraining()) {
      const deadline = new AbortController();
      await Promise.race([
        session.drain(),
        sleep(deadlineMs, undefined, { signal: deadline.signal }).catch(() => {}), // ended by the drain
      ]);
      deadline.abort();
    }
    this.#ending.abort();
    await this.#ended;
  }

  async #run(signal: AbortSignal, random: () => number): Promise<void> {
    const [firstMs, longestMs] = this.#options.pauseMs ?? [500, 10_000];
    let failures = 0;
    for (let turn = 0; !signal.aborted; turn++) {
      const server = this.#servers[turn % this.#servers.length] as ServerAddress;
      try {
        await this.#hold(await this.#attempt(server, signal), server, signal);
        failures = 0;
      } catch (cause) {
        if (signal.aborted) break;
        failures++;
        this.#failed(server, busError(cause, server.text, this.#options.tls !== undefined || server.encrypted));
      }
      // With several servers the pause comes after each has had its turn.
      const rounds = Math.floor(failures / this.#servers.length);
      if (failures > 0 && failures % this.#servers.length !== 0) continue;
      const pause = Math.min(longestMs, firstMs * 2 ** Math.min(rounds, 20));
      await sleep(pause * (0.5 + random() / 2), undefined, { signal }).catch(() => {}); // the loop looks at the signal
    }
    this.#set({ state: "closed" });
  }

  async #attempt(server: ServerAddress, signal: AbortSignal): Promise<NatsConnection> {
    return dial(
      {
        ...(await accessOptions(this.#options, server)),
        servers: server.text,
        name: this.#options.name,
        inboxPrefix: this.#options.inboxPrefix,
        timeout: this.#options.attemptMs ?? 5000,
        pingInterval: pingMs,
        maxPingOut: 2,
        reconnect: false,
        resolve: false, // the system's resolver, which knows /etc/hosts, and within the time-out
        noAsyncTraces: true,
      },
      signal,
    );
  }

  /** Until the session ends. */
  async #hold(session: NatsConnection, server: ServerAddress, signal: AbortSignal): Promise<void> {
    const { conditions } = this.#options;
    const close = (): void => void session.close();
    signal.addEventListener("abort", close, { once: true });
    const before = this.#state;
    this.#session = session;
    this.#set({
      state: "connected",
      server: server.text,
      reconnects: before.reconnects + (before.server === undefined ? 0 : 1),
    });
    conditions.clearAll("server ");
    conditions.clearAll("permission "); // they may have been granted meanwhile
    try {
      void this.#listen(session); // forgotten with the session
      for (const listener of this.#listeners) listener(session);
      const reason = await session.closed();
      if (signal.aborted) return;
      const error = reason instanceof Error ? busError(reason, server.text) : undefined;
      this.#failed(
        server,
        error?.code === "BUS_REFUSED"
          ? error
          : new TaplineError("BUS_LOST", {
              servers: server.text,
              detail: String(error?.details["detail"] ?? "the server closed it"),
            }),
      );
    } finally {
      this.#session = undefined;
      signal.removeEventListener("abort", close);
      await session.close();
    }
  }

  async #listen(session: NatsConnection): Promise<void> {
    for await (const status of session.status()) this.#noticed(status);
  }

  /** The server refuses a subject, and says so some time after it was used. */
  #noticed(status: Status): void {
    const refused = (status as { permissionContext?: { operation: string; subject: string } }).permissionContext;
    if (status.type !== Events.Error || !refused) return;
    if (refused.subject.startsWith("$JS.API.")) return; // a request, and an optional one: who made it got the refusal
    const operation = refused.operation === "publish" ? "publish to" : "subscribe to";
    this.#options.conditions.raise(
      `permission ${operation} ${refused.subject}`,
      new TaplineError("BUS_NOT_PERMITTED", { operation, subject: refused.subject }),
    );
  }

  #failed(server: ServerAddress, error: TaplineError): void {
    this.#set({ state: this.#state.server === undefined ? "connecting" : "away", lastError: error });
    this.#options.conditions.raise(`server ${server.text}`, error);
  }

  #set(change: Partial<BusState>): void {
    const since = change.state !== this.#state.state ? this.#options.now() : this.#state.since;
    this.#state = { ...this.#state, ...change, since };
  }
}
