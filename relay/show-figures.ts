// A second's figures as metrics. Counters are told what was added, so that those of rules that come and go never fall.
import type { Registry } from "prom-client";
import { interfaceLabels, relayMetrics } from "#domain/metrics.ts";
import { type RelayReport, type ReportedPort, ruleStates } from "#domain/relay-report.ts";
import type { RelayDrop, RelayEngine } from "#domain/vocabulary.ts";
import type { Severity } from "#process/conditions.ts";
import { boundedLabel, MetricSet } from "#process/metric-set.ts";
import type { RuleAdded } from "./tallies.ts";
import { added, sumOf } from "./sums.ts";

export interface Shown {
  readonly report: RelayReport;
  readonly before: RelayReport | null;
  readonly connected: boolean | undefined;
  readonly changes: Readonly<Record<string, number>>;
  readonly conditions: readonly { readonly severity: Severity }[];
}

const workerStates = ["running", "starting", "backing off", "stopped"] as const;
const hopOutcomes = ["unique", "lost", "duplicate", "reordered", "late"] as const;

export class RelayMetrics {
  readonly #set: MetricSet<typeof relayMetrics>;
  readonly #interface = boundedLabel(interfaceLabels);
  readonly #rule: (id: string) => string;

  /** `rules`: those with series of their own */
  constructor(registry: Registry, rules: number) {
    this.#set = new MetricSet(registry, relayMetrics);
    this.#rule = boundedLabel(rules);
  }

  rule({ stand, matched, wanted, sent, sentBytes, dropped }: RuleAdded): void {
    const rule = this.#rule(stand.rule.id);
    this.#set.add("tapline_relay_rule_matched_packets_total", { rule }, matched);
    this.#set.add("tapline_relay_rule_sent_packets_total", { rule }, sent);
    this.#set.add("tapline_relay_rule_dropped_packets_total", { rule }, sumOf(dropped));
    const engine: RelayEngine | undefined = stand.engine ?? undefined;
    if (engine === undefined) return;
    this.#set.add("tapline_relay_wanted_packets_total", { engine }, wanted);
    this.#set.add("tapline_relay_sent_packets_total", { engine }, sent);
    this.#set.add("tapline_relay_sent_bytes_total", { engine }, sentBytes);
    for (const [reason, packets] of Object.entries(dropped) as [RelayDrop, number][])
      this.#set.add("tapline_relay_dropped_packets_total", { engine, reason }, packets);
  }

  show({ report, before, connected, changes, conditions }: Shown): void {
    const set = this.#set;
    set.set("tapline_relay_info", { node: report.node, version: report.version }, 1);
    for (const port of report.interfaces)
      this.#port(
        port,
        before?.interfaces.find((one) => one.interface === port.interface && one.engine === port.engine),
      );
    for (const outcome of hopOutcomes)
      set.total(
        "tapline_relay_hop_packets_total",
        { outcome },
        report.hops.reduce((sum, hop) => sum + hop[outcome], 0),
      );
    set.set(
      "tapline_relay_hop_pending",
      {},
      report.hops.reduce((sum, { pending }) => sum + pending, 0),
    );
    const { wanted, sent, dropped } = report.totals;
    const residues = report.interfaces.reduce((sum, { residue }) => sum + residue, 0);
    set.set("tapline_relay_ledger_residue", {}, residues + wanted - sent - sumOf(dropped));
    for (const state of ruleStates) set.set("tapline_relay_rules", { state }, report.totals[state]);
    for (const state of workerStates)
      set.set("tapline_relay_workers", { state }, report.workers.filter((worker) => worker.state === state).length);
    set.total(
      "tapline_relay_worker_restarts_total",
      {},
      report.workers.reduce((sum, { restarts }) => sum + restarts, 0),
    );
    set.set("tapline_relay_pinned", {}, report.pinned ? 1 : 0);
    set.set("tapline_relay_plan_generation", {}, report.plan.generation);
    for (const [result, count] of Object.entries(changes)) set.total("tapline_relay_changes_total", { result }, count);
    for (const severity of ["warning", "error"] as const)
      set.set("tapline_relay_conditions", { severity }, conditions.filter((one) => one.severity === severity).length);
    if (connected !== undefined) set.set("tapline_bus_connected", {}, connected ? 1 : 0);
    set.total("tapline_bus_unsent_reports_total", {}, report.bus.unsent_reports);
  }

  #port(port: ReportedPort, before: ReportedPort | undefined): void {
    const labels = { interface: this.#interface(port.interface), engine: port.engine };
    const counts = {
      tapline_relay_received_packets_total: added(port.received, before?.received),
      tapline_relay_received_bytes_total: added(port.bytes, before?.bytes),
      tapline_relay_passed_packets_total: added(port.passed, before?.passed),
      tapline_relay_matched_packets_total: added(port.matched, before?.matched),
      tapline_relay_ring_dropped_packets_total: added(port.ring_drops, before?.ring_drops),
    } as const;
    for (const [name, more] of Object.entries(counts)) this.#set.add(name as keyof typeof counts, labels, more);
    for (const [reason, packets] of Object.entries(port.refused))
      this.#set.add(
        "tapline_relay_refused_packets_total",
        { ...labels, reason },
        added(packets, before?.refused[reason as keyof ReportedPort["refused"]] ?? (before ? 0 : undefined)),
      );
  }
}
