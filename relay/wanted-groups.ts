// Which groups are to be joined, and where. Pure. Enters: how the rules stand, and a picture. Leaves: memberships; and those that cannot be had, for the tag of a VLAN is put
// on a report by the VLAN's own interface alone: a report without it would ask the wrong network.
import type { NamedRule } from "#domain/relay-rule.ts";
import type { Membership } from "./memberships.ts";
import type { Stand } from "./programme.ts";
import { bytesOf } from "./resolve.ts";
import type { Surroundings } from "./surroundings.ts";

export interface NotJoined {
  readonly interface: string;
  readonly group: string;
  readonly detail: string;
}
export interface WantedGroups {
  readonly wanted: readonly Membership[];
  readonly impossible: readonly NotJoined[];
}

export function wantedGroups(stands: Iterable<Stand>, near: Pick<Surroundings, "linkAt" | "vlanOf">): WantedGroups {
  const wanted: Membership[] = [];
  /** by interface and VLAN: their rules are told together */
  const without = new Map<string, NotJoined & { readonly groups: Set<string> }>();
  for (const { rule, found, state } of stands) {
    const { group, vlan } = rule.from;
    const [ifindex] = found.ends.inputs;
    // What comes in by a tunnel needs no joining.
    if (state === "waiting" || group === undefined || ifindex === undefined) continue;
    const link = vlan === undefined ? near.linkAt(ifindex) : near.vlanOf(ifindex, vlan);
    if (link) {
      wanted.push(...membershipsOf(rule, link.index, group));
      continue;
    }
    const name = near.linkAt(ifindex)?.name ?? `interface ${ifindex}`;
    const place = `${name}, VLAN ${vlan}`;
    const detail = `there is no interface of this VLAN, whose reports would have its tag: ip link add link ${name} name ${name}.${vlan} type vlan id ${vlan}`;
    const known = without.get(place) ?? { interface: place, group, detail, groups: new Set() };
    without.set(place, { ...known, groups: known.groups.add(group) });
  }
  const impossible = [...without.values()].map(({ groups, group, ...rest }) => ({
    ...rest,
    group: groups.size === 1 ? group : `${group} and ${groups.size - 1} more`,
  }));
  return { wanted, impossible };
}

function membershipsOf({ from }: NamedRule, ifindex: number, text: string): Membership[] {
  const group = bytesOf(text);
  if (from.sources.length === 0) return [{ ifindex, group }];
  return from.sources.map((source) => ({ ifindex, group, source: bytesOf(source) }));
}
