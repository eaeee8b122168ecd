// The running sensor: a table of contents of what it is made of. Parts close in the reverse order of their registration: first nothing
// more comes in, then everything on its way arrives, then what it arrived in is closed.
//
//   pinner     puts back what a killed sensor left, plans CPUs and memory
//   store      the database, and the run that begins
//   fleet      what is told and asked by NATS
//   api        what is asked by HTTP
//   capture    interfaces → rings → flows → results, taken into store, fleet and stream
//   beat       once a second: figures → report, metrics, checkpoint, conditions, the memory ladder
import { realpathSync } from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { openDatabase } from "#api/database-source.ts";
import { liveRow, type Live } from "#api/live.ts";
import { restingSource } from "#api/resting-source.ts";
import { serve } from "#api/server.ts";
import { Stream } from "#api/stream.ts";
import type { CaptureFigures } from "#domain/analysis.ts";
import { TaplineError } from "#domain/errors.ts";
import type { SensorConfig } from "#domain/sensor-config.ts";
import { HostFiles } from "#host/files.ts";
import { Losses } from "#host/losses.ts";
import { engine } from "#native/engine.ts";
import type { AgentContext, RunningAgent } from "#process/agent.ts";
import { frameworkLog } from "#process/framework-log.ts";
import { traced } from "#process/traces.ts";
import { version } from "#process/version.ts";
import { StoreWriter } from "#store/writer.ts";
import { Beat } from "./beat.ts";
import { engineError } from "./engine-error.ts";
import type { Fleet, FleetOptions } from "./fleet.ts";
import { liveSummary } from "./live-summary.ts";
import { driverStatistics, openPinner } from "./machine.ts";
import { sum } from "./report.ts";
import { Results } from "./results.ts";
import { configured, entries, flowsInMemory, pinningPolicy, ringRoom, sourceText } from "./settings.ts";
import { SensorMetrics } from "./show-figures.ts";
import { rests, takeAll } from "./take.ts";
import { startCapture } from "./start-capture.ts";
import { tell, type Hearers } from "./telling.ts";
import { oneRingFits, Watched } from "./watched.ts";

export interface SensorContext extends AgentContext {
  /** an interface that is named and not there, or refused, ends the start */
  readonly require: boolean;
}

/** Results that wait while nothing can be written. */
const storeBufferMiB = 64;
const wallNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

export async function startSensor(first: SensorConfig, context: SensorContext): Promise<RunningAgent<SensorConfig>> {
  const { logs, health, registry, shutdown } = context;
  const log = logs.facility("capture");
  const startedNs = wallNs();
  const node = first.name ?? hostname();
  const place = { node, fleet: first.nats?.fleet ?? "default", pool: first.nats?.pool ?? "default" };
  const stream = new Stream();

  const pinner = openPinner(join(dirname(first.store.path), "pinning.json"), logs.facility("host"));
  shutdown.part({ name: "pinning", close: () => void pinner.close(), deadlineMs: 2000 });
  const watched = new Watched(pinner, first.capture.threads, entries(first), pinningPolicy(first), ringRoom(first));
  const { names, absent } = watched.wanted();
  if (context.require && absent[0] !== undefined) throw new TaplineError("INTERFACE_NOT_FOUND", { path: absent[0] });

  const store = await traced("open the store", {}, () =>
    StoreWriter.open(first.store.path, {
      patient: { bufferMiB: storeBufferMiB },
      retention: first.store.retention,
    }),
  );
  shutdown.signal.throwIfAborted();
  let ended: CaptureFigures | undefined;
  shutdown.part({
    name: "store",
    deadlineMs: 10_000,
    close: async () => {
      try {
        const last = ended;
        if (last) await traced("flush the store", {}, () => store.finishRun(liveSummary(last, sinceStart())));
      } finally {
        await store.close();
        const { droppedRecords } = store.state();
        if (sum(Object.values(droppedRecords)) > 0)
          logs.facility("store").error("left results unwritten", { ...droppedRecords });
      }
    },
  });
  const sinceStart = (): number => Number(wallNs() - startedNs);
  oneRingFits(ringRoom(first));
  const run = await store.beginRun({
    source: sourceText(first),
    options: { capture: first.capture, analysis: { ...first.analysis, settle: String(first.analysis.settle) } },
    interfaces: names,
    startedNs,
  });
  shutdown.signal.throwIfAborted();
  logs.facility("store").info("opened the database", { path: first.store.path, run });

  let fleet: Fleet | undefined;
  let beat: Beat | undefined;
  const live: Live = {
    stream,
    ledger: () => ({ run, interfaces: (beat?.interfaces() ?? []).map((row) => liveRow(run, row)) }),
    report: () => beat?.report ?? null,
    pinning: () => beat?.pinning() ?? pinner.observe(),
    liveness: () => health.liveness(),
    readiness: () => health.readiness(),
  };
  const { enabled, ...listen } = first.api;
  // The fleet's questions are answered by the API, whether it listens or not.
  const served =
    enabled || first.nats
      ? await serve({
          logger: frameworkLog(logs.facility("api")),
          db: restingSource(() => openDatabase(first.store.path, { flowsInMemory: flowsInMemory(first) })),
          live,
          listen: enabled,
          host: listen.host,
          port: listen.port,
          ...(listen.tokenFile === undefined ? {} : { tokenFile: listen.tokenFile }),
        })
      : undefined;
  if (first.nats) {
    fleet = await openFleet(first.nats, {
      place,
      version,
      nowNs: wallNs,
      answer: served && ((path) => traced("answer the fleet", {}, () => served.ask(path))),
      tell: (change) => tell(hearers, change),
    });
    const { drain, findings, connection } = fleet;
    const undelivered = (waiting: number): TaplineError =>
      new TaplineError("BUS_UNDELIVERED", {
        findings: waiting,
        detail: connection.state.lastError?.message ?? "no acknowledgement came in time",
        path: first.store.path,
      });
    shutdown.part({
      name: "fleet",
      deadlineMs: 6000,
      close: async () => {
        await drain();
        const { waiting } = findings.figures;
        if (waiting > 0) logs.facility("bus").error("left findings undelivered", { error: undelivered(waiting) });
      },
    });
  }
  const hearers: Hearers = { log, stream, fleet: (finding) => fleet?.findings.add(finding) };
  if (served) {
    shutdown.part({ name: "api", close: () => served.close(), deadlineMs: 3000 });
    if (enabled) logs.facility("api").notice("began to answer", { url: served.url });
  }

  shutdown.signal.throwIfAborted();
  // Closes after the capture: the last report has the last packet.
  shutdown.part({ name: "beat", close: () => beat?.stop(), deadlineMs: 2000 });
  const capture = startCapture(first);
  const source = names.join(", ");
  capture.done.catch(() => undefined); // read below
  // What cannot be captured at all is known by the next turn.
  await Promise.race([capture.done, nextTurn()]).catch((error: unknown) => {
    throw engineError(error, source);
  });
  const results = new Results({
    store,
    stream,
    run,
    fleet: fleet && hearers.fleet,
    ports: () => capture.figures()?.ledger ?? [],
  });
  capture.keepLive({ database: realpathSync(first.store.path), run, startedNs });
  // A slot of its live file is free only once it hears that the flow is stored.
  const told = (): void => capture.stored(store.settled);
  const taking = takeAll(capture, rests.live, (batch) => results.take(batch), told);
  taking.then(
    (figures) => {
      ended = figures;
    },
    (cause: unknown) => {
      const error = engineError(cause, source);
      log.critical("lost the capture", { error });
      shutdown.stop("the capture failed", error);
    },
  );
  shutdown.part({
    name: "capture",
    deadlineMs: 8000,
    close: async () => {
      watched.stop();
      capture.stop();
      await taking.catch(() => undefined); // told already
    },
  });
  shutdown.signal.throwIfAborted();
  await watched.follow(capture, (onChange) => engine().watchLinks(onChange), {
    changed: ({ added, removed }) => log.notice("followed the interfaces", { added, removed }),
    failed: (path, error) => log.error("failed to watch an interface", { path, error }),
  });
  shutdown.signal.throwIfAborted();
  const ending = watched.refused.find(({ code }) => context.require || code === "CAPTURE_NOT_PERMITTED");
  if (ending) throw new TaplineError(ending.code, ending.details);
  const pulse = new Beat({
    place,
    run: fleet?.run ?? String(startedNs),
    startedNs,
    nowNs: wallNs,
    capture,
    figures: () => capture.figures() ?? ended ?? null,
    refused: () => watched.refused,
    refusal: context.refusal,
    store,
    database: first.store.path,
    pinner,
    losses: new Losses(new HostFiles(), driverStatistics()),
    results,
    stream,
    logs,
    configured: configured(first),
    metrics: new SensorMetrics(registry),
    fleet,
    hearers,
    alive: health.heartbeat("engine", 5000),
  });
  beat = pulse;
  pulse.start();

  health.ready("capture", () => pulse.watching());
  health.ready("store", () => {
    const { state } = store.state();
    return { ok: state === "writing", detail: state };
  });
  if (absent.length > 0) log.warning("waits for interfaces that are not there", { interfaces: absent });
  log.notice("began to capture", { interfaces: watched.names, threads: first.capture.threads });

  return {
    stages: () => capture.figures()?.stages,
    change: async (next) => {
      // First what can be refused: nothing is changed then.
      await capture.setFilter(next.capture.filter).catch((cause: unknown) => {
        throw engineError(cause, source);
      });
      await store.setRetention(next.store.retention);
      watched.change(entries(next), pinningPolicy(next), ringRoom(next));
      pulse.configure(configured(next));
      logs.set(next.log);
    },
  };
}

/** The client of NATS is loaded only where there is a fleet. */
const openFleet = async (config: NonNullable<SensorConfig["nats"]>, options: FleetOptions): Promise<Fleet> =>
  new (await import("./fleet.ts")).Fleet(config, options);
