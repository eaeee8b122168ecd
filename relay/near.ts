// The surroundings, followed: a new picture soon after something changed. Enters: the kernel's word on interfaces, ways and next hops. Leaves: pictures; and what
// the rules need of the surroundings, kept: next hops known, groups joined.
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { addressText, parseNetwork } from "#domain/network.ts";
import type { NamedRule } from "#domain/relay-rule.ts";
import { engine, type Link } from "#native/engine.ts";
import type { RelayProbe } from "#native/relay.ts";
import type { Log } from "#process/log.ts";
import type { Engines } from "./engines.ts";
import { type Membership, Memberships } from "./memberships.ts";
import { Neighbours } from "./neighbours.ts";
import type { Stand } from "./programme.ts";
import { find, type Found } from "./resolve.ts";
import type { Bytes, NearLink, Surroundings } from "./surroundings.ts";
import { vlanKey, vlanNames } from "./vlans.ts";
import { type NotJoined, wantedGroups } from "./wanted-groups.ts";

export interface NearOptions {
  readonly engines: Pick<Engines, "probe">;
  /** of the join-holder, which outlives this process */
  readonly folder: string;
  readonly orphanAfterMs: number;
  readonly log: Log;
}

/** A change seldom comes alone. */
const gatherMs = 20;
const heartbeatMs = 3000;
/** The kernel asks anew each second: an answer that was lost has come by then. */
const answerMs = 1500;

interface Hop {
  readonly ifindex: number;
  readonly address: Bytes;
}
/** Each once. */
const hopsOf = (all: readonly Found[]): ReadonlyMap<string, Hop> =>
  new Map(
    all.flatMap(({ outputs }) =>
      outputs.flatMap(({ link, via }): [string, Hop][] =>
        link && via
          ? [[`${link.index} ${Buffer.from(via).toString("hex")}`, { ifindex: link.index, address: via }]]
          : [],
      ),
    ),
  );

export class Near {
  readonly #options: NearOptions;
  readonly #neighbours: Neighbours;
  readonly #memberships: Memberships;
  readonly #watch: { stop(): void };
  readonly #beating: NodeJS.Timeout;
  #changed: ((next: Surroundings) => void) | undefined;
  #links: readonly Link[] | undefined;
  #now: Surroundings | undefined;
  #gathering: NodeJS.Timeout | undefined;
  /** of the picture */
  #probes: ReadonlyMap<number, RelayProbe | undefined> = new Map();
  #wanted: readonly Membership[] = [];
  #joined = "";
  #hops = "";
  #failed: readonly NotJoined[] = [];
  #impossible: readonly NotJoined[] = [];

  private constructor(options: NearOptions, first: () => void) {
    this.#options = options;
    const { folder, orphanAfterMs, log } = options;
    this.#memberships = new Memberships({ folder, orphanAfterMs, log });
    this.#neighbours = new Neighbours(() => this.#gather());
    this.#watch = engine().watchLinks((links) => {
      const begun = this.#links !== undefined;
      this.#links = links;
      this.#neighbours.forget();
      if (begun) this.#gather();
      else first();
    });
    this.#beating = setInterval(() => this.#heartbeat(), heartbeatMs).unref();
  }

  /** Settles when interfaces are known. */
  static async open(options: NearOptions): Promise<Near> {
    const first = Promise.withResolvers<void>();
    const near = new Near(options, first.resolve);
    await first.promise;
    return near;
  }

  /** Called with each new picture from now on. */
  follow(changed: (next: Surroundings) => void): void {
    this.#changed = changed;
    this.#gather(); // for what changed meanwhile
  }

  get now(): Surroundings {
    this.#now ??= this.#picture();
    return this.#now;
  }

  /** groups that could not be joined, and why */
  get notJoined(): readonly NotJoined[] {
    return [...this.#impossible, ...this.#failed];
  }

  /** What is to be kept known and joined from now on. */
  want(stands: Iterable<Stand>): void {
    const all = [...stands];
    this.#wantHops(hopsOf(all.map(({ found }) => found)));
    const { wanted, impossible } = wantedGroups(all, this.now);
    this.#impossible = impossible;
    this.#join(wanted);
  }

  /** The next hops of rules that are to begin, for those that answer soon: what an earlier process left running knows them, and must not unlearn them. */
  async know(rules: readonly NamedRule[]): Promise<void> {
    const hops = hopsOf(rules.map((rule) => find(rule, this.now)));
    this.#wantHops(hops);
    const unknown = (): boolean =>
      [...hops.values()].some(({ ifindex, address }) => this.#neighbours.neighbour(ifindex, address) === undefined);
    for (const late = performance.now() + answerMs; unknown() && performance.now() < late; ) await sleep(10);
  }

  #wantHops(hops: ReadonlyMap<string, Hop>): void {
    const names = [...hops.keys()].sort().join("\n");
    if (names === this.#hops) return;
    this.#hops = names;
    this.#neighbours.want([...hops.values()]);
  }

  stop(): void {
    clearInterval(this.#beating);
    clearTimeout(this.#gathering);
    this.#watch.stop();
    this.#neighbours.stop();
  }

  /** Leaves every group. */
  async uninstall(): Promise<void> {
    await this.#memberships.uninstall();
  }

  #join(wanted: readonly Membership[]): void {
    const name = ({ ifindex, group, source }: Membership): string =>
      `${ifindex} ${addressText(group)}${source ? ` ${addressText(source)}` : ""}`;
    const names = [...new Set(wanted.map(name))].sort().join("\n");
    // What could not be joined is asked for again, for the memberships try again by themselves.
    if (names === this.#joined && this.#failed.length === 0) return;
    this.#joined = names;
    this.#wanted = wanted;
    const nameOf = (ifindex: number): string => this.now.linkAt(ifindex)?.name ?? `interface ${ifindex}`;
    this.#memberships.want(wanted).then(
      ({ failed }) => {
        this.#failed = failed.map(({ membership: { ifindex, group }, detail }) => ({
          interface: nameOf(ifindex),
          group: addressText(group),
          detail,
        }));
      },
      (error: Error) => {
        this.#joined = ""; // with the next change, or heartbeat
        this.#failed = [{ interface: "this node", group: "its groups", detail: error.message }];
      },
    );
  }

  /** What an interface can may change without a word: its peer gets GRO, somebody attaches a program. */
  #probe(): void {
    const { engines } = this.#options;
    const differs = [...this.#probes].some(([ifindex, was]) => !isDeepStrictEqual(engines.probe(ifindex), was));
    if (differs) this.#gather();
  }

  #heartbeat(): void {
    this.#probe();
    this.#memberships
      .heartbeat()
      .then(() => this.#failed.length > 0 && this.#join(this.#wanted))
      .catch((error: unknown) => this.#options.log.warning("the join-holder did not answer", { error }));
  }

  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#now = this.#picture();
      this.#changed?.(this.#now);
    }, gatherMs);
  }

  #picture(): Surroundings {
    const all = (this.#links ?? []).map(
      ({ index, name, up, mac, mtu }): NearLink => ({ index, name, up, mtu, mac: Uint8Array.from(parseNetwork(mac)?.bytes ?? []) }), // biome-ignore format: one row
    );
    const names = new Map(all.map((link) => [link.name, link]));
    const indexes = new Map(all.map((link) => [link.index, link]));
    const probes = new Map<number, RelayProbe | undefined>();
    this.#probes = probes;
    const neighbours = this.#neighbours;
    let defaults: ReadonlySet<number> | undefined;
    let vlans: ReadonlyMap<string, string> | undefined;
    return {
      links: all,
      link: (name) => names.get(name),
      linkAt: (ifindex) => indexes.get(ifindex),
      vlanOf: (ifindex, vlan) => {
        vlans ??= vlanNames(existsSync(vlanList) ? readFileSync(vlanList, "utf8") : "");
        return names.get(vlans.get(vlanKey(indexes.get(ifindex)?.name ?? "", vlan)) ?? "");
      },
      addresses: neighbours.addresses().map(({ ifindex, address }) => ({ ifindex, address })),
      way: (to, ifindex) => neighbours.way(to, ifindex),
      neighbour: (ifindex, address) => neighbours.neighbour(ifindex, address),
      probe: (ifindex) => {
        if (!probes.has(ifindex)) probes.set(ifindex, this.#options.engines.probe(ifindex));
        return probes.get(ifindex);
      },
      isDefault: (ifindex) => {
        defaults ??= neighbours.defaults();
        return defaults.has(ifindex);
      },
      isWatched,
    };
  }
}

const vlanList = "/proc/net/vlan/config";

/** packet(7): a socket for all protocols, bound to this interface or to all of them. */
const everything = "0003";
function isWatched(ifindex: number): boolean {
  const [, ...rows] = readFileSync("/proc/net/packet", "utf8").split("\n");
  return rows.some((row) => {
    const [, , , protocol, bound] = row.trim().split(/\s+/);
    return protocol === everything && (Number(bound) === ifindex || bound === "0");
  });
}
