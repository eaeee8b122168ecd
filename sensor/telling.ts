// Who hears of a condition: the log, listeners of the stream, and the fleet.
import type { Finding } from "#domain/finding.ts";
import { timeText } from "#domain/time.ts";
import type { Stream } from "#api/stream.ts";
import type { Log } from "#process/log.ts";
import type { Change } from "./conditions.ts";

export interface Hearers {
  readonly log: Log;
  readonly stream: Stream;
  readonly fleet: (finding: Finding) => void;
}

export function tell({ log, stream, fleet }: Hearers, { state, condition }: Change): void {
  const { code, subject, severity, message, hint, sinceNs } = condition;
  const since = timeText(sinceNs);
  if (state === "raised") log[severity]("raised a condition", { code, about: subject, detail: message, hint });
  else log.notice("cleared a condition", { code, about: subject, detail: message, since });
  stream.publish("condition", { state, code, about: subject, severity, message, hint, since });
  fleet({ v: 1, kind: "condition", code, severity, state, message, since });
}
