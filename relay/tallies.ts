// Each second the engines' figures become rows: one for each rule, with rates. A rule that nothing came for keeps the row it has, so that ten thousand
// idle rules cost next to nothing. Enters: figures, absolute, and how the rules stand. Leaves: rows, and what was added since the look before.
import type { OutputRow, RuleDetail, RuleRow } from "#domain/relay-report.ts";
import { destinationOf, portOf } from "#domain/relay-rule.ts";
import { timeText } from "#domain/time.ts";
import type { RelayDrop } from "#domain/vocabulary.ts";
import type { RelayFigures, RelayOutputFigures, RelayRuleFigures } from "#native/relay.ts";
import type { Stand } from "./programme.ts";
import { added, nonZero, rate, summed, sumOf } from "./sums.ts";

export interface RuleAdded {
  readonly stand: Stand;
  readonly matched: number;
  readonly wanted: number;
  readonly sent: number;
  readonly sentBytes: number;
  readonly dropped: Partial<Record<RelayDrop, number>>;
}

interface Known {
  stand: Stand;
  row: RuleRow;
  rule: RelayRuleFigures | undefined;
  outputs: ReadonlyMap<string, RelayOutputFigures>;
  before: ReadonlyMap<string, RelayOutputFigures>;
  /** between the last two looks */
  ns: number;
  quiet: boolean;
}

const none: ReadonlyMap<string, RelayOutputFigures> = new Map();

export class Tallies {
  #known = new Map<string, Known>();
  #rows: readonly RuleRow[] = [];
  /** ids, sorted once for each programming */
  #order: readonly string[] = [];
  #stands: ReadonlyMap<string, Stand> | undefined;
  #atNs: bigint | undefined;

  /** By id. */
  get rows(): readonly RuleRow[] {
    return this.#rows;
  }

  /** Tells of each rule that something was added to. */
  update(figures: RelayFigures, stands: ReadonlyMap<string, Stand>, ns: bigint, tell: (more: RuleAdded) => void): void {
    const between = Number(ns - (this.#atNs ?? ns));
    this.#atNs = ns;
    const rules = new Map(figures.rules.map((one) => [one.id, one]));
    const outputs = Map.groupBy(figures.outputs, ({ rule }) => rule);
    const known = new Map<string, Known>();
    for (const [id, stand] of stands)
      known.set(id, this.#look(this.#known.get(id), stand, rules.get(id), outputs.get(id) ?? [], between, tell));
    this.#known = known;
    if (stands !== this.#stands) this.#order = [...known.keys()].sort();
    this.#stands = stands;
    this.#rows = this.#order.map((id) => (known.get(id) as Known).row);
  }

  detail(id: string): RuleDetail | undefined {
    const known = this.#known.get(id);
    return known && { ...known.row, outputs: outputRows(known) };
  }

  #look(
    before: Known | undefined,
    stand: Stand,
    rule: RelayRuleFigures | undefined,
    outputs: readonly RelayOutputFigures[],
    ns: number,
    tell: (more: RuleAdded) => void,
  ): Known {
    const moved = !before || movedSince(before, rule, outputs);
    if (before && !moved && before.quiet && before.stand === stand) return before;
    const now = new Map(outputs.map((one) => [one.id, one]));
    const old = before?.outputs ?? none;
    const of = (pick: (one: RelayOutputFigures) => number): number =>
      outputs.reduce(
        (total, one) => total + added(pick(one), old.get(one.id) && pick(old.get(one.id) as RelayOutputFigures)),
        0,
      );
    const more: RuleAdded = {
      stand,
      matched: added(rule?.matched ?? 0, before?.rule?.matched),
      wanted: of(({ wanted }) => wanted),
      sent: of(({ sent }) => sent),
      sentBytes: of(({ sentBytes }) => sentBytes),
      dropped: addedDrops(outputs, old),
    };
    if (moved) tell(more);
    // Counts that were there before this process are no rate.
    const perSecond = before ? more : { sent: 0, sentBytes: 0 };
    return {
      stand,
      rule,
      outputs: now,
      before: before ? old : now,
      ns,
      quiet: !moved,
      row: ruleRow(stand, rule, outputs, rate(perSecond.sent, ns), rate(perSecond.sentBytes, ns) * 8),
    };
  }
}

function movedSince(
  before: Known,
  rule: RelayRuleFigures | undefined,
  outputs: readonly RelayOutputFigures[],
): boolean {
  if (rule?.matched !== before.rule?.matched) return true;
  if (rule && before.rule && sumOf(rule.refused) !== sumOf(before.rule.refused)) return true;
  return outputs.some((one) => {
    const old = before.outputs.get(one.id);
    return one.sent !== (old?.sent ?? 0) || one.wanted !== (old?.wanted ?? 0);
  });
}

function addedDrops(
  outputs: readonly RelayOutputFigures[],
  old: ReadonlyMap<string, RelayOutputFigures>,
): Partial<Record<RelayDrop, number>> {
  const sums: Partial<Record<RelayDrop, number>> = {};
  for (const one of outputs)
    for (const [reason, count] of Object.entries(one.dropped) as [RelayDrop, number][]) {
      const more = added(count, old.get(one.id)?.dropped[reason]);
      if (more > 0) sums[reason] = (sums[reason] ?? 0) + more;
    }
  return sums;
}

/** What names a rule's input: the fields of its row that never change. */
export const inputOf = ({ rule: { from } }: Stand) => ({
  input_interface: from.interface ?? null,
  input_vlan: from.vlan ?? null,
  input_group: from.group ?? from.address ?? null,
  input_port: from.port ?? null,
  input_path: from.tunnel?.path ?? null,
});

function ruleRow(
  stand: Stand,
  figures: RelayRuleFigures | undefined,
  outputs: readonly RelayOutputFigures[],
  packetsPerSecond: number,
  bitsPerSecond: number,
): RuleRow {
  const { rule, engine, why, state } = stand;
  const last = figures?.lastNs ?? 0n;
  return {
    id: rule.id,
    name: rule.name,
    state,
    engine,
    why,
    ...inputOf(stand),
    matched: figures?.matched ?? 0,
    bytes: figures?.bytes ?? 0,
    refused: nonZero(figures?.refused ?? {}),
    packets_relayed: outputs.reduce((sum, one) => sum + one.sent, 0),
    bytes_relayed: outputs.reduce((sum, one) => sum + one.sentBytes, 0),
    dropped: summed(outputs.map(({ dropped }) => dropped)),
    last: last === 0n ? null : timeText(last),
    packets_per_second: packetsPerSecond,
    bits_per_second: bitsPerSecond,
  };
}

function smallOf({ found }: Stand, id: string): OutputRow["too_small"] {
  const small = found.small.find(({ output }) => output === id);
  return small ? { interface: small.interface, mtu: small.mtu, needed: small.needed, fits: small.fits } : null;
}

function outputRows({ stand, outputs, before, ns }: Known): OutputRow[] {
  const { rule, found } = stand;
  return found.outputs.map(({ output, link, problem }) => {
    const one = outputs.get(output.id);
    const old = before.get(output.id);
    const { input_group, input_port } = inputOf(stand);
    const dropped = one?.dropped ?? {};
    return {
      id: output.id,
      input_group,
      input_port,
      interface: link?.name ?? output.interface ?? null,
      destination: output.tunnel?.to ?? destinationOf(rule, output) ?? null,
      port: output.tunnel ? null : (portOf(rule, output) ?? null),
      path: output.tunnel?.path ?? null,
      problem,
      too_small: smallOf(stand, output.id),
      wanted: one?.wanted ?? 0,
      packets_relayed: one?.sent ?? 0,
      bytes_relayed: one?.sentBytes ?? 0,
      dropped: nonZero(dropped),
      residue: (one?.wanted ?? 0) - (one?.sent ?? 0) - sumOf(dropped),
      packets_per_second: rate(added(one?.sent ?? 0, old?.sent), ns),
      bits_per_second: rate(added(one?.sentBytes ?? 0, old?.sentBytes), ns) * 8,
    };
  });
}
