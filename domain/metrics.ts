// The names that Prometheus sees, with their help and labels. Every label has a closed list of values.

interface Metric {
  readonly help: string;
  readonly labels: readonly string[];
}
const metric = (help: string, ...labels: string[]): Metric => ({ help, labels });

interface TypedMetric<Type extends "counter" | "gauge"> extends Metric {
  readonly type: Type;
}
const counter = (help: string, ...labels: string[]): TypedMetric<"counter"> => ({ help, labels, type: "counter" });
const gauge = (help: string, ...labels: string[]): TypedMetric<"gauge"> => ({ help, labels, type: "gauge" });

/** Of the newest run in a database: gauges, because the next run starts again from nothing. */
export const runMetrics = {
  tapline_run: metric("Number of the newest run"),
  tapline_run_complete: metric("1 when the newest run has read its whole capture"),
  tapline_run_flows: metric("Flows", "protocol"),
  tapline_run_packets: metric("Packets received in flows", "protocol"),
  tapline_run_bytes: metric("Bytes on the wire of those packets", "protocol"),
  tapline_run_gaps: metric("Gaps", "protocol"),
  tapline_run_expected: metric("Sequence numbers expected", "protocol"),
  tapline_run_sequence: metric("Sequence numbers and packets by what became of them", "protocol", "outcome"),
  tapline_run_invariant_residue: metric("expected - unique - lost - pending; 0 unless there is a bug"),
  tapline_run_ledger_packets: metric("Packets at each stage of the ledger", "stage"),
  tapline_run_undecodable_packets: metric("Packets that could not be decoded", "reason"),
  tapline_run_untracked_packets: metric("Decoded packets of no followed flow", "reason"),
  tapline_run_ledger_residue: metric("What the ledger cannot account for; 0 unless there is a bug"),
} as const satisfies Record<string, Metric>;

export const apiMetrics = {
  tapline_api_requests_total: metric("Requests answered", "route", "method", "status"),
  tapline_api_request_seconds: metric("Time to answer", "route"),
} as const satisfies Record<string, Metric>;

/** What every long-lived process tells of itself. */
export const processMetrics = {
  tapline_process_start_seconds: metric("When the process started, in seconds since 1970"),
  tapline_process_cpu_seconds_total: metric("CPU time of all its threads", "mode"),
  tapline_process_resident_bytes: metric("Memory it holds"),
  tapline_process_heap_bytes: metric("Memory of JavaScript's heap in use"),
  tapline_process_loop_stall_seconds: metric(
    "Longest time the event loop stood still in the last 10 to 20 seconds, short by a tenth of a second at most",
  ),
  tapline_log_suppressed_total: metric("Log lines left out because the same message had just been written often"),
  tapline_log_dropped_total: metric("Log lines lost because nobody read them in time"),
  tapline_traces_lost_total: metric("Spans that could not be delivered"),
  tapline_process_reloads_total: metric("Reloads of the configuration", "result"),
} as const satisfies Record<string, Metric>;

/** Counters of semantics.md, as values of the label outcome. */
export const outcomes = ["unique", "reordered", "duplicate", "late", "lost", "pending", "outliers"] as const;
export const ledgerStages = ["seen", "ring_drops", "in_flight", "delivered", "decoded", "tracked"] as const;

const connected = gauge("1 while connected to NATS");
const unsentReports = counter("Reports not sent because NATS was away");

/** What a label tells when there are more values than it may have. */
export const otherLabel = "other";

/** A table of metrics that say their type. */
export type TypedMetrics = Readonly<Record<string, TypedMetric<"counter"> | TypedMetric<"gauge">>>;

/**
 * Of a running sensor. Counters start at 0 with its process. The label interface holds at most as many values as
 * `interfaceLabels`; what comes after them is counted as "other".
 */
export const sensorMetrics = {
  tapline_sensor_info: gauge("Always 1; says who this is", "node", "version"),
  tapline_sensor_seen_packets_total: counter("Packets the kernel saw for the rings", "interface"),
  tapline_sensor_ring_dropped_packets_total: counter("Packets dropped because a ring was full", "interface"),
  tapline_sensor_delivered_packets_total: counter("Packets taken out of the rings", "interface"),
  tapline_sensor_in_flight_packets: gauge("Packets in the rings that were not taken yet", "interface"),
  tapline_sensor_decoded_packets_total: counter("Packets decoded", "interface"),
  tapline_sensor_tracked_packets_total: counter("Packets of followed flows", "interface"),
  tapline_sensor_undecodable_packets_total: counter("Packets that could not be decoded", "interface", "reason"),
  tapline_sensor_untracked_packets_total: counter("Decoded packets of no followed flow", "interface", "reason"),
  tapline_sensor_ledger_residue: gauge("What the ledger cannot account for; 0 once traffic pauses", "interface"),
  tapline_sensor_bytes_total: counter("Bytes on the wire of delivered packets", "interface"),
  tapline_sensor_super_packets_total: counter("Frames that an offload had merged", "interface"),
  tapline_sensor_nic_dropped_packets_total: counter("Packets lost before the rings, as the NIC tells it", "interface", "counter"),
  tapline_sensor_softnet_dropped_packets_total: counter("Packets lost in the kernel's backlog, of the whole machine"),
  tapline_sensor_interface_watched: gauge("1 while the interface is watched", "interface"),
  tapline_sensor_ring_bytes: gauge("Memory of the rings", "interface"),
  tapline_sensor_blind_seconds_total: counter("Time not watched, or not wholly, by reason", "interface", "reason"),
  tapline_sensor_live_flows: gauge("Flows that have not ended"),
  tapline_sensor_flows_total: counter("Flows that began", "protocol"),
  tapline_sensor_packets_total: counter("Packets in flows", "protocol"),
  tapline_sensor_flow_bytes_total: counter("Bytes on the wire of those packets", "protocol"),
  tapline_sensor_sequence_total: counter("Sequence numbers and packets by what became of them", "protocol", "outcome"),
  tapline_sensor_pending: gauge("Numbers missing that are not counted lost yet", "protocol"),
  tapline_sensor_gaps_total: counter("Gaps; suspect when this sensor itself was not seeing everything", "protocol", "suspect"),
  tapline_sensor_lost_packets_total: counter("Numbers lost, by gap", "protocol", "suspect"),
  tapline_sensor_cap_evictions_total: counter("Flows ended because there was no room for more"),
  tapline_sensor_live_write_errors_total: counter("Writes of the files of active flows that failed; each is tried again"),
  tapline_sensor_spilled_bytes_total: counter("Results that waited in a file beside the database, because it was slower than they came"),
  tapline_sensor_unread_batches_total: counter("Batches of results that this file did not give back: lost"),
  tapline_sensor_degradation: gauge("1 for the rung of the memory budget's ladder that holds", "rung"),
  tapline_sensor_clock_steps_total: counter("Times the wall clock was set"),
  tapline_sensor_clock_step_seconds: gauge("By how much the wall clock was set in all; times of this run do not have it"),
  tapline_sensor_blinds_dropped_total: counter("Blind times that could not be kept"),
  tapline_sensor_conditions: gauge("Conditions that hold now", "severity"),
  tapline_sensor_pinning_drift: gauge("Settings of CPUs and IRQs that are not as wanted"),
  tapline_store_state: gauge("1 for the state the store is in", "state"),
  tapline_store_bytes: gauge("Size of the database"),
  tapline_store_waiting_bytes: gauge("Results not written yet"),
  tapline_store_dropped_records_total: counter("Results that could not be kept while nothing could be written", "kind"),
  tapline_bus_connected: connected,
  tapline_bus_findings_total: counter("Findings by what became of them", "outcome"),
  tapline_bus_waiting_findings: gauge("Findings not acknowledged yet"),
  tapline_bus_unsent_reports_total: unsentReports,
} as const satisfies TypedMetrics; // biome-ignore format: a table

export const interfaceLabels = 64;

/**
 * Of a running relay. Counters are the engines': they go on over a restart of its process. The label rule holds as many values as `metrics.rules` of its
 * configuration allows, those that came first; all others are summed under "other". Reasons are told by interface and engine, not by rule: that is in the API.
 */
export const relayMetrics = {
  tapline_relay_info: gauge("Always 1; says who this is", "node", "version"),
  tapline_relay_received_packets_total: counter("Packets that came in: passed + matched + refused", "interface", "engine"),
  tapline_relay_received_bytes_total: counter("Bytes of those packets", "interface", "engine"),
  tapline_relay_passed_packets_total: counter("Packets that were for no rule", "interface", "engine"),
  tapline_relay_matched_packets_total: counter("Packets that a rule took", "interface", "engine"),
  tapline_relay_refused_packets_total: counter("Packets that came for a rule and were not taken", "interface", "engine", "reason"),
  tapline_relay_ring_dropped_packets_total: counter("Packets dropped because a ring was full", "interface", "engine"),
  tapline_relay_wanted_packets_total: counter("Packets that outputs wanted to send: sent + dropped", "engine"),
  tapline_relay_sent_packets_total: counter("Packets sent", "engine"),
  tapline_relay_sent_bytes_total: counter("Bytes of those packets", "engine"),
  tapline_relay_dropped_packets_total: counter("Packets that an output wanted to send and did not", "engine", "reason"),
  tapline_relay_ledger_residue: gauge("What the ledgers of interfaces and outputs cannot account for; 0 once traffic pauses"),
  tapline_relay_rule_matched_packets_total: counter("Packets that the rule took", "rule"),
  tapline_relay_rule_sent_packets_total: counter("Packets sent by its outputs", "rule"),
  tapline_relay_rule_dropped_packets_total: counter("Packets that its outputs wanted to send and did not", "rule"),
  tapline_relay_rules: gauge("Rules by how they stand", "state"),
  tapline_relay_hop_packets_total: counter("Tunnel packets and numbers by what became of them, over all paths", "outcome"),
  tapline_relay_hop_pending: gauge("Numbers missing that are not counted lost yet, over all paths"),
  tapline_relay_workers: gauge("Processes that carry packets in user space", "state"),
  tapline_relay_worker_restarts_total: counter("Times one of them was started again"),
  tapline_relay_pinned: gauge("1 while forwarding would go on without this process"),
  tapline_relay_plan_generation: gauge("Generation of the plan that runs; 0 for none"),
  tapline_relay_changes_total: counter("Changes of the rules", "result"),
  tapline_relay_conditions: gauge("Conditions that hold now", "severity"),
  tapline_bus_connected: connected,
  tapline_bus_unsent_reports_total: unsentReports,
} as const satisfies TypedMetrics; // biome-ignore format: a table

/** Of a running operator: what it says to the Kubernetes API, and what it does about what it hears. */
export const operatorMetrics = {
  tapline_operator_requests_total: counter("Requests to the Kubernetes API; code is none when there was no answer", "verb", "resource", "code"),
  tapline_operator_objects: gauge("Objects known", "resource"),
  tapline_operator_lists_total: counter("Whole lists asked for, and why", "resource", "why"),
  tapline_operator_watches_total: counter("Watches that ended, and how", "resource", "end"),
  tapline_operator_watched_total: counter("Changes that watches told", "resource", "type"),
  tapline_operator_missed_total: counter("Changes that a watch should have told and did not, found by comparing", "resource"),
  tapline_operator_queue_depth: gauge("Objects that wait to be looked at", "controller"),
  tapline_operator_queue_oldest_seconds: gauge("How long the oldest of them waits", "controller"),
  tapline_operator_queue_added_total: counter("Objects put into the queue; not those that were in it already", "controller"),
  tapline_operator_queue_retries_total: counter("Objects put into the queue again after a failure", "controller"),
  tapline_operator_reconciles_total: counter("Looks at an object by what came of them", "controller", "outcome"),
  tapline_operator_applies_total: counter("Objects to be applied by what came of it", "resource", "outcome"),
  tapline_operator_events_total: counter("Events for Kubernetes by what became of them", "outcome"),
  tapline_operator_finalizers_total: counter("Objects let go, in order or overdue", "outcome"),
  tapline_operator_reports_refused_total: counter("Reports of agents that are not believed, by why", "reason"),
  tapline_operator_leader: gauge("1 while this process leads"),
  tapline_operator_lease_attempts_total: counter("Attempts to take or renew the lease", "result"),
} as const satisfies TypedMetrics; // biome-ignore format: a table

/** Times of the same, as histograms. */
export const operatorTimes = {
  tapline_operator_reconcile_seconds: metric("Time for one look at an object", "controller"),
  tapline_operator_queue_seconds: metric("Time in the queue", "controller"),
} as const satisfies Record<string, Metric>;

/** Values of the label outcome of reconciles. */
export const reconcileOutcomes = ["done", "again", "failed", "overdue", "stopped"] as const;
