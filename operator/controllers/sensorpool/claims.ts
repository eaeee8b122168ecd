// Which pool watches an interface of a node. Two rings on one interface would each count every packet, so one pool has it: the oldest. The younger one is refused as a whole, and both are
// named: half a pool would be a number that nobody understands. Pure.
import { type NodeFacts, selects } from "../nodes.ts";
import { byAge } from "../relayrule/rule-object.ts";
import type { PoolObject } from "./pool-object.ts";

export interface PoolRefusal {
  readonly reason: string;
  readonly message: string;
}

type Entry = PoolObject["spec"]["interfaces"][number];

export const poolNodes = (pool: PoolObject, nodes: Iterable<NodeFacts>): string[] => {
  const found: string[] = [];
  for (const { name, labels } of nodes) if (selects(pool.spec.nodes.selector ?? {}, labels)) found.push(name);
  return found.sort();
};

/** By pool: why it is refused. */
export function refusedPools(pools: readonly PoolObject[], nodes: ReadonlyMap<string, NodeFacts>): Map<string, PoolRefusal> {
  const refused = new Map<string, PoolRefusal>();
  const holders = new Map<string, PoolObject[]>();
  for (const pool of pools.filter(({ leaving }) => leaving !== true).toSorted(byAge)) {
    const own = poolNodes(pool, nodes.values());
    const clash = own.map((node) => clashOn(nodes.get(node), pool, holders.get(node) ?? [])).find((one) => one !== undefined); // biome-ignore format: one row
    if (clash) {
      refused.set(pool.name, clash);
      continue;
    }
    for (const node of own) holders.set(node, [...(holders.get(node) ?? []), pool]);
  }
  return refused;
} // biome-ignore format: a short function

function clashOn(node: NodeFacts | undefined, pool: PoolObject, older: readonly PoolObject[]): PoolRefusal | undefined {
  for (const other of older)
    for (const mine of pool.spec.interfaces)
      for (const theirs of other.spec.interfaces) {
        const shared = sharedName(mine, theirs, node);
        if (shared !== undefined)
          return {
            reason: "InterfaceClaimed",
            message: `${shared} on ${node?.name} is watched by the older pool ${other.name} already: ${pool.name} and ${other.name} cannot both. Name other interfaces, or other nodes`,
          };
      }
  return undefined;
}

/** What both mean, as far as it can be told: by the interfaces that the node is known to have, else by the names alone. */
function sharedName(a: Entry, b: Entry, node: NodeFacts | undefined): string | undefined {
  if (a.name !== undefined && b.name !== undefined) return a.name === b.name ? a.name : undefined;
  if (a.driver !== undefined && b.driver !== undefined) return a.driver === b.driver ? `driver ${a.driver}` : undefined;
  if (a.driver !== undefined || b.driver !== undefined) return undefined; // which interfaces a driver has is the sensor's to find out
  for (const name of new Set([a.name, b.name, ...(node?.interfaces?.keys() ?? [])]))
    if (name !== undefined && means(a, name) && means(b, name)) return name;
  return a.glob !== undefined && a.glob === b.glob ? a.glob : undefined;
}

const means = ({ name, glob, exclude = [] }: Entry, found: string): boolean =>
  name === found || (glob !== undefined && found !== "lo" && globMatches(glob, found) && !exclude.includes(found));

/** * ? [a-z], as the sensor's own (host/matching.ts). */
function globMatches(glob: string, name: string): boolean {
  const pattern = glob.replaceAll(/[.+^${}()|\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".").replaceAll("[!", "[^"); // biome-ignore format: one chain
  try {
    return new RegExp(`^${pattern}$`).test(name);
  } catch {
    return glob === name; // an open bracket stands for itself
  }
}
