// The surroundings, followed: a new picture soon after something changed. Enters: the kernel's word on interfaces. Leaves: pictures.
import { networkInterfaces } from "node:os";
import { parseAddress } from "#domain/ip-address.ts";
import { parseNetwork } from "#domain/network.ts";
import { engine, type Link } from "#native/engine.ts";
import type { Engines } from "./engines.ts";
import type { Stand } from "./programme.ts";
import type { NearLink, Surroundings } from "./surroundings.ts";

export interface Near {
  readonly now: Surroundings;
  /** groups that could not be joined */
  readonly notJoined: readonly { readonly interface: string; readonly group: string; readonly detail: string }[];
  /** What is to be kept joined and known from now on. */
  want(stands: Iterable<Stand>): void;
  stop(): void;
}

/** Settles with the first picture. */
export async function followSurroundings(engines: Engines, changed: (next: Surroundings) => void): Promise<Near> {
  const first = Promise.withResolvers<Surroundings>();
  let now: Surroundings | undefined;
  const watch = engine().watchLinks((links) => {
    const before = now;
    now = picture(links, engines);
    if (before) changed(now);
    else first.resolve(now);
  });
  await first.promise;
  return {
    get now() {
      return now as Surroundings;
    },
    notJoined: [],
    want: () => {},
    stop: () => watch.stop(),
  };
}

function picture(links: readonly Link[], engines: Engines): Surroundings {
  const all = links.map(
    ({ index, name, up, mac, mtu }): NearLink => ({
      index,
      name,
      up,
      mtu,
      mac: Uint8Array.from(parseNetwork(mac)?.bytes ?? []),
    }),
  );
  const names = new Map(all.map((link) => [link.name, link]));
  const indexes = new Map(all.map((link) => [link.index, link]));
  const addresses = Object.entries(networkInterfaces()).flatMap(([name, list = []]) => {
    const link = names.get(name);
    return link
      ? list.map(({ address }) => ({ ifindex: link.index, address: Uint8Array.from(parseAddress(address) ?? []) }))
      : [];
  });
  return {
    link: (name) => names.get(name),
    linkAt: (ifindex) => indexes.get(ifindex),
    addresses,
    way: () => undefined,
    neighbour: () => undefined,
    probe: (ifindex) => engines.probe(ifindex),
    isDefault: () => false,
    isWatched: () => false,
  };
}
