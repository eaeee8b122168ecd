// From the rules that run to those that shall, step by step, so that no packet is sent to a relay that does not know its path yet, and none is in vain.
// Receivers first: an output to a tunnel is written only when the relay at its end has acknowledged the path. Removal the other way round: a tunnel's rule goes
// when its sender has acknowledged that it sends no more. A node that is silent holds nobody up. What a node runs goes on until its plan can be whole again. Pure; called anew whenever something was acknowledged.
import type { RelayRule as NodeRule } from "#domain/relay-rule.ts";
import type { PlacedPath } from "./lay-out.ts";

export type PlannedRule = NodeRule & { readonly id: string };

/** Of one node. */
export interface Standing {
  /** the newest plan that was written for it; undefined: none ever was */
  readonly written: readonly PlannedRule[] | undefined;
  /** its relay reports that generation as the one that runs */
  readonly acknowledged: boolean;
  /** what it ran before, until it acknowledges; undefined: this operator does not know, for it has just begun */
  readonly before?: readonly PlannedRule[] | undefined;
  /** heard within three intervals; or it is too early to say */
  readonly alive: boolean;
  /** nothing is written for it, and it may run something all the same: a NATS that lost its plans, a relay that did not speak yet */
  readonly unknown?: boolean;
}

export interface Step {
  /** what each node's plan holds now; of nodes that never had one and need none there is none */
  readonly plans: ReadonlyMap<string, readonly PlannedRule[]>;
  /** node → what it waits for */
  readonly waiting: ReadonlyMap<string, readonly string[]>;
}

export function nextStep(
  desired: ReadonlyMap<string, readonly PlannedRule[]>,
  paths: readonly PlacedPath[],
  standing: ReadonlyMap<string, Standing>,
): Step {
  const receiverOf = new Map(paths.map(({ path, to }) => [path, to.node]));
  const sending = senders(standing);
  const listening = new Map([...standing].map(([node, { written = [] }]) => [node, new Set(written.flatMap(pathOf))]));
  const ready = (path: number): boolean => {
    const node = receiverOf.get(path) ?? "";
    return standing.get(node)?.acknowledged === true && listening.get(node)?.has(path) === true;
  };

  const plans = new Map<string, readonly PlannedRule[]>();
  const waiting = new Map<string, string[]>();
  for (const node of new Set([...desired.keys(), ...standing.keys()])) {
    const now = standing.get(node);
    const wanted = desired.get(node) ?? [];
    if (wanted.length === 0 && now?.written === undefined) continue;
    const old = new Map(now?.written?.map((rule) => [rule.id, rule]));
    const waits = new Set<string>();
    const rules = wanted.flatMap((rule) => {
      const before = old.get(rule.id);
      // What was sent already goes on: its receiver may have another plan to take, or be unknown to an operator that has just begun.
      const unready = rule.to.filter((output) => output.tunnel && !ready(output.tunnel.path) && !(before && sends(before, output))); // biome-ignore format: one row
      for (const { tunnel } of unready) waits.add(receiverOf.get(tunnel?.path ?? 0) ?? "?");
      if (unready.length === 0) return [rule];
      // What goes away stays until what comes in its place can take over; for a dead node nobody waits.
      const awaited = unready.some(
        ({ tunnel }) => standing.get(receiverOf.get(tunnel?.path ?? 0) ?? "")?.alive === true,
      );
      const kept = awaited ? tunnelsOf(before) : [];
      const to = [...rule.to.filter((output) => !unready.includes(output)), ...kept.filter((one) => !sends(rule, one))];
      return to.length === 0 ? [] : [{ ...rule, to }];
    });
    if (waits.size > 0) waiting.set(node, [...waits].sort());
    if (now?.unknown === true && [...waits].some((other) => standing.get(other)?.alive === true)) continue;
    const ids = new Set(wanted.map(({ id }) => id));
    const drained = [...old.values()].filter((rule) => {
      if (ids.has(rule.id)) return false;
      const by = pathOf(rule).flatMap((path) => sending(path));
      for (const sender of by) waits.add(sender);
      return by.length > 0;
    });
    plans.set(
      node,
      [...rules, ...drained].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    );
    if (waits.size > 0) waiting.set(node, [...waits].sort());
  }
  return { plans, waiting };
}

const pathOf = ({ from }: PlannedRule): number[] => (from.tunnel ? [from.tunnel.path] : []);
type Output = PlannedRule["to"][number];
const tunnelsOf = (rule: PlannedRule | undefined): Output[] => rule?.to.filter(({ tunnel }) => tunnel) ?? [];
const sends = (rule: PlannedRule, { tunnel }: Output): boolean => rule.to.some((one) => one.tunnel?.path === tunnel?.path); // biome-ignore format: one row

/**
 * Who may still send on a path: a live node whose newest plan says so, or that has not taken its newest plan yet and ran one that did. Of a node of which
 * it is not known what it runs, everything is possible.
 */
function senders(standing: ReadonlyMap<string, Standing>): (path: number) => string[] {
  const known = new Map<number, Set<string>>();
  const unclear: string[] = [];
  for (const [node, { written = [], acknowledged, before, alive }] of standing) {
    if (!alive) continue;
    if (!acknowledged && before === undefined) unclear.push(node);
    for (const { tunnel } of [...written, ...(acknowledged ? [] : (before ?? []))].flatMap((rule) => rule.to))
      if (tunnel) known.set(tunnel.path, (known.get(tunnel.path) ?? new Set()).add(node));
  }
  return (path) => [...new Set([...(known.get(path) ?? []), ...unclear])];
}
