// A relay as the operator sees it, without packets: it takes plans by the agents' own reader, reports once a second what it is told to have counted, and carries nothing.
import { createPublicKey } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunningPlan } from "#bus/plan-seal.ts";
import { PlanReader } from "#bus/plans.ts";
import { ReportPublisher } from "#bus/reports.ts";
import type { RelayReport, RuleRow } from "#domain/relay-report.ts";
import type { NamedRule } from "#domain/relay-rule.ts";
import { relayReportSubject } from "#domain/subjects.ts";
import { SensorEnd } from "../bus/sensor-end.ts";

interface ActingRelayOptions {
  readonly node: string;
  readonly fleet: string;
  readonly url: string;
  /** the operator's public key */
  readonly pem: string;
  /** node:outputs of each rule */
  readonly took: (text: string) => void;
}

/** A relay that programs at once unless told otherwise, and counts what it is told to have counted. */
export class ActingRelay {
  readonly #options: ActingRelayOptions;
  readonly #end: SensorEnd;
  readonly #reader: PlanReader;
  readonly #publisher: ReportPublisher;
  readonly #beating: NodeJS.Timeout;
  readonly #run = crypto.randomUUID();
  #sequence = 0;
  running: RunningPlan = { generation: 0, digest: null };
  rules: readonly NamedRule[] = [];
  /** of each rule: taken; of those that came by a tunnel: lost before */
  matched = 0;
  /** until it has programmed a plan */
  slowMs = 0;
  lost = 0;

  constructor(options: ActingRelayOptions) {
    this.#options = options;
    const { node, fleet, url, pem, took } = options;
    this.#end = new SensorEnd(url);
    const { connection, conditions } = this.#end;
    const place = { fleet, node };
    this.#publisher = new ReportPublisher(connection, conditions, relayReportSubject(place));
    this.#reader = new PlanReader({ connection, conditions, place, key: createPublicKey(pem), running: () => this.running, pauseMs: 200, take: async (plan, { generation, digest }) => {
      await sleep(this.slowMs);
      this.rules = plan.rules as NamedRule[];
      this.running = { generation, digest };
      took(`${node}:${this.rules.map(({ to }) => to.length).join()}`);
    } }); // biome-ignore format: one call
    this.#beating = setInterval(() => this.#beat(), 1000);
  }

  #beat(): void {
    const { fleet, node } = this.#options;
    const time = `${new Date().toISOString().slice(0, -1)}000000Z`;
    const rows = this.rules.map(({ id, to }): RuleRow => ({ id, name: id, state: "active", engine: "tc", why: "", input_interface: "eth1", input_vlan: null, input_group: null, input_port: null, input_path: null, matched: this.matched, bytes: 0, refused: {}, packets_relayed: this.matched * to.length, bytes_relayed: 0, dropped: {}, last: null, packets_per_second: 0, bits_per_second: 0 })); // biome-ignore format: one row
    const hops = this.rules.flatMap(({ id, from }) => (from.tunnel ? [{ path: from.tunnel.path, rule: id, peers: [], streams: 1, unique: this.matched, lost: this.lost, pending: 0, duplicate: 0, reordered: 0, late: 0, latency_us: { p50: null, p99: null, buckets: [] } }] : [])); // biome-ignore format: one row
    const tunnels = this.rules.flatMap(({ id, to }) => to.flatMap(({ tunnel }) => (tunnel ? [{ path: tunnel.path, rule: id, wanted: this.matched, sent: this.matched, dropped: {} }] : []))); // biome-ignore format: one row
    const report: RelayReport = { v: 1, fleet, node, version: "1", run: this.#run, time, started: time, sequence: ++this.#sequence, interval_ms: 1000, plan: { ...this.running, state: "applied" }, engines: [], pinned: true, interfaces: [], totals: { rules: rows.length, active: rows.length, partial: 0, waiting: 0, matched: 0, wanted: 0, sent: 0, sent_bytes: 0, refused: {}, dropped: {}, packets_per_second: 0, bits_per_second: 0 }, rules: rows, rules_untold: 0, hops, tunnels, workers: [], bus: { unsent_reports: 0, reconnects: 0 }, conditions: [] }; // biome-ignore format: one object
    this.#publisher.publish(report);
  }

  async close(): Promise<void> {
    clearInterval(this.#beating);
    await this.#reader.close();
    await this.#end[Symbol.asyncDispose]();
  }
}
