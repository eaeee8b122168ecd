// Ways and next hops, followed. Enters: the kernel's word. Leaves: how this node sends to an address, its next hop's MAC address, and a call when
// either may have changed. Answers are kept until then: ten thousand rules ask ten thousand times.
import { network, type NetworkWatch, type OwnAddress, type Route } from "#native/network.ts";

type Bytes = Uint8Array;

export interface Way {
  readonly ifindex: number;
  /** the next hop's address: the destination itself, or a router */
  readonly via: Bytes;
  /** this node's address that it takes; undefined: it has none of that family */
  readonly source: Bytes | undefined;
  /** the largest packet; absent: the link's */
  readonly mtu?: number;
}

const nameOf = (ifindex: number, address: Bytes): string => `${ifindex} ${Buffer.from(address).toString("hex")}`;

export class Neighbours {
  readonly #watch: NetworkWatch;
  readonly #ways = new Map<string, Way | undefined>();
  #macs: ReadonlyMap<string, Bytes> = new Map();
  #addresses: readonly OwnAddress[] | undefined;

  constructor(changed: () => void) {
    this.#watch = network().watchNetwork(({ neighbours, routesChanged }) => {
      this.#macs = new Map(neighbours.map(({ ifindex, address, mac }) => [nameOf(ifindex, address), mac]));
      if (routesChanged) this.forget();
      changed();
    });
  }

  /** Routes are asked for anew: also when an interface came, went, or has another MTU. */
  forget(): void {
    this.#ways.clear();
    this.#addresses = undefined;
  }

  /** `ifindex`: by this interface only. Undefined: there is none. */
  way(to: Bytes, ifindex = 0): Way | undefined {
    const name = nameOf(ifindex, to);
    if (!this.#ways.has(name)) this.#ways.set(name, wayOf(to, network().findRoute(to, ifindex)));
    return this.#ways.get(name);
  }

  /** Its MAC address, when it is known; only those that are wanted are. */
  neighbour(ifindex: number, address: Bytes): Bytes | undefined {
    return this.#macs.get(nameOf(ifindex, address));
  }

  /** The next hops to be kept known from now on. */
  want(hops: readonly { readonly ifindex: number; readonly address: Bytes }[]): void {
    this.#watch.want(hops);
  }

  /** This node's own; groups that it joined are none. */
  addresses(): readonly OwnAddress[] {
    this.#addresses ??= network()
      .listAddresses()
      .filter(({ joined }) => !joined);
    return this.#addresses;
  }

  /** Interfaces that default routes leave by. */
  defaults(): ReadonlySet<number> {
    // Of documentation (RFC 5737, RFC 3849): nobody has a route for just these.
    const anywhere = [Uint8Array.of(192, 0, 2, 1), Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, ...Array(11).fill(0), 1)];
    return new Set(anywhere.flatMap((to) => this.way(to)?.ifindex ?? []));
  }

  stop(): void {
    this.#watch.stop();
  }
}

function wayOf(to: Bytes, route: Route | null): Way | undefined {
  if (route === null || route.kind === "none" || route.kind === "local") return undefined;
  const { ifindex, gateway, source, mtu } = route;
  return { ifindex, via: gateway ?? to, source: source ?? undefined, ...(mtu === 0 ? {} : { mtu }) };
}
