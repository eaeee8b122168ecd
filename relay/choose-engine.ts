// Which engine carries a rule, and why. Pure. Enters: the rule, what its interfaces can, which engines there are. Leaves: an engine, or what the rule waits for.
import type { NamedRule } from "#domain/relay-rule.ts";
import type { EngineRow } from "#domain/relay-report.ts";
import type { RelayEngine } from "#domain/vocabulary.ts";
import type { Surroundings } from "./surroundings.ts";

export type Choice =
  | { readonly engine: RelayEngine; readonly why: string }
  | { readonly engine: null; readonly why: string };

/** Where a rule's packets come in and go out; an output whose interface is not known at the moment is undefined. */
export interface Ends {
  readonly inputs: readonly number[];
  readonly outputs: readonly (number | undefined)[];
  /** at either end */
  readonly ipv6: boolean;
}

type Near = Pick<Surroundings, "probe" | "linkAt" | "isDefault" | "isWatched">;

const wishes = { XDP: "xdp", TC: "tc", AFPacket: "afpacket" } as const;
const words: Readonly<Record<RelayEngine, string>> = { xdp: "XDP", tc: "tc", afpacket: "relaying in user space" };

/**
 * `before`: what carries it now, unchanged. It stays as long as it can: who starts tcpdump, or takes it away, must not move a rule, for attaching
 * a program may cost a driver the packets that it holds.
 */
export function chooseEngine(
  rule: NamedRule,
  ends: Ends,
  near: Near,
  engines: readonly EngineRow[],
  before?: { readonly engine: RelayEngine; readonly why: string },
): Choice {
  const missing = (engine: RelayEngine): string | undefined => {
    const row = engines.find((one) => one.engine === engine);
    return row?.available === true ? undefined : (row?.why ?? `${words[engine]} is not built`);
  };
  /** what is to be known of one that is there */
  const how = (engine: RelayEngine): string => {
    const why = engines.find((one) => one.engine === engine)?.why ?? "";
    return why === "" ? "" : `; ${why}`;
  };
  const cannot = (engine: RelayEngine): string | undefined =>
    missing(engine) ?? (engine === "xdp" ? (cannotXdp(rule, ends, near) ?? notTaken(ends, near)) : undefined);

  if (rule.engine !== "Auto") {
    const engine = wishes[rule.engine];
    const why = missing(engine) ?? (engine === "xdp" ? cannotXdp(rule, ends, near) : undefined);
    if (why !== undefined) return { engine: null, why };
    // Two relays that face each other would wait for each other's program for ever: what is asked for begins, and drops are counted.
    const until = engine === "xdp" ? notTaken(ends, near) : undefined;
    return { engine, why: until === undefined ? `asked for${how(engine)}` : `asked for; ${until}` };
  }
  if (before && cannot(before.engine) === undefined) return before;
  const notXdp = cannot("xdp") ?? ratherNotXdp(ends, near);
  if (notXdp === undefined) return { engine: "xdp", why: "one output, in the driver" };
  const notTc = cannot("tc");
  if (notTc === undefined) return { engine: "tc", why: `not XDP: ${notXdp}${how("tc")}` };
  const notUser = cannot("afpacket");
  if (notUser === undefined) return { engine: "afpacket", why: `not in the kernel: ${notTc}` };
  const all = [...new Set([notXdp, notTc, notUser])];
  return { engine: null, why: `no engine: ${all.join("; ")}` };
}

function cannotXdp(rule: NamedRule, { inputs, outputs, ipv6 }: Ends, near: Near): string | undefined {
  const nameOf = (ifindex: number): string => near.linkAt(ifindex)?.name ?? `interface ${ifindex}`;
  if (rule.deliverLocal) return "what XDP takes, this node's own subscribers do not get (deliverLocal)";
  if (ipv6) return "XDP relays IPv4 only";
  const [device, ...more] = outputs;
  if (more.length > 0) return `XDP has one output, and this rule ${outputs.length}`;
  for (const ifindex of inputs) {
    const probe = near.probe(ifindex);
    if (!probe) return `${nameOf(ifindex)} cannot be asked what it can do`;
    if (probe.foreignXdp) return `${nameOf(ifindex)} has an XDP program of somebody else`;
    if (probe.xdp !== "native") return `${nameOf(ifindex)} has no XDP in its driver${because(probe.why)}`;
  }
  if (device === undefined) return "its output has no interface at the moment";
  // A veth takes them as soon as its peer can.
  const driver = near.probe(device)?.driver;
  return driver === "veth" ? undefined : notTaken({ outputs }, near);
}

/** Why the output's device would drop what XDP hands to it. */
function notTaken({ outputs: [device] }: Pick<Ends, "outputs">, near: Near): string | undefined {
  if (device === undefined) return undefined;
  const probe = near.probe(device);
  if (probe?.xdpTarget === true) return undefined;
  return `${near.linkAt(device)?.name ?? `interface ${device}`} takes no frames from XDP${because(probe?.why ?? "")}`;
}

const because = (why: string): string => (why === "" ? "" : ` (${why})`);

function ratherNotXdp({ inputs }: Ends, near: Near): string | undefined {
  const nameOf = (ifindex: number): string => near.linkAt(ifindex)?.name ?? `interface ${ifindex}`;
  const main = inputs.find((ifindex) => near.isDefault(ifindex));
  if (main !== undefined) return `${nameOf(main)} carries this node's default route, and XDP turns its offloads off`;
  const watched = inputs.find((ifindex) => near.isWatched(ifindex));
  if (watched !== undefined) return `somebody captures on ${nameOf(watched)}, and would not see what XDP takes`;
  return undefined;
}
