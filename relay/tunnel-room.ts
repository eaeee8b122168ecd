// Whether what comes in fits into a rule's tunnels. Pure. Enters: where packets come in, and the ways out. Leaves: the paths whose way is too small for the largest that
// may come; those packets will be dropped as `mtu`, and that is told beforehand.
import type { NamedRule } from "#domain/relay-rule.ts";
import type { OutputWay } from "./resolve.ts";
import type { Surroundings } from "./surroundings.ts";

export interface TooSmall {
  /** its id */
  readonly output: string;
  readonly path: number;
  readonly to: string;
  /** where the path leaves this node */
  readonly interface: string;
  /** what is there, in bytes of an IP packet */
  readonly mtu: number;
  /** the largest packet that may come in */
  readonly wanted: number;
  readonly overhead: number;
  readonly needed: number;
  /** the largest packet that goes through */
  readonly fits: number;
}

/** The header of the tunnel, UDP and IP around a packet. */
const overheadOf = (version: 4 | 6): number => 32 + 8 + (version === 4 ? 20 : 40);

export function tooSmall(
  { from, to }: Pick<NamedRule, "from" | "to">,
  inputs: readonly number[],
  outputs: readonly OutputWay[],
  near: Pick<Surroundings, "linkAt">,
): TooSmall[] {
  if (!to.some(({ tunnel }) => tunnel)) return [];
  const largest = Math.max(0, ...inputs.map((ifindex) => near.linkAt(ifindex)?.mtu ?? 0));
  // What comes by a tunnel came into it smaller.
  const [peer] = from.tunnel?.peers ?? [];
  const wanted = largest - (peer === undefined ? 0 : overheadOf(peer.includes(":") ? 6 : 4));
  return outputs.flatMap(({ output: { id, tunnel }, link, mtu }): TooSmall[] => {
    if (!tunnel || !link) return [];
    const overhead = overheadOf(tunnel.to.includes(":") ? 6 : 4);
    if (wanted + overhead <= mtu) return [];
    const sizes = { mtu, wanted, overhead, needed: wanted + overhead, fits: mtu - overhead };
    return [{ output: id, path: tunnel.path, to: tunnel.to, interface: link.name, ...sizes }];
  });
}
