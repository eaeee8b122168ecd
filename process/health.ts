// Whether a process lives and whether it is of use: named checks that its parts register. Looked up when asked, never waited for.

export interface CheckResult {
  readonly ok: boolean;
  readonly detail: string;
}
export interface Check extends CheckResult {
  readonly name: string;
}
export interface HealthState {
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

export interface Health {
  /** It must hold, or the process is restarted. Returns what takes it away again. */
  alive(name: string, look: () => CheckResult): () => void;
  /** It must hold, or the process is of no use at the moment, and is left to mend itself. */
  ready(name: string, look: () => CheckResult): () => void;
  /** An alive check: `beat` must have been called within the last `mostMs`; the time starts now. */
  heartbeat(name: string, mostMs: number): () => void;
  liveness(): HealthState;
  /** Also false when it is not alive. */
  readiness(): HealthState;
}

/** `now` in milliseconds, monotonic. */
export function createHealth(now: () => number = () => performance.now()): Health {
  const kinds = { alive: new Map<string, () => CheckResult>(), ready: new Map<string, () => CheckResult>() };

  const add = (kind: keyof typeof kinds, name: string, look: () => CheckResult): (() => void) => {
    if (kinds.alive.has(name) || kinds.ready.has(name)) throw new Error(`two health checks are named ${name}`);
    kinds[kind].set(name, look);
    return () => void kinds[kind].delete(name);
  };
  const checked = (kind: keyof typeof kinds): Check[] =>
    Array.from(kinds[kind], ([name, look]) => {
      try {
        const { ok, detail } = look();
        return { name, ok, detail };
      } catch (error) {
        return {
          name,
          ok: false,
          detail: `the check failed: ${error instanceof Error ? error.message : String(error)}`,
        };
      }
    });
  const state = (checks: readonly Check[]): HealthState => ({ ok: checks.every(({ ok }) => ok), checks });

  return {
    alive: (name, look) => add("alive", name, look),
    ready: (name, look) => add("ready", name, look),
    heartbeat: (name, mostMs) => {
      let last = now();
      add("alive", name, () => {
        const age = Math.round(now() - last);
        return { ok: age <= mostMs, detail: `last beat ${age} ms ago, ${mostMs} ms allowed` };
      });
      return () => {
        last = now();
      };
    },
    liveness: () => state(checked("alive")),
    readiness: () => state([...checked("alive"), ...checked("ready")]),
  };
}
