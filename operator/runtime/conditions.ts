// Conditions of a status. Enters: those it has, and what holds now. Leaves: those it is to have; a time changes only when a status does. Pure.

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  /** CamelCase, for programs */
  readonly reason: string;
  /** for people */
  readonly message: string;
  /** of the spec that this was said about */
  readonly observedGeneration: number;
  /** RFC 3339 */
  readonly lastTransitionTime: string;
}

export type Holding = Pick<Condition, "type" | "status" | "reason" | "message">;

/** The API's limit. */
const mostMessage = 32_768;

/** `now`: milliseconds since 1970. Conditions that are not in `holding` stay as they are. */
export function withConditions(
  before: readonly Condition[] | undefined,
  holding: readonly Holding[],
  { generation, now }: { readonly generation: number; readonly now: number },
): Condition[] {
  const time = new Date(now).toISOString().replace(/\.\d+Z$/, "Z");
  const next = new Map((before ?? []).map((condition) => [condition.type, condition]));
  for (const { type, status, reason, message } of holding) {
    const old = next.get(type);
    next.set(type, {
      type,
      status,
      reason,
      message: message.slice(0, mostMessage),
      observedGeneration: generation,
      lastTransitionTime: old?.status === status ? old.lastTransitionTime : time,
    });
  }
  return [...next.values()];
}
