// What happens now, for who listens: /api/v1/stream as server-sent events.
//
// Events are numbered and kept in one bounded history. A listener is no more than a place in it: one that reads slowly,
// stops reading or comes back with Last-Event-ID goes on from its place, and is told how many events it missed when
// the history no longer reaches that far. So nothing is kept per listener, and pausing costs nothing.
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { ServerResponse } from "node:http";
import { z } from "zod";
import { TaplineError } from "#domain/errors.ts";

/** report: the sensor's figures, once a second. findings: gaps, as a list. condition: raised or cleared. */
export const eventKinds = ["report", "findings", "condition"] as const;
export type EventKind = (typeof eventKinds)[number];

interface Event {
  readonly id: number;
  readonly kind: EventKind;
  readonly text: string;
}

interface Listener {
  readonly to: ServerResponse;
  readonly kinds: ReadonlySet<EventKind>;
  /** of the next event */
  place: number;
  quietMs: number;
}

export interface StreamLimits {
  /** events kept */
  readonly history: number;
  /** characters kept */
  readonly characters: number;
  readonly listeners: number;
  /** findings gathered into one event, at most; what comes before the next flush beyond it becomes a further event */
  readonly batch: number;
  readonly flushMs: number;
}
const usual: StreamLimits = { history: 4096, characters: 16e6, listeners: 32, batch: 500, flushMs: 250 };
const heartbeatMs = 15_000;

export class Stream {
  readonly #limits: StreamLimits;
  readonly #history: Event[] = [];
  readonly #listeners = new Set<Listener>();
  /** Runs while somebody listens or findings wait: what nobody hears wakes no process. */
  #timer: NodeJS.Timeout | undefined;
  #characters = 0;
  #next = 1;
  #findings: unknown[] = [];

  constructor(limits: Partial<StreamLimits> = {}) {
    this.#limits = { ...usual, ...limits };
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  publish(kind: Exclude<EventKind, "findings">, value: unknown): void {
    this.#keep(kind, value);
  }

  /** Gathered until the next flush: a thousand gaps a second are four events, not a thousand. */
  findings(list: readonly unknown[]): void {
    for (const one of list) {
      this.#findings.push(one);
      if (this.#findings.length >= this.#limits.batch) this.#keepFindings();
    }
    this.#wake();
  }

  flush(): void {
    this.#keepFindings();
    for (const listener of this.#listeners) this.#serve(listener);
    if (this.#listeners.size === 0) this.#rest();
  }

  /** Refused when too many listen already. `after`: the last event it has seen, when it comes back. */
  listen(to: ServerResponse, kinds: ReadonlySet<EventKind>, after: number | undefined): void {
    if (this.#listeners.size >= this.#limits.listeners)
      throw new TaplineError("API_OVERLOADED", { limit: this.#limits.listeners });
    const known = after !== undefined && after < this.#next;
    const listener = { to, kinds, place: known ? after + 1 : this.#next, quietMs: 0 };
    this.#listeners.add(listener);
    to.on("close", () => this.#listeners.delete(listener));
    to.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no", // a proxy must not wait for more
    });
    to.write("retry: 2000\n\n");
    this.#serve(listener);
    this.#wake();
  }

  close(): void {
    this.flush();
    this.#rest();
    for (const { to } of this.#listeners) to.end();
  }

  #wake(): void {
    this.#timer ??= setInterval(() => this.flush(), this.#limits.flushMs).unref();
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #keepFindings(): void {
    if (this.#findings.length === 0) return;
    this.#keep("findings", this.#findings);
    this.#findings = [];
  }

  #keep(kind: EventKind, value: unknown): void {
    const text = JSON.stringify(value);
    this.#history.push({ id: this.#next++, kind, text });
    this.#characters += text.length;
    while (this.#history.length > this.#limits.history || this.#characters > this.#limits.characters)
      this.#characters -= this.#history.shift()?.text.length ?? 0;
  }

  #serve(listener: Listener): void {
    const { to } = listener;
    const oldest = this.#next - this.#history.length;
    if (listener.place < oldest && !to.writableNeedDrain) {
      to.write(`event: missed\ndata: ${JSON.stringify({ events: oldest - listener.place })}\n\n`);
      listener.place = oldest;
    }
    const before = listener.place;
    // A full socket is left alone until it has drained: its place waits in the history.
    while (listener.place < this.#next && !to.writableNeedDrain) {
      const event = this.#history[listener.place - oldest];
      listener.place++;
      if (event && listener.kinds.has(event.kind))
        to.write(`id: ${event.id}\nevent: ${event.kind}\ndata: ${event.text}\n\n`);
    }
    listener.quietMs = listener.place > before ? 0 : listener.quietMs + this.#limits.flushMs;
    if (listener.quietMs >= heartbeatMs && !to.writableNeedDrain) {
      to.write(": still here\n\n");
      listener.quietMs = 0;
    }
  }
}

const streamQuery = z.strictObject({
  types: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(z.enum(eventKinds)).min(1))
    .optional()
    .describe(`which events, joined by commas: ${eventKinds.join(", ")}; all when left out`),
});

export function serveStream(plain: FastifyInstance, stream: Stream): void {
  const app = plain.withTypeProvider<ZodTypeProvider>();
  app.get(
    "/api/v1/stream",
    {
      schema: {
        querystring: streamQuery,
        summary: "What happens now, as server-sent events; Last-Event-ID resumes",
      },
    },
    (request, reply) => {
      const last = request.headers["last-event-id"];
      const after = typeof last === "string" && /^\d{1,15}$/.test(last) ? Number(last) : undefined;
      stream.listen(reply.raw, new Set(request.query.types ?? eventKinds), after);
      reply.hijack();
    },
  );
  app.addHook("preClose", async () => stream.close());
}
