// Once a second: the engines are told that somebody is here, and their figures become rows, the report, metrics, log lines and conditions.
// Reading never changes a count.
import type { TaplineError } from "#domain/errors.ts";
import type { HopRow, RelayReport, ReportedPort, RuleDetail, RuleRow, WorkerRow } from "#domain/relay-report.ts";
import type { RelayPlace } from "#domain/subjects.ts";
import { timeText } from "#domain/time.ts";
import type { RelayDrop } from "#domain/vocabulary.ts";
import type { RelayFigures } from "#native/relay.ts";
import { Conditions, logChange } from "#process/conditions.ts";
import { type EverySecond, everySecond } from "#process/every-second.ts";
import type { Logs } from "#process/log.ts";
import type { Engines } from "./engines.ts";
import type { Fleet } from "./fleet.ts";
import { holding, type Standing } from "./holding.ts";
import { hopRows, portRows, tunnelRows } from "./port-rows.ts";
import type { Programme } from "./programme.ts";
import { ChangedRows, makeReport } from "./report.ts";
import type { RelayMetrics } from "./show-figures.ts";
import { tellStatistics } from "./statistics.ts";
import { type RuleAdded, Tallies } from "./tallies.ts";

export interface BeatOptions {
  readonly place: RelayPlace;
  readonly run: string;
  readonly startedNs: bigint;
  readonly nowNs: () => bigint;
  readonly engines: Engines;
  readonly programme: Programme;
  readonly metrics: RelayMetrics;
  readonly fleet: Fleet | undefined;
  readonly logs: Logs;
  readonly changes: () => Readonly<Record<string, number>>;
  /** groups that could not be joined */
  readonly groups: () => Standing["groups"];
  /** what failed beside the figures */
  readonly failures: () => readonly { readonly subject: string; readonly error: TaplineError }[];
  /** to be called each time */
  readonly alive: () => void;
}

interface Look {
  readonly figures: RelayFigures;
  readonly ports: readonly ReportedPort[];
  readonly ns: bigint;
}

export class Beat {
  readonly #options: BeatOptions;
  readonly #conditions = new Conditions();
  readonly #tallies = new Tallies();
  readonly #changed = new ChangedRows();
  #beating: EverySecond | undefined;
  #before: Look | undefined;
  #hops: readonly HopRow[] = [];
  #sequence = 0;
  #report: RelayReport | null = null;

  constructor(options: BeatOptions) {
    this.#options = options;
  }

  get report(): RelayReport | null {
    return this.#report;
  }
  get rows(): readonly RuleRow[] {
    return this.#tallies.rows;
  }
  get hops(): readonly HopRow[] {
    return this.#hops;
  }
  detail(id: string): RuleDetail | undefined {
    return this.#tallies.detail(id);
  }

  /** As of this moment. */
  workers(): WorkerRow[] {
    return this.#options.engines.workers().map(({ ifindex, ...row }) => ({ interface: this.#nameOf(ifindex), ...row }));
  }

  #nameOf(ifindex: number): string {
    return this.#options.programme.near.linkAt(ifindex)?.name ?? `interface ${ifindex}`;
  }

  start(): void {
    this.#beating = everySecond(() => this.#once());
  }

  /** Ends with a last report. */
  async stop(): Promise<void> {
    await this.#beating?.stop();
    this.#once();
  }

  /** A figure that cannot be read must not end the relay. */
  #once(): void {
    try {
      this.#options.engines.heartbeat();
      this.#options.programme.retry(this.#sequence);
      this.#look();
      this.#options.alive();
    } catch (error) {
      this.#options.logs.facility("process").error("failed to look at the figures", { error });
    }
  }

  #look(): void {
    const { engines, programme, metrics, fleet, nowNs, logs } = this.#options;
    const figures = engines.figures();
    const ns = nowNs();
    const before = this.#before;
    const between = Number(ns - (before?.ns ?? ns));
    const dropped = new Map<RelayDrop, { packets: number; rule: string; most: number }>();
    this.#tallies.update(figures, programme.stands, ns, (more) => {
      metrics.rule(more);
      if (before) noteDrops(dropped, more);
    });
    const nameOf = (ifindex: number): string => this.#nameOf(ifindex);
    const ports = portRows(figures, before?.figures, between, nameOf);
    const hopsBefore = this.#hops;
    this.#hops = hopRows(figures, programme.stands.values());
    const workers = this.workers();
    const changes = this.#conditions.update(
      holding({
        stands: programme.stands.values(),
        near: programme.near,
        engines: engines.states(),
        pinned: engines.pinned,
        workers,
        ports,
        portsBefore: before?.ports ?? [],
        hops: this.#hops,
        hopsBefore,
        dropped,
        groups: this.#options.groups(),
        failures: [
          ...this.#options.failures(),
          ...(programme.failure ? [{ subject: "rules", error: programme.failure }] : []),
        ],
      }),
      ns,
    );
    for (const change of changes) logChange(logs.facility("relay"), change);

    const last = this.#report;
    const now = makeReport({
      place: this.#options.place,
      run: this.#options.run,
      startedNs: this.#options.startedNs,
      ns,
      sequence: ++this.#sequence,
      plan: fleet?.plan ?? { generation: 0, digest: null, state: "none" },
      engines: engines.states(),
      pinned: engines.pinned.ok,
      figures,
      ports,
      rows: this.#tallies.rows,
      changed: this.#changed.take(this.#tallies.rows),
      hops: this.#hops,
      tunnels: tunnelRows(figures, programme.stands.values()),
      links: programme.near.links.map(({ name, up, mtu }) => ({ name, up, mtu })),
      workers,
      bus: {
        unsent_reports: fleet?.reports.figures.unsent ?? 0,
        reconnects: fleet?.connection.state.reconnects ?? 0,
      },
      conditions: [
        ...this.#conditions.standing.map(({ code, message, sinceNs }) => ({ code, message, since: timeText(sinceNs) })),
        ...(fleet?.conditions.list() ?? []),
      ],
    });
    this.#report = now;
    fleet?.reports.publish(now);
    metrics.show({
      report: now,
      before: last,
      connected: fleet && fleet.connection.state.state === "connected",
      changes: this.#options.changes(),
      conditions: [
        ...this.#conditions.standing,
        ...(fleet?.conditions.list() ?? []).map(() => ({ severity: "warning" as const })),
      ],
    });
    tellStatistics(logs.facility("stats"), now, last, between);
    this.#before = { figures, ports, ns };
  }
}

function noteDrops(
  dropped: Map<RelayDrop, { packets: number; rule: string; most: number }>,
  { stand, dropped: more }: RuleAdded,
): void {
  for (const [reason, packets] of Object.entries(more) as [RelayDrop, number][]) {
    const known = dropped.get(reason) ?? { packets: 0, rule: "", most: 0 };
    const most = packets > known.most;
    dropped.set(reason, {
      packets: known.packets + packets,
      rule: most ? stand.rule.id : known.rule,
      most: Math.max(packets, known.most),
    });
  }
}
