// What can be asked of `tapline bench relay`, by name. Apart from what it does, so that --help costs nothing.

export type RelayPeerName = "smcroute" | "socat";

export const rateCaseNames = [
  "smcroute",
  "smcroute-rps",
  "socat",
  "xdp",
  "xdp-same-core",
  "xdp-three-hops",
  "xdp-tunnel",
  "xdp-10000-rules",
  "tc",
  "tc-four",
  "afpacket",
] as const;
export type RateCaseName = (typeof rateCaseNames)[number];

export const benchRelayParts = [...rateCaseNames, "latency", "hashed", "micro"] as const;
export type BenchRelayPart = (typeof benchRelayParts)[number];

export interface BenchRelayArguments {
  /** absent: all */
  readonly case?: readonly BenchRelayPart[];
  readonly against: RelayPeerName | "all";
  readonly rounds: number;
  readonly seconds: number;
  /** packets of the run whose every byte is read */
  readonly hashed: number;
  readonly csv?: string;
  readonly strict: boolean;
  readonly json?: boolean;
}
