// The groups that this node receives, held so that they outlive the agent. Enters: the whole set that is wanted. Leaves: each one joined, by one of
// two: as an address that the kernel joins itself (any source, while it has room), or by the join-holder, a process of its own. When one moves from
// one to the other it is joined there first: no switch sees it left.
import { network, type OwnAddress } from "#native/network.ts";
import type { Log } from "#process/log.ts";
import { JoinHolder } from "./join-holder.ts";

type Bytes = Uint8Array;

export interface Membership {
  readonly ifindex: number;
  readonly group: Bytes;
  /** undefined: any */
  readonly source?: Bytes | undefined;
}

export interface Joined {
  /** by the kernel itself, and by the holder */
  readonly addresses: number;
  readonly held: number;
  readonly failed: readonly { readonly membership: Membership; readonly detail: string }[];
}

export interface MembershipSettings {
  /** the join-holder's socket and its lock lie in it; this process's own */
  readonly folder: string;
  readonly orphanAfterMs: number;
  readonly log: Log;
}

const nameOf = ({ ifindex, group, source }: Membership): string =>
  `${ifindex} ${Buffer.from(group).toString("hex")} ${source ? Buffer.from(source).toString("hex") : "*"}`;

const ourAddresses = (): OwnAddress[] =>
  network()
    .listAddresses()
    .filter(({ ours, joined }) => ours && joined);

export class Memberships {
  readonly #settings: MembershipSettings;
  readonly #holder: JoinHolder;
  #turn: Promise<unknown> = Promise.resolve();
  #last: { readonly wanted: readonly Membership[]; readonly joined: Joined } | undefined;

  constructor(settings: MembershipSettings) {
    this.#settings = settings;
    this.#holder = new JoinHolder(settings);
  }

  /** One after the other, in the order of the calls. Rejects when the holder is needed and cannot be had. */
  want(all: readonly Membership[]): Promise<Joined> {
    const next = this.#turn.then(() => this.#join(all));
    this.#turn = next.catch(() => undefined); // told to whoever asked
    return next;
  }

  async #join(all: readonly Membership[]): Promise<Joined> {
    const wanted = new Map(all.map((one) => [nameOf(one), one]));
    const before = ourAddresses();
    const there = new Set(before.map(({ ifindex, address }) => nameOf({ ifindex, group: address })));
    const addresses = new Set<string>();
    const failed: { membership: Membership; detail: string }[] = [];
    const forHolder: Membership[] = [];
    let full = false;
    for (const [name, one] of wanted) {
      if (one.source === undefined && there.has(name)) addresses.add(name);
      else if (one.source !== undefined || full) forHolder.push(one);
      else {
        const added = this.#add(one);
        if (added === "added") addresses.add(name);
        else forHolder.push(one);
        full = added === "full";
      }
    }
    const held = await this.#hold(forHolder);
    failed.push(...held.failed);
    for (const { ifindex, address } of before)
      if (!addresses.has(nameOf({ ifindex, group: address }))) network().removeGroupAddress(ifindex, address);
    const joined = { addresses: addresses.size, held: held.held, failed };
    this.#last = { wanted: all, joined };
    return joined;
  }

  /** "other": as an address it cannot be had, for whatever reason; the holder may still join it. */
  #add({ ifindex, group }: Membership): "added" | "full" | "other" {
    try {
      const added = network().addGroupAddress(ifindex, group);
      return added === "exists" ? "other" : added; // somebody else's address: it may go without us
    } catch (error) {
      this.#settings.log.debug("a group could not be joined as an address", { ifindex, error });
      return "other";
    }
  }

  async #hold(wanted: readonly Membership[]): Promise<Pick<Joined, "held" | "failed">> {
    const needed = wanted.length > 0 || (await this.#holder.runs());
    return needed ? this.#holder.want(wanted) : { held: 0, failed: [] };
  }

  /**
   * Once in a while: the holder leaves everything when it hears nothing for too long. What went meanwhile is joined again: with a holder that was
   * killed, or as an IPv6 address, which goes when its interface is set down. What could not be joined is tried again.
   */
  async heartbeat(): Promise<void> {
    const held = (await this.#holder.ping()) ?? 0;
    if (this.#last === undefined) return;
    const { wanted, joined } = this.#last;
    const whole = held >= joined.held && ourAddresses().length >= joined.addresses && joined.failed.length === 0;
    if (!whole) await this.want(wanted);
  }

  /** Leaves every group, and ends the holder. */
  async uninstall(): Promise<void> {
    await this.#turn;
    this.#last = undefined;
    for (const { ifindex, address } of ourAddresses()) network().removeGroupAddress(ifindex, address);
    await this.#holder.release();
  }
}
