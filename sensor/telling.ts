// Who hears of a condition: the log, listeners of the stream, and the fleet.
import type { Finding } from "#domain/finding.ts";
import { timeText } from "#domain/time.ts";
import type { Stream } from "#api/stream.ts";
import type { Log } from "#process/log.ts";
import { type Change, logChange } from "#process/conditions.ts";

export interface Hearers {
  readonly log: Log;
  readonly stream: Stream;
  readonly fleet: (finding: Finding) => void;
}

export function tell({ log, stream, fleet }: Hearers, change: Change): void {
  logChange(log, change);
  const { state, condition } = change;
  const { code, subject, severity, message, hint, sinceNs } = condition;
  const since = timeText(sinceNs);
  stream.publish("condition", { state, code, about: subject, severity, message, hint, since });
  fleet({ v: 1, kind: "condition", code, severity, state, message, since });
}
