// The relay on NATS: reports, answers to the fleet's questions, and its plan, over one connection. Loaded only when it is configured.
import { randomUUID } from "node:crypto";
import { Conditions as BusConditions } from "#bus/conditions.ts";
import { configuredAccess } from "#bus/configured.ts";
import { BusConnection } from "#bus/connection.ts";
import type { RunningPlan } from "#bus/plan-seal.ts";
import { PlanReader } from "#bus/plans.ts";
import { type Answer, QueryService } from "#bus/queries.ts";
import { ReportPublisher } from "#bus/reports.ts";
import type { RelayConfig } from "#domain/relay-config.ts";
import type { PlanNotice, RelayPlan } from "#domain/relay-plan.ts";
import type { RelayReport } from "#domain/relay-report.ts";
import { relayInboxPrefix, type RelayPlace, relayQuerySubject, relayReportSubject } from "#domain/subjects.ts";
import { asWarning, type Change } from "#process/conditions.ts";
import { readPublicKey } from "./plan-key.ts";

type NatsConfig = NonNullable<RelayConfig["nats"]>;

export interface FleetOptions {
  readonly place: RelayPlace;
  readonly version: string;
  readonly nowNs: () => bigint;
  readonly tell: (change: Change) => void;
  /** the API's own answers */
  readonly answer: (path: string) => Promise<Answer>;
  /** the plan that runs */
  readonly running: () => RunningPlan;
  readonly take: (plan: RelayPlan, notice: PlanNotice) => Promise<void>;
}

export class Fleet {
  readonly run = randomUUID();
  readonly conditions: BusConditions;
  readonly connection: BusConnection;
  readonly reports: ReportPublisher;
  readonly #queries: QueryService;
  readonly #plans: PlanReader | undefined;
  readonly #running: () => RunningPlan;

  constructor(config: NatsConfig, options: FleetOptions) {
    const { place, version, nowNs, tell, answer, running, take } = options;
    const key = config.plan && readPublicKey(config.plan.publicKeyFile);
    this.#running = running;
    this.conditions = new BusConditions(nowNs, (told) => tell(asWarning(told)));
    this.connection = new BusConnection({
      ...configuredAccess(config),
      name: `tapline relay ${place.node}`,
      inboxPrefix: relayInboxPrefix(place),
      conditions: this.conditions,
      now: nowNs,
    });
    const { connection, conditions } = this;
    this.reports = new ReportPublisher(connection, conditions, relayReportSubject(place));
    const service = { name: "tapline-relay", subject: relayQuerySubject(place), metadata: { ...place } };
    this.#queries = new QueryService({ connection, service, version, answer });
    this.#plans = key && new PlanReader({ connection, conditions, place, key, running, take });
  }

  get plan(): RelayReport["plan"] {
    return { ...this.#running(), state: this.#plans?.state ?? "none" };
  }

  async drain(): Promise<void> {
    await this.#plans?.close();
    await this.#queries.drain(1000);
    await this.connection.drain(1000);
  }
}
