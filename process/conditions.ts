// What is not as it should be, as long as it lasts. Each second says what holds now; what leaves are the changes.
// A condition is cleared only after it has not held for a while: one that flaps is one condition, not a hundred.
import { TaplineError, type ErrorCode, type ErrorDetails } from "#domain/errors.ts";

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
