// What a flow can be filtered and sorted by: one list for the URL, the command line, the store and the docs.

export type FieldKind = "number" | "time" | "duration" | "address" | "protocol" | "end" | "sci" | "flag";
interface Field {
  readonly kind: FieldKind;
  readonly about: string;
}
const field = <K extends FieldKind>(kind: K, about: string) => ({ kind, about });

export const flowFields = {
  run: field("number", "number of the run"),
  packet: field("number", "number of the flow's first packet"),
  proto: field("protocol", "macsec, esp, ah, tcp or udp"),
  packets: field("number", "packets received"),
  bytes: field("number", "bytes on the wire"),
  lost: field("number", "sequence numbers lost"),
  gaps: field("number", "gaps"),
  min_gap: field("number", "size of the smallest gap"),
  max_gap: field("number", "size of the largest gap"),
  expected: field("number", "sequence numbers expected"),
  unique: field("number", "sequence numbers seen"),
  reordered: field("number", "packets that came after a higher number"),
  duplicate: field("number", "packets seen before"),
  late: field("number", "packets below the window, or already counted lost"),
  pending: field("number", "numbers missing and not yet lost"),
  jumps: field("number", "confirmed jumps ahead"),
  outliers: field("number", "far numbers that nothing confirmed"),
  restarts: field("number", "confirmed restarts"),
  bandwidth: field("number", "Mbit/s between first and last packet"),
  first: field("time", "time of the first packet"),
  last: field("time", "time of the last packet"),
  duration: field("duration", "last minus first"),
  src: field("address", "source address or network; MAC for MACsec"),
  dst: field("address", "destination address or network; MAC for MACsec"),
  addr: field("address", "either address"),
  port: field("number", "either port"),
  sport: field("number", "source port"),
  dport: field("number", "destination port"),
  vlan: field("number", "outer or inner VLAN id"),
  an: field("number", "MACsec association number"),
  spi: field("number", "ESP or AH security parameter index"),
  sci: field("sci", "MACsec secure channel, 16 hex digits"),
  end: field("end", "capture_end, evicted, evicted_cap, active or interrupted"),
  evicted: field("flag", "ended before the capture did"),
  jump: field("flag", "has a confirmed jump"),
  restart: field("flag", "has a confirmed restart"),
  wrapped: field("flag", "its number passed 2^32 (XPN, ESN)"),
  ipv6: field("flag", "IPv6"),
  natt: field("flag", "ESP in UDP port 4500"),
} as const satisfies Record<string, Field>;

export type FlowField = keyof typeof flowFields;
export type FieldsOf<K extends FieldKind> = {
  [F in FlowField]: (typeof flowFields)[F]["kind"] extends K ? F : never;
}[FlowField];

/** What the flow list can be sorted by. */
export const sortFields = [
  "packet", "packets", "bytes", "lost", "gaps", "bandwidth", "duration", "first_seen", "last_seen",
  "expected", "unique", "reordered", "duplicate", "late", "jumps", "max_gap",
] as const; // biome-ignore format: one list
export type SortField = (typeof sortFields)[number];
export interface Sort {
  readonly by: SortField;
  readonly descending: boolean;
}
