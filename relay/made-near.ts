// For tests: surroundings as a table, and engines that there are none of.
import type { RelayProbe } from "#native/relay.ts";
import type { Engines } from "./engines.ts";
import { bytesOf } from "./resolve.ts";
import type { NearLink, Surroundings } from "./surroundings.ts";

export const able: Omit<RelayProbe, "ifindex"> = {
  driver: "veth",
  xdp: "native",
  foreignXdp: false,
  foreignTc: false,
  xdpTarget: true,
  why: "",
};

export interface Made {
  /** eth0 is 1, and so on */
  readonly links: readonly (Partial<NearLink> & { readonly name: string })[];
  readonly addresses?: Readonly<Record<string, string>>;
  /** destination → interface, next hop */
  readonly ways?: Readonly<Record<string, readonly [name: string, via: string]>>;
  /** next hop → the last byte of its MAC address */
  readonly neighbours?: Readonly<Record<string, number>>;
  readonly probes?: Readonly<Record<string, Partial<RelayProbe> | null>>;
  readonly defaults?: string;
  readonly watched?: string;
  /** VLAN interface → what it is on, its tag */
  readonly vlans?: Readonly<Record<string, readonly [under: string, vlan: number]>>;
}

export function madeNear({
  links,
  addresses = {},
  ways = {},
  neighbours = {},
  probes = {},
  ...more
}: Made): Surroundings {
  const all = links.map(
    (link, i): NearLink => ({ index: i + 1, up: true, mtu: 1500, mac: Uint8Array.of(2, 0, 0, 0, 0, i + 1), ...link }),
  );
  const named = (name: string): NearLink | undefined => all.find((link) => link.name === name);
  const at = (ifindex: number): NearLink | undefined => all.find(({ index }) => index === ifindex);
  const text = (address: Uint8Array): string => Buffer.from(address).toString("hex");
  const hexed = <Value>(table: Readonly<Record<string, Value>>): Map<string, Value> =>
    new Map(Object.entries(table).map(([address, value]) => [text(bytesOf(address)), value]));
  const own = Object.entries(addresses).map(([name, address]) => ({
    ifindex: named(name)?.index ?? 0,
    address: bytesOf(address),
  }));
  return {
    links: all,
    link: named,
    linkAt: at,
    vlanOf: (ifindex, vlan) => {
      const on = Object.entries(more.vlans ?? {}).find(
        ([, [under, tag]]) => under === at(ifindex)?.name && tag === vlan,
      );
      return on && named(on[0]);
    },
    addresses: own,
    way: (to, ifindex) => {
      const [name = "", via = ""] = hexed(ways).get(text(to)) ?? [];
      const link = named(name);
      if (!link || (ifindex !== undefined && ifindex !== link.index)) return undefined;
      return { ifindex: link.index, via: bytesOf(via), source: own.find((one) => one.ifindex === link.index)?.address };
    },
    neighbour: (_, address) => {
      const last = hexed(neighbours).get(text(address));
      return last === undefined ? undefined : Uint8Array.of(2, 0, 0, 0, 1, last);
    },
    probe: (ifindex) => {
      const probe = probes[at(ifindex)?.name ?? ""];
      return probe === null ? undefined : { ifindex, ...able, ...probe };
    },
    isDefault: (ifindex) => at(ifindex)?.name === more.defaults,
    isWatched: (ifindex) => at(ifindex)?.name === more.watched,
  };
}

/** Of a node where nothing can carry packets: rules wait, and say so. */
export function noEngines(why: string): Engines {
  return {
    states: () => (["xdp", "tc", "afpacket"] as const).map((engine) => ({ engine, available: false, why })),
    pinned: { ok: false, why },
    adopted: false,
    programs: "none",
    probe: () => undefined,
    apply: () => {},
    heartbeat: () => {},
    figures: () => ({ ports: [], rules: [], outputs: [], hops: [] }),
    trace: () => {},
    takeTraces: () => [],
    workers: () => [],
    close: () => {},
    uninstall: () => Promise.resolve(),
  };
}
