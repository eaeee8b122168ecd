// A rule with names → a rule with indexes, bytes and MAC addresses, as the engines take it. Pure. Enters: the rule, what is around it, and the
// engine that was chosen. Leaves: the resolved rule; where an output cannot send at the moment, it says why.
import { groupMac, isGroup, parseAddress } from "#domain/ip-address.ts";
import { destinationOf, type NamedOutput, type NamedRule, portOf } from "#domain/relay-rule.ts";
import type { RelayEngine } from "#domain/vocabulary.ts";
import type { ResolvedOutput, ResolvedRule, ResolvedTunnelInput, ResolvedWireInput } from "#native/relay.ts";
import type { Ends } from "./choose-engine.ts";
import type { Bytes, NearLink, Surroundings, Way } from "./surroundings.ts";
import { type TooSmall, tooSmall } from "./tunnel-room.ts";

/** The tunnel's own: UDP 6087. */
export const tunnelPort = 6087;

export interface OutputWay {
  readonly output: NamedOutput;
  /** undefined: there is none at the moment */
  readonly link: NearLink | undefined;
  readonly destination: Bytes | undefined;
  readonly source: Bytes | undefined;
  readonly mac: Bytes | undefined;
  readonly mtu: number;
  readonly unready: ResolvedOutput["unready"];
  /** words for `unready` */
  readonly problem: string | null;
  /** the next hop that must be kept known */
  readonly via: Bytes | undefined;
}

export interface Found {
  readonly ends: Ends;
  readonly outputs: readonly OutputWay[];
  /** tunnels that what comes in may not fit into */
  readonly small: readonly TooSmall[];
  /** why it cannot be programmed, whatever the engine */
  readonly waiting: string | undefined;
  /** what it waits for, in a word: rules that wait for the same are told together */
  readonly cause: string;
}

export const bytesOf = (text: string): Bytes => Uint8Array.from(parseAddress(text) ?? []);
const noMac = new Uint8Array(6);
const same = (a: Bytes, b: Bytes): boolean => Buffer.compare(a, b) === 0;

/** Everything about it that does not depend on the engine. */
export function find(rule: NamedRule, near: Surroundings): Found {
  const outputs = rule.to.map((output) => wayOf(rule, output, near));
  const places = [rule.from.group ?? rule.from.address, ...(rule.from.tunnel?.peers ?? []), ...rule.to.map((output) => output.tunnel?.to ?? destinationOf(rule, output))]; // biome-ignore format: one list
  const ipv6 = places.some((text) => text?.includes(":"));
  const found = (inputs: readonly number[], cause: string, waiting?: string): Found => ({
    ends: { inputs, outputs: outputs.map(({ link }) => link?.index), ipv6 },
    outputs,
    small: tooSmall(rule, inputs, outputs, near),
    waiting,
    cause,
  });
  const { tunnel, interface: name = "", address } = rule.from;
  if (tunnel) {
    const ports = tunnelInputs(rule, near);
    return found(ports, "tunnel", ports.length === 0 ? "this node has no address for tunnels to come to" : undefined);
  }
  const link = near.link(name);
  if (!link) return found([], name, `${name} is not there`);
  if (address !== undefined && !near.addresses.some((one) => same(one.address, bytesOf(address))))
    return found([link.index], address, `${address} is no address of this node`);
  return found([link.index], name);
}

/** By which interfaces a tunnel's packets come: the ways back to its peers. */
function tunnelInputs({ from }: NamedRule, near: Surroundings): number[] {
  const ways = (from.tunnel?.peers ?? []).map((peer) => near.way(bytesOf(peer))?.ifindex);
  return [...new Set(ways.filter((ifindex) => ifindex !== undefined))];
}

function wayOf(rule: NamedRule, output: NamedOutput, near: Surroundings): OutputWay {
  const asked = output.interface === undefined ? undefined : near.link(output.interface);
  const text = output.tunnel?.to ?? destinationOf(rule, output);
  const destination = text === undefined ? undefined : bytesOf(text);
  const none = { output, destination, source: undefined, mac: undefined, mtu: 0, via: undefined, link: undefined };
  if (output.interface !== undefined && !asked)
    return { ...none, unready: "interface", problem: `${output.interface} is not there` };
  if (!destination) return { ...none, unready: "no_route", problem: "it has no destination" };

  const group = isGroup(destination);
  const way: Way | undefined =
    group && asked
      ? { ifindex: asked.index, via: destination, source: undefined }
      : near.way(destination, asked?.index);
  if (!way) {
    const by = asked ? ` by ${asked.name}` : "";
    return { ...none, link: asked, unready: "no_route", problem: `there is no route to ${text}${by}` };
  }
  const link = near.linkAt(way.ifindex);
  if (!link) return { ...none, unready: "interface", problem: "the interface of its route is not there" };
  const mac = group ? groupMac(destination) : near.neighbour(link.index, way.via);
  const given = output.tunnel?.source ?? output.source;
  const source = given === undefined ? (output.tunnel ? way.source : undefined) : bytesOf(given);
  const found = {
    output,
    link,
    destination,
    source,
    mac,
    mtu: Math.min(link.mtu, way.mtu ?? 65_535),
    via: group ? undefined : way.via,
  };
  if (!link.up) return { ...found, unready: "interface", problem: `${link.name} is down` };
  if (output.tunnel && !source)
    return { ...found, unready: "no_route", problem: `this node has no address towards ${text}` };
  if (!mac) return { ...found, unready: "no_neighbour", problem: `nobody answers for ${text} on ${link.name}` };
  return { ...found, unready: undefined, problem: null };
}

export function resolve(rule: NamedRule, found: Found, engine: RelayEngine, epoch: number): ResolvedRule {
  const burst = rule.limit === undefined ? 0 : (rule.limit.burst ?? Math.max(1, Math.ceil(rule.limit.pps / 10)));
  return {
    id: rule.id,
    engine,
    input: inputOf(rule, found),
    outputs: found.outputs.map((way) => outputOf(rule, way, epoch)),
    deliverLocal: rule.deliverLocal,
    limitPps: rule.limit?.pps ?? 0,
    limitBurst: burst,
    stormPps: rule.storm?.pps ?? 0,
  };
}

function inputOf({ from }: NamedRule, { ends }: Found): ResolvedWireInput | ResolvedTunnelInput {
  if (from.tunnel)
    return {
      path: from.tunnel.path,
      key: Buffer.from(from.tunnel.key, "hex"),
      peers: from.tunnel.peers.map(bytesOf),
    };
  return {
    ifindex: ends.inputs[0] ?? 0,
    vlan: from.vlan ?? 0,
    protocol: from.protocol,
    destination: bytesOf(from.group ?? from.address ?? ""),
    port: from.port ?? 0,
    sources: from.sources.map(bytesOf),
  };
}

function outputOf(rule: NamedRule, way: OutputWay, epoch: number): ResolvedOutput {
  const { output, link, destination, source, mac, unready } = way;
  const { tunnel } = output;
  const at = destination ?? new Uint8Array(4);
  // A tunnel has a source in any case; while it cannot send, nobody sees it.
  const from = source ?? (tunnel ? new Uint8Array(at.length) : undefined);
  return {
    id: output.id,
    ifindex: link?.index ?? 0,
    destination: at,
    port: tunnel ? tunnelPort : (portOf(rule, output) ?? 0),
    ...(output.ttl === undefined ? {} : { ttl: output.ttl }),
    ...(output.dscp === undefined ? {} : { dscp: output.dscp }),
    ...(from === undefined ? {} : { source: from }),
    destinationMac: mac ?? noMac,
    sourceMac: link?.mac ?? noMac,
    mtu: way.mtu,
    ...(unready === undefined ? {} : { unready }),
    ...(tunnel ? { tunnel: { path: tunnel.path, epoch, key: Buffer.from(tunnel.key, "hex") } } : {}),
  };
}
