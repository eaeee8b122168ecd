// The sensor on NATS: reports, findings and answers to the fleet's questions, over one connection. Loaded only when it is configured.
import { randomUUID } from "node:crypto";
import { Conditions as BusConditions } from "#bus/conditions.ts";
import { configuredAccess } from "#bus/configured.ts";
import { BusConnection } from "#bus/connection.ts";
import { FindingPublisher } from "#bus/findings.ts";
import { type Answer, QueryService } from "#bus/queries.ts";
import { ReportPublisher } from "#bus/reports.ts";
import type { SensorConfig } from "#domain/sensor-config.ts";
import { inboxPrefix, querySubject, reportSubject, type SensorPlace } from "#domain/subjects.ts";
import { asWarning, type Change } from "#process/conditions.ts";

type NatsConfig = NonNullable<SensorConfig["nats"]>;

export interface FleetOptions {
  readonly place: SensorPlace;
  readonly version: string;
  readonly nowNs: () => bigint;
  readonly tell: (change: Change) => void;
  /** the API's own answers */
  readonly answer: ((path: string) => Promise<Answer>) | undefined;
}

const streamBytes = 2 ** 30;

export class Fleet {
  readonly run = randomUUID();
  readonly conditions: BusConditions;
  readonly connection: BusConnection;
  readonly reports: ReportPublisher;
  readonly findings: FindingPublisher;
  readonly queries: QueryService | undefined;

  constructor(config: NatsConfig, { place, version, nowNs, tell, answer }: FleetOptions) {
    this.conditions = new BusConditions(nowNs, (told) => tell(asWarning(told)));
    this.connection = new BusConnection({
      ...configuredAccess(config),
      name: `tapline sensor ${place.node}`,
      inboxPrefix: inboxPrefix(place),
      conditions: this.conditions,
      now: nowNs,
    });
    const parts = { connection: this.connection, conditions: this.conditions, place };
    this.reports = new ReportPublisher(parts.connection, parts.conditions, reportSubject(place));
    this.findings = new FindingPublisher({
      ...parts,
      run: this.run,
      limits: { count: config.buffer.findings, bytes: config.buffer.MiB * 2 ** 20 },
      stream: { maxBytes: streamBytes },
    });
    const service = { name: "tapline-sensor", subject: querySubject(place), metadata: { ...place } };
    this.queries = answer && new QueryService({ connection: this.connection, service, version, answer });
  }

  readonly drain = async (): Promise<void> => {
    await this.queries?.drain(1000);
    await this.findings.drain(3000);
    await this.connection.drain(1000);
  };
}
