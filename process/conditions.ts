// What is not as it should be, as long as it lasts. Each second says what holds now; what leaves are the changes.
// A condition is cleared only after it has not held for a while: one that flaps is one condition, not a hundred.
import { TaplineError, type ErrorCode, type ErrorDetails } from "#domain/errors.ts";
import { timeText } from "#domain/time.ts";
import type { Log } from "./log.ts";

export type Severity = "warning" | "error";

/** One thing that holds now. The same code about two subjects (interfaces, say) is two conditions. */
export interface Holding {
  readonly code: ErrorCode;
  readonly subject: string;
  readonly severity: Severity;
  readonly details: ErrorDetails;
}

export interface Condition {
  readonly code: ErrorCode;
  readonly subject: string;
  readonly severity: Severity;
  /** as it was told first; figures in it grow meanwhile */
  readonly message: string;
  readonly hint: string;
  readonly sinceNs: bigint;
}

export interface Change {
  readonly state: "raised" | "cleared";
  readonly condition: Condition;
}

/** updates in a row without it before a condition counts as over */
const quietUpdates = 5;

export class Conditions {
  readonly #standing = new Map<string, { readonly condition: Condition; quiet: number }>();

  get standing(): readonly Condition[] {
    return [...this.#standing.values()].map(({ condition }) => condition);
  }

  update(holding: readonly Holding[], nowNs: bigint): Change[] {
    const changes: Change[] = [];
    for (const entry of this.#standing.values()) entry.quiet++;
    for (const { code, subject, severity, details } of holding) {
      const name = `${code} ${subject}`;
      const known = this.#standing.get(name);
      if (known) {
        known.quiet = 0;
        continue;
      }
      const { message, hint } = new TaplineError(code, details);
      const condition = { code, subject, severity, message, hint, sinceNs: nowNs };
      this.#standing.set(name, { condition, quiet: 0 });
      changes.push({ state: "raised", condition });
    }
    for (const [name, { condition, quiet }] of this.#standing) {
      if (quiet < quietUpdates) continue;
      this.#standing.delete(name);
      changes.push({ state: "cleared", condition });
    }
    return changes;
  }
}

export function logChange(log: Log, { state, condition }: Change): void {
  const { code, subject, severity, message, hint, sinceNs } = condition;
  if (state === "raised") log[severity]("raised a condition", { code, about: subject, detail: message, hint });
  else log.notice("cleared a condition", { code, about: subject, detail: message, since: timeText(sinceNs) });
}

interface Told {
  readonly state: Change["state"];
  readonly about: string;
  readonly error: TaplineError;
  readonly since: bigint;
}
/** What the bus tells: without NATS an agent does its work all the same, so nothing about it is worse than a warning. */
export const asWarning = ({ state, about, error: { code, message, hint }, since }: Told): Change => ({
  state,
  condition: { code, subject: about, severity: "warning", message, hint, sinceNs: since },
});
