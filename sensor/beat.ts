// Once a second: the engine's figures become the report, the metrics, the run's checkpoint, conditions, and a step on the memory ladder;
// every five seconds a line of statistics. Reading never changes a count.
import type { Stream } from "#api/stream.ts";
import type { CaptureFigures } from "#domain/analysis.ts";
import type { TaplineError } from "#domain/errors.ts";
import type { PinningReport } from "#domain/pinning.ts";
import type { ReportedInterface, SensorReport } from "#domain/report.ts";
import type { SensorPlace } from "#domain/subjects.ts";
import { timeText } from "#domain/time.ts";
import type { Losses } from "#host/losses.ts";
import type { Running } from "#host/pinning-view.ts";
import type { Pinner } from "#host/pinner.ts";
import type { Capture } from "#native/engine.ts";
import { Conditions } from "#process/conditions.ts";
import { type EverySecond, everySecond, secondMs } from "#process/every-second.ts";
import type { Logs } from "#process/log.ts";
import { version } from "#process/version.ts";
import type { StoreWriter } from "#store/writer.ts";
import { Budget, type Configured } from "./budget.ts";
import type { Fleet } from "./fleet.ts";
import { holding } from "./holding.ts";
import { liveSummary } from "./live-summary.ts";
import { foldRemoved, rate, reportInterfaces, reportProtocols, settledInterfaces, sum } from "./report.ts";
import type { Results } from "./results.ts";
import type { Refused } from "./watched.ts";
import { showFigures, type SensorMetrics } from "./show-figures.ts";
import { tell, type Hearers } from "./telling.ts";

export interface BeatOptions {
  readonly place: SensorPlace;
  /** names this process in reports and findings */
  readonly run: string;
  readonly startedNs: bigint;
  readonly nowNs: () => bigint;
  readonly capture: Capture;
  /** null when there are none, before the start and when it failed */
  readonly figures: () => CaptureFigures | null;
  /** interfaces that the capture would not take */
  readonly refused: () => readonly Refused[];
  /** why the configuration in the file does not run */
  readonly refusal: () => TaplineError | undefined;
  readonly store: StoreWriter;
  readonly database: string;
  readonly pinner: Pinner;
  readonly losses: Losses;
  readonly results: Results;
  readonly stream: Stream;
  readonly logs: Logs;
  readonly configured: Configured;
  readonly metrics: SensorMetrics;
  readonly fleet: Fleet | undefined;
  readonly hearers: Hearers;
  /** to be called each time */
  readonly alive: () => void;
}

const statisticsEvery = 5;
/** It reads many small files of the kernel. */
const pinningEvery = 5;

interface Look {
  readonly figures: CaptureFigures;
  readonly ns: bigint;
}

export class Beat {
  readonly #options: BeatOptions;
  readonly #conditions = new Conditions();
  #beating: EverySecond | undefined;
  #budget: Budget | undefined;
  #configured: Configured;
  #before: Look | undefined;
  #statistics: Look | undefined;
  #sequence = 0;
  #pinning: PinningReport;
  report: SensorReport | null = null;

  constructor(options: BeatOptions) {
    this.#options = options;
    this.#configured = options.configured;
    this.#pinning = options.pinner.observe();
  }

  start(): void {
    this.#beating = everySecond(() => this.#once());
  }

  /** Ends with a last report. */
  async stop(): Promise<void> {
    await this.#beating?.stop();
    this.#once();
    const figures = this.#options.figures();
    if (figures) this.#state(figures, this.#options.nowNs());
  }

  configure(configured: Configured): void {
    this.#configured = configured;
    this.#budget?.configure(configured);
    this.#apply();
  }

  pinning(): PinningReport {
    return this.#pinning;
  }

  watching(): { readonly ok: boolean; readonly detail: string } {
    const ledger = this.#options.figures()?.ledger.filter(({ state }) => state !== "removed") ?? [];
    const watched = ledger.filter(({ state }) => state === "watching").length;
    const all = ledger.length + this.#options.refused().length;
    return { ok: all > 0 && watched === all, detail: `${watched} of ${all} interfaces are watched` };
  }

  /** As of this moment. */
  interfaces(): readonly ReportedInterface[] {
    const { losses, nowNs } = this.#options;
    const figures = this.#options.figures();
    if (!figures) return this.report?.interfaces ?? [];
    const ns = Number(nowNs() - (this.#before?.ns ?? nowNs()));
    return reportInterfaces(figures, this.#before?.figures, ns, losses);
  }

  /** A figure that cannot be read must not end the capture. */
  #once(): void {
    try {
      this.#look();
      this.#options.alive();
    } catch (error) {
      this.#options.logs.facility("process").error("failed to look at the figures", { error });
    }
  }

  #look(): void {
    const { store, metrics, stream, fleet, results, hearers, nowNs, startedNs } = this.#options;
    const figures = this.#options.figures();
    if (!figures) return;
    const ns = nowNs();
    results.turn();
    this.#climb(figures);
    if (this.#sequence % pinningEvery === 0)
      this.#pinning = this.#options.pinner.observe((name) => running(figures, name));
    const storeState = store.state();
    const rung = this.#budget?.rung ?? "none";
    const changes = this.#conditions.update(
      holding({
        now: figures,
        before: this.#before?.figures,
        store: storeState,
        database: this.#options.database,
        rung,
        settings: (this.#budget as Budget).settings,
        pinning: this.#pinning,
        refused: this.#options.refused(),
        refusal: this.#options.refusal(),
      }),
      ns,
    );
    for (const change of changes) tell(hearers, change);
    const before = this.#before?.figures;
    const rows = reportInterfaces(figures, before, Number(ns - (this.#before?.ns ?? ns)), this.#options.losses);
    const settled = settledInterfaces(figures, before);
    this.report = this.#report(figures, ns, rows);
    showFigures(metrics, {
      report: this.report,
      gaps: results.gaps,
      blindSeconds: results.blindSeconds,
      interfaces: rows.filter((row) => !settled.has(row.interface)),
      liveWriteErrors: figures.liveWriteErrors,
      spilledBytes: figures.spilledBytes,
      unreadBatches: figures.unreadBatches,
      rung,
      store: storeState,
      fleet,
      drift: this.#pinning.drift.length,
      conditions: [
        ...this.#conditions.standing,
        ...(fleet?.conditions.list() ?? []).map(() => ({ severity: "warning" as const })),
      ],
    });
    fleet?.reports.publish(this.report);
    stream.publish("report", this.report);
    void store.checkpoint(liveSummary(figures, Number(ns - startedNs)));
    this.#before = { figures, ns };
    if (this.#sequence % statisticsEvery === 0) this.#state(figures, ns);
  }

  /** Flows against memory. */
  #climb(figures: CaptureFigures): void {
    const rings = sum(figures.ledger.map(({ ringBytes }) => ringBytes));
    const resident = process.memoryUsage.rss() - rings;
    // The first look comes before there are flows to speak of: what is there then, flows cannot have.
    this.#budget ??= new Budget(this.#configured, resident, rings);
    const { liveFlows, capEvictions } = figures;
    const first = this.#sequence === 0;
    if (this.#budget.consider({ resident, rings, liveFlows, capEvictions }) || first) this.#apply();
  }

  #apply(): void {
    if (this.#budget) this.#options.capture.setLimits(this.#budget.settings);
  }

  #report(figures: CaptureFigures, ns: bigint, rows: readonly ReportedInterface[]): SensorReport {
    const { place, run, startedNs, losses, results, fleet, store } = this.#options;
    const state = store.state();
    const { accepted = 0, acknowledged = 0, waiting = 0, overflowed = 0 } = fleet?.findings.figures ?? {};
    return {
      v: 1,
      ...place,
      version,
      run,
      time: timeText(ns),
      started: timeText(startedNs),
      sequence: ++this.#sequence,
      interval_ms: secondMs,
      interfaces: foldRemoved(rows),
      softnet: losses.softnet(),
      protocols: reportProtocols(figures.protocols),
      flows: { live: figures.liveFlows, total: figures.flows, cap_evictions: figures.capEvictions },
      lost: figures.lost,
      gaps: figures.gaps,
      suspect_gaps: results.gaps.suspect,
      rung: this.#budget?.rung ?? "none",
      clock: { steps: figures.clockSteps, step_seconds: figures.clockStepNs / 1e9 },
      blinds_dropped: figures.blindsDropped,
      store: {
        state: state.state,
        waiting_bytes: state.waitingBytes,
        dropped: sum(Object.values(state.droppedRecords)),
        bytes: state.fileBytes ?? 0,
      },
      bus: {
        accepted,
        acknowledged,
        waiting,
        overflowed,
        untold: results.untold,
        unsent_reports: fleet?.reports.figures.unsent ?? 0,
        reconnects: fleet?.connection.state.reconnects ?? 0,
      },
      conditions: [
        ...this.#conditions.standing.map(({ code, message, sinceNs }) => ({ code, message, since: timeText(sinceNs) })),
        ...(fleet?.conditions.list() ?? []),
      ],
    };
  }

  /** Received, processed, dropped: per second since the last line, and in all. */
  #state(figures: CaptureFigures, ns: bigint): void {
    const of = (look: Look | undefined, pick: "seen" | "delivered" | "ringDrops"): number =>
      sum((look?.figures.ledger ?? []).map((port) => port[pick]));
    const now = { figures, ns };
    const before = this.#statistics;
    const between = Number(ns - (before?.ns ?? this.#options.startedNs));
    const perSecond = (pick: "seen" | "delivered" | "ringDrops"): number =>
      Math.round(rate(of(now, pick), of(before, pick), between));
    this.#options.logs.facility("capture").info("counted packets", {
      received_per_second: perSecond("seen"),
      processed_per_second: perSecond("delivered"),
      dropped_per_second: perSecond("ringDrops"),
      received: of(now, "seen"),
      processed: of(now, "delivered"),
      dropped: of(now, "ringDrops"),
      flows: figures.liveFlows,
      lost: figures.lost,
    });
    this.#statistics = now;
  }
}

function running(figures: CaptureFigures, name: string): Running | undefined {
  const members = figures.members.filter((member) => member.interface === name);
  if (members.length === 0) return undefined;
  return { cpus: members.map(({ cpu }) => cpu), node: members[0]?.node ?? null };
}
