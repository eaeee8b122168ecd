// The names that Prometheus sees, with their help and labels. Every label has a closed list of values.

interface Metric {
  readonly help: string;
  readonly labels: readonly string[];
}
const metric = (help: string, ...labels: string[]): Metric => ({ help, labels });

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
  tapline_process_loop_stall_seconds: metric("Longest time the event loop stood still in the last 10 to 20 seconds"),
  tapline_log_suppressed_total: metric("Log lines left out because the same message had just been written often"),
  tapline_log_dropped_total: metric("Log lines lost because nobody read them in time"),
  tapline_traces_lost_total: metric("Spans that could not be delivered"),
} as const satisfies Record<string, Metric>;

/** Counters of semantics.md, as values of the label outcome. */
export const outcomes = ["unique", "reordered", "duplicate", "late", "lost", "pending", "outliers"] as const;
export const ledgerStages = ["seen", "ring_drops", "in_flight", "delivered", "decoded", "tracked"] as const;
