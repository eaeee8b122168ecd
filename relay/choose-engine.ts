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

/** `before`: what carries it now. It stays as long as it can: who starts tcpdump must not move a rule. */
export function chooseEngine(
  rule: NamedRule,
  ends: Ends,
  near: Near,
  engines: readonly EngineRow[],
  before?: RelayEngine,
): Choice {
  const missing = (engine: RelayEngine): string | undefined => {
    const row = engines.find((one) => one.engine === engine);
    return row?.available === true ? undefined : (row?.why ?? `${words[engine]} is not built`);
  };
  const cannot = (engine: RelayEngine): string | undefined =>
    missing(engine) ?? (engine === "xdp" ? cannotXdp(rule, ends, near) : undefined);

  if (rule.engine !== "Auto") {
    const engine = wishes[rule.engine];
    const why = cannot(engine);
    return why === undefined ? { engine, why: "asked for" } : { engine: null, why };
  }
  const notXdp = cannot("xdp") ?? (before === "xdp" ? undefined : ratherNotXdp(ends, near));
  if (notXdp === undefined) return { engine: "xdp", why: "one output, in the driver" };
  const notTc = cannot("tc");
  if (notTc === undefined) return { engine: "tc", why: `not XDP: ${notXdp}` };
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
  const probe = near.probe(device);
  return probe?.xdpTarget === true
    ? undefined
    : `${nameOf(device)} takes no frames from XDP${because(probe?.why ?? "")}`;
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
