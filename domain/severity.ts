// How urgent a log line is, and which part of a process wrote it. Both closed, so that they can be settings and labels.

/** RFC 5424's names, least urgent first. Its `alert` and `emergency` are for whole systems, not for one process. */
export const severities = ["debug", "info", "notice", "warning", "error", "critical"] as const;
export type Severity = (typeof severities)[number];

export const facilities = [
  "process", // start, reload, shutdown, metrics, profiling, traces
  "capture", // interfaces, rings, threads
  "analysis", // flow tables, degradation
  "store",
  "bus",
  "api",
  "host", // NICs, CPUs, IRQs
  "relay",
  "operator",
  "console",
  "stats", // what is counted, once a second
] as const;
export type Facility = (typeof facilities)[number];
