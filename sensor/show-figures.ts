// A second's figures as metrics.
import type { Registry } from "prom-client";
import { interfaceLabels, sensorMetrics } from "#domain/metrics.ts";
import type { SensorReport } from "#domain/report.ts";
import { rungs, sequencedProtocols, storeStates, type BlindReason, type Rung } from "#domain/vocabulary.ts";
import type { Severity } from "#process/conditions.ts";
import { boundedLabel, MetricSet } from "#process/metric-set.ts";
import type { StoreState } from "#store/writer.ts";
import type { Fleet } from "./fleet.ts";
import type { Gaps } from "./gaps.ts";

/** A sensor's metrics, and the label of its interfaces. */
export class SensorMetrics extends MetricSet<typeof sensorMetrics> {
  readonly interface = boundedLabel(interfaceLabels);

  constructor(registry: Registry) {
    super(registry, sensorMetrics);
  }
}

export interface Shown {
  readonly report: SensorReport;
  /** each of its own */
  readonly interfaces: SensorReport["interfaces"];
  readonly gaps: Gaps;
  readonly blindSeconds: ReadonlyMap<string, ReadonlyMap<BlindReason, number>>;
  readonly liveWriteErrors: number;
  readonly spilledBytes: number;
  readonly unreadBatches: number;
  readonly rung: Rung;
  readonly store: StoreState;
  readonly fleet: Fleet | undefined;
  readonly drift: number;
  readonly conditions: readonly { readonly severity: Severity }[];
}

export function showFigures(metrics: SensorMetrics, shown: Shown): void {
  const { report } = shown;
  metrics.set("tapline_sensor_info", { node: report.node, version: report.version }, 1);
  for (const row of shown.interfaces) showInterface(metrics, row, shown.blindSeconds.get(row.interface));
  metrics.total("tapline_sensor_softnet_dropped_packets_total", {}, report.softnet.dropped);
  metrics.set("tapline_sensor_live_flows", {}, report.flows.live);
  metrics.total("tapline_sensor_cap_evictions_total", {}, report.flows.cap_evictions);
  for (const {
    protocol,
    flows,
    packets,
    bytes,
    pending,
    unique,
    reordered,
    duplicate,
    late,
    lost,
    outliers,
  } of report.protocols) {
    metrics.total("tapline_sensor_flows_total", { protocol }, flows);
    metrics.total("tapline_sensor_packets_total", { protocol }, packets);
    metrics.total("tapline_sensor_flow_bytes_total", { protocol }, bytes);
    if (!(sequencedProtocols as readonly string[]).includes(protocol)) continue;
    metrics.set("tapline_sensor_pending", { protocol }, pending);
    for (const [outcome, count] of Object.entries({ unique, reordered, duplicate, late, lost, outliers }))
      metrics.total("tapline_sensor_sequence_total", { protocol, outcome }, count);
  }
  for (const protocol of sequencedProtocols)
    for (const [suspicion, { gaps, lost }] of Object.entries(shown.gaps.sums[protocol])) {
      const labels = { protocol, suspect: String(suspicion === "suspect") };
      metrics.total("tapline_sensor_gaps_total", labels, gaps);
      metrics.total("tapline_sensor_lost_packets_total", labels, lost);
    }
  metrics.choose("tapline_sensor_degradation", "rung", rungs, shown.rung);
  metrics.total("tapline_sensor_clock_steps_total", {}, report.clock.steps);
  metrics.set("tapline_sensor_clock_step_seconds", {}, report.clock.step_seconds);
  metrics.total("tapline_sensor_blinds_dropped_total", {}, report.blinds_dropped);
  metrics.total("tapline_sensor_live_write_errors_total", {}, shown.liveWriteErrors);
  metrics.total("tapline_sensor_spilled_bytes_total", {}, shown.spilledBytes);
  metrics.total("tapline_sensor_unread_batches_total", {}, shown.unreadBatches);
  for (const severity of ["warning", "error"] as const)
    metrics.set(
      "tapline_sensor_conditions",
      { severity },
      shown.conditions.filter((one) => one.severity === severity).length,
    );
  metrics.set("tapline_sensor_pinning_drift", {}, shown.drift);
  metrics.choose("tapline_store_state", "state", storeStates, shown.store.state);
  metrics.set("tapline_store_bytes", {}, shown.store.fileBytes ?? 0);
  metrics.set("tapline_store_waiting_bytes", {}, shown.store.waitingBytes);
  for (const [kind, count] of Object.entries(shown.store.droppedRecords))
    metrics.total("tapline_store_dropped_records_total", { kind }, count);
  if (shown.fleet) showFleet(metrics, shown.fleet, report);
}

function showInterface(
  metrics: SensorMetrics,
  row: SensorReport["interfaces"][number],
  blindSeconds: ReadonlyMap<BlindReason, number> | undefined,
): void {
  const name = row.interface;
  const labels = { interface: metrics.interface(name) };
  const counts = {
    tapline_sensor_seen_packets_total: row.seen,
    tapline_sensor_ring_dropped_packets_total: row.ring_drops,
    tapline_sensor_delivered_packets_total: row.delivered,
    tapline_sensor_decoded_packets_total: row.decoded,
    tapline_sensor_tracked_packets_total: row.tracked,
    tapline_sensor_bytes_total: row.bytes,
    tapline_sensor_super_packets_total: row.super_packets,
  } as const;
  for (const [metric, count] of Object.entries(counts))
    metrics.total(metric as keyof typeof counts, labels, count, name);
  for (const [reason, count] of Object.entries(row.undecodable))
    metrics.total("tapline_sensor_undecodable_packets_total", { ...labels, reason }, count, name);
  for (const [reason, count] of Object.entries(row.untracked))
    metrics.total("tapline_sensor_untracked_packets_total", { ...labels, reason }, count, name);
  for (const [reason, seconds] of blindSeconds ?? [])
    metrics.total("tapline_sensor_blind_seconds_total", { ...labels, reason }, seconds, name);
  for (const [counter, count] of Object.entries({ ...row.beside.kernel, ...row.beside.driver }))
    metrics.total("tapline_sensor_nic_dropped_packets_total", { ...labels, counter }, count, name);
  metrics.set("tapline_sensor_in_flight_packets", labels, row.in_flight);
  metrics.set("tapline_sensor_ledger_residue", labels, row.residue);
  metrics.set("tapline_sensor_interface_watched", labels, row.state === "watching" ? 1 : 0);
  metrics.set("tapline_sensor_ring_bytes", labels, row.ring_bytes);
}

function showFleet(metrics: SensorMetrics, { connection, findings }: Fleet, { bus }: SensorReport): void {
  const { accepted, acknowledged, overflowed, waiting } = findings.figures;
  metrics.set("tapline_bus_connected", {}, connection.state.state === "connected" ? 1 : 0);
  for (const [outcome, count] of Object.entries({ accepted, acknowledged, overflowed, untold: bus.untold }))
    metrics.total("tapline_bus_findings_total", { outcome }, count);
  metrics.set("tapline_bus_waiting_findings", {}, waiting);
  metrics.total("tapline_bus_unsent_reports_total", {}, bus.unsent_reports);
}
