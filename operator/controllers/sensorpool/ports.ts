// Ports of the pools on a node: agents share its network, so no two pools may have the same. The oldest pool has 3001 and 9464, the next one the next pair; a pool keeps
// what it has as long as it lives. Pure.
import { byAge } from "../relayrule/rule-object.ts";
import type { PoolObject } from "./pool-object.ts";

export interface PoolPorts {
  readonly api: number;
  readonly metrics: number;
}

const first: PoolPorts = { api: 3001, metrics: 9464 };
/** The relay's, and others that an agent's node may have in use by our own processes. */
const taken = new Set([3000, 3002, 6060, 6087, 9463, 9465]);

const pair = (n: number): PoolPorts => ({ api: first.api + n, metrics: first.metrics + n });
const free = ({ api, metrics }: PoolPorts): boolean => !taken.has(api) && !taken.has(metrics);

/** `had`: as the pools' statuses say. */
export function allotPorts(
  pools: readonly Pick<PoolObject, "name" | "created">[],
  had: (pool: string) => PoolPorts | undefined,
): Map<string, PoolPorts> {
  const allotted = new Map<string, PoolPorts>();
  const given = new Set<number>();
  const give = (name: string, ports: PoolPorts): void => {
    allotted.set(name, ports);
    given.add(ports.metrics - first.metrics);
  };
  const sorted = pools.toSorted(byAge);
  for (const { name } of sorted) {
    const ports = had(name);
    const n = ports === undefined ? -1 : ports.metrics - first.metrics;
    if (ports && n >= 0 && ports.api === first.api + n && free(ports) && !given.has(n)) give(name, ports);
  }
  for (const { name } of sorted) {
    if (allotted.has(name)) continue;
    let n = 0;
    while (given.has(n) || !free(pair(n))) n++;
    give(name, pair(n));
  }
  return allotted;
}
