// The sensor on NATS: reports, findings and answers to the fleet's questions, over one connection. Loaded only when it is configured.
import { randomUUID } from "node:crypto";
import { Conditions as BusConditions, type Told } from "#bus/conditions.ts";
import { BusConnection } from "#bus/connection.ts";
import { FindingPublisher } from "#bus/findings.ts";
import { type Answer, QueryService } from "#bus/queries.ts";
import { ReportPublisher } from "#bus/reports.ts";
import type { SensorConfig } from "#domain/sensor-config.ts";
import { inboxPrefix, type SensorPlace } from "#domain/subjects.ts";
import type { Change } from "./conditions.ts";

type NatsConfig = NonNullable<SensorConfig["nats"]>;

export interface FleetOptions {
  readonly place: SensorPlace;
  readonly version: string;
  readonly nowNs: () => bigint;
  readonly tell: (change: Change) => void;
  /** the API's own answers */
  readonly answer: ((path: string) => Promise<Answer>) | undefined;
}

const credentialKinds = {
  credentialsFile: "creds",
  userFile: "user",
  tokenFile: "token",
  nkeySeedFile: "nkey",
} as const;

const streamBytes = 2 ** 30;

export class Fleet {
  readonly run = randomUUID();
  readonly conditions: BusConditions;
  readonly connection: BusConnection;
  readonly reports: ReportPublisher;
  readonly findings: FindingPublisher;
  readonly queries: QueryService | undefined;

  constructor(config: NatsConfig, { place, version, nowNs, tell, answer }: FleetOptions) {
    this.conditions = new BusConditions(nowNs, (told) => tell(change(told)));
    const key = (Object.keys(credentialKinds) as (keyof typeof credentialKinds)[]).find(
      (name) => config[name] !== undefined,
    );
    this.connection = new BusConnection({
      servers: config.url,
      name: `tapline sensor ${place.node}`,
      inboxPrefix: inboxPrefix(place),
      conditions: this.conditions,
      now: nowNs,
      ...(key === undefined ? {} : { credentials: { kind: credentialKinds[key], path: config[key] ?? "" } }),
      ...(config.tls === undefined
        ? {}
        : { tls: { ca: config.tls.caFile, cert: config.tls.certFile, key: config.tls.keyFile } }),
    });
    const parts = { connection: this.connection, conditions: this.conditions, place };
    this.reports = new ReportPublisher(parts.connection, parts.conditions, place);
    this.findings = new FindingPublisher({
      ...parts,
      run: this.run,
      limits: { count: config.buffer.findings, bytes: config.buffer.MiB * 2 ** 20 },
      stream: { maxBytes: streamBytes },
    });
    this.queries = answer && new QueryService({ connection: this.connection, place, version, answer });
  }

  readonly drain = async (): Promise<void> => {
    await this.queries?.drain(1000);
    await this.findings.drain(3000);
    await this.connection.drain(1000);
  };
}

/** Without NATS the sensor does its work all the same: nothing about it is worse than a warning. */
const change = ({ state, about, error: { code, message, hint }, since }: Told): Change => ({
  state,
  condition: { code, subject: about, severity: "warning", message, hint, sinceNs: since },
});
