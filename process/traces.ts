// OpenTelemetry traces: `traced` around start-up, queries and flushes. Without an endpoint nothing of the SDK is loaded and `traced` only calls its
// work. What cannot be delivered is counted and told once; it never reaches the work.
import { AsyncLocalStorage } from "node:async_hooks";
import type { Attributes, Context, Span, Tracer } from "@opentelemetry/api";
import type { ReadableSpan, SpanExporter, SpanProcessor } from "@opentelemetry/sdk-trace";
import { TaplineError } from "#domain/errors.ts";
import type { Log } from "./log.ts";

export interface TracesOptions {
  /** of an OpenTelemetry collector, OTLP over HTTP; absent: no traces */
  readonly endpoint: string | undefined;
  readonly service: string;
  readonly version: string;
  readonly attributes?: Attributes;
  readonly log: Log;
  /** longest time a span waits for others to be sent with it */
  readonly delayMs?: number;
}

export interface Traces {
  /** Spans that were not delivered: not taken by the collector, more than could wait, or left at the end. */
  lost(): number;
  /** Sends what waits, until the signal is aborted. */
  close(signal?: AbortSignal): Promise<void>;
}

/** What work may say of itself while it runs. */
export interface Traced {
  set(attributes: Attributes): void;
}

type Run = <T>(name: string, attributes: Attributes, work: (span: Traced) => T) => T;

const silent: Traced = { set: () => {} };
let run: Run | undefined;

/** Calls `work`, which may be asynchronous, as a span; spans inside it become its children. */
export const traced = <T>(name: string, attributes: Attributes, work: (span: Traced) => T): T =>
  run === undefined ? work(silent) : run(name, attributes, work);

const mostWaiting = 2048;
const exportTimeoutMs = 5000;

export async function startTraces(options: TracesOptions): Promise<Traces> {
  const { endpoint, log } = options;
  if (endpoint === undefined) return { lost: () => 0, close: () => Promise.resolve() };
  const [api, { BatchSpanProcessor, TracerProvider }, { OTLPTraceExporter }, { resourceFromAttributes }] =
    await Promise.all([
      import("@opentelemetry/api"),
      import("@opentelemetry/sdk-trace"),
      import("@opentelemetry/exporter-trace-otlp-http"),
      import("@opentelemetry/resources"),
    ]);
  const base = endpoint.replace(/\/+$/, "");
  const url = base.endsWith("/v1/traces") ? base : `${base}/v1/traces`;
  const delivery = countedDelivery(new OTLPTraceExporter({ url, timeoutMillis: exportTimeoutMs }), (error) => {
    const cause = new TaplineError("TRACES_FAILED", { endpoint, detail: error.message });
    log.warning("failed to deliver traces; the next failures are only counted", { error: cause });
  });
  const batches = new BatchSpanProcessor({
    exporter: delivery.exporter,
    maxQueueSize: mostWaiting,
    scheduledDelayMillis: options.delayMs ?? 2000,
    exportTimeoutMillis: exportTimeoutMs * 2,
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": options.service,
      "service.version": options.version,
      ...options.attributes,
    }),
    spanProcessors: [delivery.before(batches)],
  });
  run = runWith(provider.getTracer(options.service, options.version), api);

  return {
    lost: delivery.lost,
    close: async (signal) => {
      run = undefined;
      const late = new Promise<void>((resolve) => {
        if (signal?.aborted) resolve();
        signal?.addEventListener("abort", () => resolve(), { once: true });
      });
      await Promise.race([provider.shutdown(), late]);
      delivery.giveUp();
    },
  };
}

function runWith(tracer: Tracer, api: typeof import("@opentelemetry/api")): Run {
  const current = new AsyncLocalStorage<Context>();
  const fail = (span: Span, error: unknown): void => {
    const known = error instanceof Error ? error : new Error(String(error));
    span.recordException(known);
    const { code } = known as { code?: unknown };
    if (typeof code === "string") span.setAttribute("error.type", code);
    span.setStatus({ code: api.SpanStatusCode.ERROR, message: known.message });
  };
  return (name, attributes, work) => {
    const parent = current.getStore() ?? api.ROOT_CONTEXT;
    const span = tracer.startSpan(name, { attributes }, parent);
    const said: Traced = { set: (more) => void span.setAttributes(more) };
    return current.run(api.trace.setSpan(parent, span), () => {
      let ends = true;
      try {
        const result = work(said);
        if (result instanceof Promise) {
          ends = false;
          // The caller has the promise itself, and with it the failure.
          result.then(
            () => span.end(),
            (error: unknown) => {
              fail(span, error);
              span.end();
            },
          );
        }
        return result;
      } catch (error) {
        fail(span, error);
        throw error;
      } finally {
        if (ends) span.end();
      }
    });
  };
}

interface CountedDelivery {
  readonly exporter: SpanExporter;
  /** The processor with the limit before it: what does not fit is counted, which the processor itself would not tell. */
  before(inner: SpanProcessor): SpanProcessor;
  lost(): number;
  giveUp(): void;
}

function countedDelivery(inner: SpanExporter, tell: (error: Error) => void): CountedDelivery {
  let lost = 0;
  let waiting = 0;
  let failing = false;
  let over = false;
  return {
    exporter: {
      export: (spans, done) =>
        inner.export(spans, (result) => {
          const failed = result.code !== 0; // ExportResultCode.SUCCESS
          if (!over) {
            waiting -= spans.length;
            if (failed) lost += spans.length;
          }
          if (failed && !failing && !over) tell(result.error ?? new Error("the collector refused them"));
          failing = failed;
          done({ code: 0 }); // told above; the SDK would only print it
        }),
      shutdown: () => inner.shutdown(),
      forceFlush: () => inner.forceFlush?.() ?? Promise.resolve(),
    },
    before: (next) => ({
      onStart: (span, parent) => next.onStart(span, parent),
      onEnd: (span: ReadableSpan) => {
        if (over || waiting >= mostWaiting) {
          lost++;
          return;
        }
        waiting++;
        next.onEnd(span);
      },
      forceFlush: () => next.forceFlush(),
      shutdown: () => next.shutdown(),
    }),
    lost: () => lost,
    giveUp: () => {
      over = true;
      lost += waiting;
      waiting = 0;
    },
  };
}
