// What `tapline bench relay` measures: each case with its rig, its setting, and what it has promised beside smcroute's best.
import { group, type Stream } from "./relay-ends.ts";
import type { RateCaseName, RelayPeerName } from "./relay-parts.ts";
import { relayPeer } from "./relay-peers.ts";
import { relayCores, type Steering } from "./relay-rig.ts";
import type { RelayCase } from "./relay-run.ts";
import { fanGroup, manyBase, manyRules, ours, rules } from "./relay-subject.ts";

/** bytes of payload: frames of 1442 */
const size = 1400;
const full = (seconds: number): Stream => ({ size, seconds });
const other = (how: Steering["how"]): Steering => ({ node: "b", interface: "b0", how, core: relayCores.other });
const lane = { address: group };

/** How often smcroute's best rate, at least; and nothing may be lost. */
interface Promised {
  readonly times: number;
  /** what was hoped for */
  readonly goal?: number;
}
export interface RatedCase extends RelayCase {
  readonly promised?: Promised;
  /** its rate is compared with this case's instead, and may be lower by a tenth */
  readonly asFastAs?: string;
}

const threeHopPackets = 10_000_000;
const fans = 4;

/** Each makes what it needs when it is asked for. */
export const rateCases = {
  smcroute: (seconds) => peer("smcroute", "smcroute", seconds),
  // Without a ring of the sink's own both ends wait in one core's backlog, and some are lost there.
  "smcroute-rps": (seconds) => ({
    ...peer("smcroute-rps", "smcroute", seconds),
    sink: "xdp",
    steering: [other("rps")],
  }),
  socat: (seconds) => peer("socat", "socat", seconds),
  xdp: (seconds) => ({
    ...own("xdp", rules.onward("XDP"), seconds),
    steering: [other("threaded")],
    promised: { times: 4.5, goal: 5.5 },
  }),
  "xdp-same-core": (seconds) => ({
    ...own("xdp-same-core", rules.onward("XDP"), seconds),
    promised: { times: 1.6, goal: 2 },
  }),
  "xdp-three-hops": (seconds) => ({
    ...own("xdp-three-hops", rules.onward("XDP"), seconds),
    stream: { size, packets: threeHopPackets },
    hops: 3,
    steering: [other("threaded")],
    promised: { times: 4 },
  }),
  "xdp-tunnel": (seconds) => ({
    ...own("xdp-tunnel", rules.tunnelled("XDP"), seconds),
    hops: 2,
    steering: [other("threaded")],
    promised: { times: 2.5 },
  }),
  "xdp-10000-rules": (seconds) => ({
    ...own("xdp-10000-rules", rules.many("XDP"), seconds),
    lanes: [{ address: manyBase, count: manyRules }],
    stream: { ...full(seconds), group: manyBase, groups: manyRules },
    steering: [other("threaded")],
    asFastAs: "xdp",
  }),
  tc: (seconds) => ({
    ...own("tc", rules.onward("TC"), seconds),
    steering: [other("rps")],
    promised: { times: 2.8 },
  }),
  "tc-four": (seconds) => ({
    ...own("tc-four", rules.fan("TC", fans), seconds),
    lanes: Array.from({ length: fans }, (_, i) => ({ address: fanGroup(i) })),
    // On the sender's core the sink takes each copy before the next packet comes: no ring can be full.
    sink: "tc",
    promised: { times: 3.5 },
  }),
  afpacket: (seconds) => ({ ...own("afpacket", rules.onward("AFPacket"), seconds), promised: { times: 2 } }),
} as const satisfies Readonly<Record<RateCaseName, (seconds: number) => RatedCase>>;

function peer(name: string, program: RelayPeerName, seconds: number): RatedCase {
  return {
    name,
    forwarder: relayPeer(program),
    hops: 1,
    steering: [],
    lanes: [lane],
    sink: "tc",
    stream: full(seconds),
  };
}
function own(name: string, of: Parameters<typeof ours>[2], seconds: number): RatedCase {
  const forwarder = ours(name, `tapline relay, agent on core ${relayCores.other}`, of);
  return { name, forwarder, hops: 1, steering: [], lanes: [lane], sink: "xdp", stream: full(seconds) };
}

const pps = 100_000;
const slow = (seconds: number): Stream => ({ size, seconds, pps });
/** One hop's latency, on the sender's core and on the other. */
export const latencyCases = {
  "smcroute, sender's core": (seconds) => ({ ...rateCases.smcroute(seconds), stream: slow(seconds) }),
  "smcroute, other core": (seconds) => ({ ...rateCases["smcroute-rps"](seconds), stream: slow(seconds) }),
  "xdp, sender's core": (seconds) => ({ ...rateCases["xdp-same-core"](seconds), stream: slow(seconds) }),
  "xdp, other core": (seconds) => ({ ...rateCases.xdp(seconds), stream: slow(seconds) }),
  "tc, sender's core": (seconds) => ({ ...rateCases.tc(seconds), steering: [], stream: slow(seconds) }),
  "tc, other core": (seconds) => ({ ...rateCases.tc(seconds), stream: slow(seconds) }),
} as const satisfies Readonly<Record<string, (seconds: number) => RatedCase>>;
export type LatencyCaseName = keyof typeof latencyCases;

/** Three hops again, slowly enough for every byte to be read. */
export const hashedCase = (packets: number): RelayCase => ({
  ...rateCases["xdp-three-hops"](0),
  name: "every payload read",
  sink: "hash",
  stream: { size, packets, pps: 200_000 },
});
