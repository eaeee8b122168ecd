// Findings to JetStream: buffered while NATS is away, sent in batches, acknowledged one by one. A batch that was not acknowledged
// is sent again under the same id, which the server stores once. After any failure one batch at a time goes out, the oldest first,
// until one is acknowledged: so the stream's order is the order of the batches' numbers.
import { ErrorCode, headers, type NatsConnection, type NatsError } from "nats";
import { TaplineError } from "#domain/errors.ts";
import type { Finding } from "#domain/finding.ts";
import { everyFinding, findingStream, findingSubject, type SensorPlace } from "#domain/subjects.ts";
import type { Conditions } from "./conditions.ts";
import type { BusConnection } from "./connection.ts";
import { type Batch, type BufferLimits, FindingBuffer } from "./finding-buffer.ts";
import { type ApiError, ensureStream, type StreamOptions } from "./stream.ts";

export interface FindingOptions {
  readonly connection: BusConnection;
  readonly conditions: Conditions;
  readonly place: SensorPlace;
  /** names this process among all of the fleet, at most 64 characters: a UUID */
  readonly run: string;
  /** the oldest goes when it is full */
  readonly limits: BufferLimits;
  readonly stream: StreamOptions;
  /** a finding waits so long for others to go with it */
  readonly batchMs?: number;
  /** batches on their way at once */
  readonly window?: number;
  /** for an acknowledgement */
  readonly acknowledgeMs?: number;
  /** first and longest pause after a failure that a new connection does not mend */
  readonly pauseMs?: readonly [first: number, longest: number];
}

export interface FindingFigures {
  /** accepted = acknowledged + waiting + overflowed, at every moment */
  readonly accepted: number;
  readonly acknowledged: number;
  readonly waiting: number;
  readonly overflowed: number;
  /** of what waits */
  readonly bytes: number;
  /** batches sent again */
  readonly retries: number;
  /** of them, stored already: their acknowledgement had been lost */
  readonly duplicates: number;
}

/** A batch is at most so large, and less than the server's max_payload by the room for headers. */
const batchBytes = 256 * 1024;
const headerRoom = 1024;
/** A stream that takes less than this per message is no stream for findings. */
const smallestBatch = 16 * 1024;
const messageTooLarge = 10054;
/** What a look at the stream finds, and a later one finds mended. */
const missing: readonly (string | undefined)[] = ["BUS_NO_JETSTREAM", "BUS_NO_STREAM"];

export class FindingPublisher {
  readonly #options: FindingOptions;
  readonly #buffer: FindingBuffer;
  readonly #subject: string;
  readonly #stream: string;
  readonly #forget: () => void;
  /** the session whose stream has been looked at */
  #session: NatsConnection | undefined;
  #sent = new Set<Batch>();
  readonly #inFlight = new Set<Batch>();
  #window = 1;
  #limit = batchBytes;
  #dissolving = false;
  #failures = 0;
  #retries = 0;
  #duplicates = 0;
  /** what is queued may go now */
  #due = false;
  #batchTimer: NodeJS.Timeout | undefined;
  #pauseTimer: NodeJS.Timeout | undefined;
  #emptied: (() => void) | undefined;
  #closed = false;

  constructor(options: FindingOptions) {
    this.#options = options;
    this.#buffer = new FindingBuffer(options.run, options.limits);
    this.#subject = findingSubject(options.place);
    this.#stream = findingStream(options.place.fleet);
    this.#forget = options.connection.onSession((session) => void this.#begin(session));
  }

  get figures(): FindingFigures {
    const { accepted, acknowledged, waiting, overflowed, bytes } = this.#buffer;
    return {
      accepted,
      acknowledged,
      waiting,
      overflowed,
      bytes,
      retries: this.#retries,
      duplicates: this.#duplicates,
    };
  }

  add(finding: Finding): void {
    this.#buffer.add(finding);
    this.#batchTimer ??= setTimeout(() => {
      this.#due = true;
      this.#pump();
    }, this.#options.batchMs ?? 250);
    if (this.#buffer.queuedBytes >= this.#limit) this.#pump();
  }

  /** Sends what waits, for at most so long, and ends. What waits then is lost, and stands in `waiting`. */
  async drain(deadlineMs: number): Promise<void> {
    this.#due = true;
    const emptied = new Promise<void>((resolve) => {
      this.#emptied = resolve;
    });
    const deadline = setTimeout(() => this.#emptied?.(), deadlineMs);
    this.#pump();
    await emptied;
    clearTimeout(deadline);
    this.#closed = true;
    this.#forget();
    clearTimeout(this.#batchTimer);
    clearTimeout(this.#pauseTimer);
  }

  async #begin(session: NatsConnection): Promise<void> {
    this.#window = 1;
    this.#failures = 0;
    this.#limit = batchBytes;
    this.#session = undefined;
    clearTimeout(this.#pauseTimer);
    this.#pauseTimer = undefined;
    await this.#look(session);
  }

  /** At the stream, and sends when there is one, or when we may not know. */
  async #look(session: NatsConnection): Promise<void> {
    try {
      const { connection, conditions, place, stream, acknowledgeMs = 5000 } = this.#options;
      const kept = await ensureStream(session, place.fleet, stream, acknowledgeMs);
      if (connection.session !== session) return; // another one has begun
      if (kept && missing.includes(conditions.of("findings")?.code)) conditions.clear("findings");
      this.#session = session;
      this.#pump();
    } catch (cause) {
      this.#pause(session, cause);
    }
  }

  /** Sends what may go. */
  #pump(): void {
    if (this.#buffer.waiting === 0) this.#emptied?.();
    const session = this.#session;
    if (!session || session.isClosed() || this.#pauseTimer || this.#closed) return;
    if (this.#dissolving) {
      if (this.#inFlight.size > 0) return;
      this.#dissolving = false;
      this.#buffer.dissolve();
      this.#sent.clear();
    }
    const limit = Math.min(this.#limit, (session.info?.max_payload ?? batchBytes) - headerRoom);
    while (this.#inFlight.size < this.#window) {
      const batch = this.#buffer.batches.find((one) => !this.#inFlight.has(one)) ?? this.#form(limit);
      if (!batch) return;
      void this.#send(session, batch);
    }
  }

  #form(limit: number): Batch | undefined {
    if (!this.#due && this.#buffer.queuedBytes < limit) return undefined;
    const batch = this.#buffer.form(limit);
    if (this.#buffer.queued === 0) {
      this.#due = false;
      clearTimeout(this.#batchTimer);
      this.#batchTimer = undefined;
      if (this.#buffer.waiting === 0) this.#emptied?.();
    }
    return batch;
  }

  async #send(session: NatsConnection, batch: Batch): Promise<void> {
    const { run, conditions, window = 4, acknowledgeMs = 5000 } = this.#options;
    this.#inFlight.add(batch);
    if (this.#sent.has(batch)) this.#retries++;
    this.#sent.add(batch);
    try {
      const named = headers();
      named.set("Nats-Msg-Id", `${run}-${batch.number}`);
      const answer = await session.request(this.#subject, batch.payload, { headers: named, timeout: acknowledgeMs });
      const { error, stream, duplicate } = answer.json<{ error?: ApiError; stream?: string; duplicate?: boolean }>();
      if (error) throw this.#refusal(error);
      if (!stream) throw new Error("somebody else than a stream answered"); // a subscriber that answers keeps nothing
      if (duplicate === true) this.#duplicates++;
      this.#buffer.acknowledge(batch);
      this.#sent.delete(batch);
      this.#window = window;
      this.#failures = 0;
      conditions.clear("findings");
    } catch (cause) {
      this.#window = 1;
      this.#pause(session, cause);
    } finally {
      this.#inFlight.delete(batch);
    }
    this.#pump();
  }

  #refusal({ err_code, description }: ApiError): TaplineError {
    if (err_code === messageTooLarge && this.#limit > smallestBatch) {
      this.#limit = Math.max(smallestBatch, this.#limit / 2);
      this.#dissolving = true;
    }
    return new TaplineError("BUS_STREAM_REFUSED", { stream: this.#stream, detail: `${description} (${err_code})` });
  }

  /** Tries again after a while. A session that ended is followed by another, which begins anew. */
  #pause(session: NatsConnection, cause: unknown): void {
    if (session.isClosed() || session.isDraining() || this.#pauseTimer) return;
    const { conditions, pauseMs: [first, longest] = [250, 10_000] } = this.#options;
    const code = (cause as NatsError).code;
    if (code === ErrorCode.MaxPayloadExceeded) this.#dissolving = true;
    const error = this.#told(cause, code);
    if (error) conditions.raise("findings", error);
    const pause = this.#dissolving ? 0 : Math.min(longest, first * 2 ** Math.min(this.#failures++, 20));
    this.#session = undefined;
    this.#pauseTimer = setTimeout(() => {
      this.#pauseTimer = undefined;
      const next = this.#options.connection.session;
      if (next && !this.#closed) void this.#look(next);
    }, pause);
  }

  #told(cause: unknown, code: string): TaplineError | undefined {
    if (cause instanceof TaplineError) return this.#dissolving ? undefined : cause;
    if (code === ErrorCode.MaxPayloadExceeded) return undefined; // smaller ones follow
    if (code === ErrorCode.PermissionsViolation) return undefined; // the connection tells it, with the subject
    const { fleet } = this.#options.place;
    if (code === ErrorCode.NoResponders)
      return new TaplineError("BUS_NO_STREAM", {
        subject: this.#subject,
        stream: this.#stream,
        every: everyFinding(fleet),
        detail: "nobody acknowledges it",
      });
    const detail = code === ErrorCode.Timeout ? "no acknowledgement in time" : (cause as Error).message;
    return new TaplineError("BUS_STREAM_REFUSED", { stream: this.#stream, detail }, { cause });
  }
}
