// What is carried and what is refused, by each engine through the whole agent: sizes, addresses, tags, sources, TTLs. Every packet is one
// of a numbered stream, and is read byte by byte where it arrives.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RuleDetail } from "#domain/relay-report.ts";
import { group, port, sendStream, Sink, type Lane, type Stream } from "../../cli/relay-ends.ts";
import { macOf, RelayRig } from "../../cli/relay-rig.ts";
import { RelayAgent, total, type EngineName, type RuleText } from "../../cli/relay-subject.ts";
import { Scratch } from "../../cli/scratch.ts";

const { signal } = new AbortController();
const packets = 5000;
const pps = 50_000;
const clean = { duplicate: 0, lost: 0, ahead: 0, behind: 0, wrong_length: 0, varied: 0, corrupt: 0, bad_checksum: 0 };
const from = { interface: "b0", group, port };
const to = { interface: "b1" };
const v6 = { source: "fd00:0:0:1::1", group: "ff3e::1:1" };

/** Everywhere that anything here may arrive. The first that fits counts: any port comes last. */
const lanes = {
  onward: { address: group },
  another: { address: "239.9.9.9", port: 6001 },
  unicast: { address: "10.0.2.2", port: 7000 },
  v6: { address: "ff3e::2:2" },
  "source 1": { address: "239.8.8.1" },
  "source 2": { stream: 1, address: "239.8.8.2" },
  "source 3": { stream: 2, address: "239.8.8.0", count: 3 },
  esp: { address: group, port: 0 },
} as const satisfies Readonly<Record<string, Lane>>;
type LaneName = keyof typeof lanes;

/** One relay in b for all cases of an engine; each loads rules of its own. */
class Bench {
  readonly #scratch = new Scratch();
  readonly rig: RelayRig;
  readonly engine: EngineName;
  #sink: Sink | undefined;
  #agent: RelayAgent | undefined;

  constructor(engine: EngineName) {
    this.engine = engine;
    // No veth takes jumbo frames together with XDP.
    this.rig = new RelayRig({ hops: 1, mtu: engine === "XDP" ? 1500 : 9100 });
  }
  async begin(): Promise<void> {
    this.#sink = await Sink.start(this.rig, { lanes: Object.values(lanes), numbers: packets, how: "hash" });
    this.#agent = await RelayAgent.start(this.rig, "b", this.#scratch.path, signal);
  }
  get parts() {
    if (this.#sink === undefined || this.#agent === undefined) throw new Error("it has not begun");
    return { sink: this.#sink, agent: this.#agent };
  }

  async #refused(): Promise<Readonly<Record<string, number>>> {
    const { interfaces } = await this.parts.agent.settled(signal);
    for (const { residue } of interfaces) expect(residue).toBe(0);
    return interfaces.find((one) => one.interface === "b0")?.refused ?? {};
  }

  /** With these rules: what of a stream, or of what `send` does, arrived; what the rules say; and what was refused. */
  async carried(rules: readonly RuleText[], send: Stream | (() => void)) {
    const { sink, agent } = this.parts;
    await agent.load(rules.map((rule) => ({ engine: this.engine, ...rule })), signal);
    await sink.reset();
    const before = await this.#refused();
    if (typeof send === "function") send();
    else await sendStream(this.rig, { packets, pps, ...send }, signal);
    const report = await sink.settled(packets);
    const after = await this.#refused();
    const told = (await agent.ask({ do: "stats" })) as { readonly rules: readonly RuleDetail[] };
    for (const output of told.rules.flatMap(({ outputs }) => outputs)) expect(output.residue).toBe(0);
    const named = Object.keys(lanes).map((name, i) => [name, report.lanes[i]] as const);
    const refused = Object.entries(after).flatMap(([reason, count]): [string, number][] => {
      const more = count - (before[reason] ?? 0);
      return more === 0 ? [] : [[reason, more]];
    });
    return {
      lanes: Object.fromEntries(named) as Record<LaneName, NonNullable<(typeof report.lanes)[number]>>,
      rules: told.rules,
      refused: Object.fromEntries(refused),
    };
  } // biome-ignore format: it is long

  end(): void {
    this.rig[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}

interface Way {
  readonly rule: RuleText;
  readonly stream?: Stream;
  readonly lane?: LaneName;
  readonly first?: object;
}
const ways: Readonly<Record<string, Way>> = {
  "64 bytes": { rule: { from, to: [to] }, stream: { size: 64 } },
  "1472 bytes": { rule: { from, to: [to] }, stream: { size: 1472 } },
  "another group and port": { rule: { from, to: [{ ...to, group: "239.9.9.9", port: 6001 }] }, lane: "another" },
  "TTL, DSCP and source of its own": {
    rule: { from, to: [{ ...to, ttl: 9, dscp: 46, source: "10.0.2.1" }] },
    first: { ttl: 9, dscp: 46, source: "10.0.2.1" },
  },
  "TTL 1, set anew": { rule: { from, to: [{ ...to, ttl: 32 }] }, stream: { ttl: 1 }, first: { ttl: 32 } },
  "DSCP as it came": { rule: { from, to: [to] }, stream: { dscp: 34 }, first: { dscp: 34 } },
  "from a VLAN": { rule: { from: { ...from, vlan: 42 }, to: [to] }, stream: { vlan: 42 }, first: { vlan: 0 } },
  "a group to an address": { rule: { from, to: [{ ...to, address: "10.0.2.2", port: 7000 }] }, lane: "unicast" },
  "an address to a group": {
    rule: { from: { interface: "b0", address: "10.0.1.2", port }, to: [{ ...to, group }] },
    stream: { group: "10.0.1.2", destinationMac: macOf(1, 2) },
  },
  "ESP, unopened": {
    rule: { from: { interface: "b0", group, protocol: "ESP" }, to: [to] },
    stream: { protocol: "esp" },
    lane: "esp",
  },
};
const notForXdp: Readonly<Record<string, Way>> = {
  "9000 bytes": { rule: { from, to: [to] }, stream: { size: 9000, pps: 5000 } },
  IPv6: {
    rule: { from: { ...from, group: v6.group }, to: [{ ...to, group: "ff3e::2:2" }] },
    stream: v6,
    lane: "v6",
    first: { source: v6.source },
  },
};

describe.each(["XDP", "TC", "AFPacket"] as const)("%s", (engine) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = new Bench(engine);
    await bench.begin();
  });
  afterAll(() => bench.end());

  test.each(Object.entries({ ...ways, ...(engine === "XDP" ? {} : notForXdp) }))("carries %s", async (name, way) => {
    const { rule, stream = {}, lane = "onward", first = {} } = way;
    const found = await bench.carried([{ id: name.replaceAll(/\W/g, "-"), ...rule }], stream);
    expect(found.lanes[lane]).toMatchObject({ received: packets, unique: packets, ...clean });
    expect(found.lanes[lane].first).toMatchObject({ ttl: 63, ...first });
    expect(found.rules).toMatchObject([{ matched: packets, packets_relayed: packets, refused: {}, dropped: {} }]);
    expect(found.refused).toEqual({});
  });

  test("carries two sources of one group apart, and refuses a third", async () => {
    const rules = [1, 2].map((n) => ({
      id: `source-${n}`,
      from: { ...from, sources: [`10.0.1.1${n}`] },
      to: [{ ...to, group: `239.8.8.${n}` }],
    }));
    const { lanes: found, refused } = await bench.carried(rules, { source: "10.0.1.11", sources: 3 });
    for (const name of ["source 1", "source 2"] as const)
      expect(found[name]).toMatchObject({ received: packets, unique: packets, ...clean });
    expect(found["source 3"].received).toBe(0);
    expect(refused).toEqual({ source: packets });
  });

  test.each<[string, Stream, string]>([
    ["whose TTL is used up", { ttl: 1 }, "ttl"],
    ["from its own address", { source: "10.0.1.2" }, "loop"],
  ])("refuses a packet %s, and says why", async (_, stream, reason) => {
    const found = await bench.carried([{ id: `refuses-${reason}`, from, to: [to] }], stream);
    expect(found.lanes.onward.received).toBe(0);
    expect(found.refused).toEqual({ [reason]: packets });
  });

  test("refuses fragments", async () => {
    const { refused } = await bench.carried([{ id: "fragments", from, to: [to] }], () => {
      const send = `UDP4-DATAGRAM:${group}:${port},ip-multicast-if=10.0.1.1`;
      bench.rig.said("a", "sh", "-c", `head -c 20000 /dev/zero | socat -u -b 20000 - ${send}`);
    });
    expect(refused).toEqual({ fragment: engine === "XDP" ? 14 : 3 }); // 20,008 bytes by the link's MTU
  });

  test("drops what is larger than the way out, and says so", async () => {
    bench.rig.said("b", "ip", "link", "set", "b1", "mtu", "1300");
    const { rules, lanes: found } = await bench.carried([{ id: "mtu", from, to: [to] }], {});
    bench.rig.said("b", "ip", "link", "set", "b1", "mtu", engine === "XDP" ? "1500" : "9100");
    expect(found.onward.received).toBe(0);
    expect(rules).toMatchObject([{ matched: packets, dropped: { mtu: packets } }]);
    expect(total(rules[0]?.dropped ?? {})).toBe(packets);
  });
});
