// One finding about this node, and what to do about it.

export interface Check {
  readonly name: string;
  /** missing: a capture does not work without it; warning: it works, less well */
  readonly verdict: "ok" | "warning" | "missing" | "not applicable";
  readonly found: string;
  readonly why: string;
  /** a command line, or what else to do; only for warning and missing */
  readonly remedy?: string;
}

/** A check that is well carries no remedy. */
export const check = (
  name: string,
  good: boolean,
  found: string,
  why: string,
  remedy: string,
  otherwise: "warning" | "missing" = "warning",
): Check => (good ? { name, verdict: "ok", found, why } : { name, verdict: otherwise, found, why, remedy });
