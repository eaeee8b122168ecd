// Fixed-size records that native code hands to TypeScript in ArrayBuffers: little-endian cells of 8 bytes.
// The same list makes native/src/generated/records.h, so an offset is written once.
//
//   number  float64 holding an integer below 2^53: counts and sequence numbers
//   time    int64: nanoseconds since 1970
//   bytes   raw bytes, in network order

export type CellKind = "number" | "time" | "bytes";
type Cells = Readonly<Record<string, CellKind | readonly ["bytes", number]>>;

/** One finished flow. */
export const flowRecord = {
  packet: "number", // number of its first packet in the capture, from 1: names the flow within its run
  first_time: "time",
  last_time: "time",
  packets: "number",
  bytes: "number",
  /** [0] protocol, [1] flow end, [2] 1 if IPv6, [3] AN, [4] 1 if in UDP (NAT-T), [5] 1 if a wrap was followed (XPN, ESN), [6] VLAN tags, [7] 0 */
  meta: "bytes",
  /** [0..1] outer VLAN id, [2..3] inner VLAN id, [4..7] SPI, or source and destination port */
  tags: "bytes",
  sci: "bytes",
  /** IPv4 in the first 4 bytes; for MACsec the first 6 are the MAC */
  source: ["bytes", 2],
  destination: ["bytes", 2],
  first_number: "number", // base of the first segment
  last_number: "number", // hi
  expected: "number",
  unique: "number",
  reordered: "number",
  duplicate: "number",
  late: "number",
  lost: "number",
  pending: "number",
  jumps: "number",
  outliers: "number",
  restarts: "number",
  gaps: "number",
  min_gap: "number",
  max_gap: "number",
  min_inter_arrival: "number", // ns; 0 with fewer than two packets
  max_inter_arrival: "number",
} as const satisfies Cells;

/** One gap: a run of consecutive lost numbers of one flow. */
export const gapRecord = {
  packet: "number", // the flow
  first: "number",
  last: "number",
  noticed: "time",
  confirmed: "time",
  /** the flow's own, as in flowRecord, so that a gap can be told without looking its flow up; its end is `active` */
  meta: "bytes",
  tags: "bytes",
  sci: "bytes",
  source: ["bytes", 2],
  destination: ["bytes", 2],
  /** [0] 1 if a jump, [1] 1 if suspect, [4..7] the flow's restarts before it: a number can be lost once in each segment */
  flags: "bytes",
} as const satisfies Cells;

/** A flow that continues an earlier one. */
export const linkRecord = {
  packet: "number",
  previous: "number",
  /** [0] kind */
  meta: "bytes",
} as const satisfies Cells;

/** A time in which a live interface was not seen, or not all of it. */
export const blindRecord = {
  port: "number", // position of the interface in the capture's ledger
  since: "time",
  until: "time",
  /** [0] reason */
  meta: "bytes",
} as const satisfies Cells;

/**
 * A live file (store/README.md) is one page with this header, then a slot of 256 bytes per flow: a flow record and a live mark. A slot
 * never crosses a page, so a process that is killed while it writes leaves none half written.
 */
export const liveMagic = "taplive\n";
/** Changes with any layout in it. As a float64 it also tells a foreign byte order. */
export const liveVersion = 1;
export const livePage = 4096;
export const liveHeader = {
  magic: "bytes",
  version: "number",
  slot_size: "number",
  run: "number",
  started: "time", // of the run: tells it from a run of the same number in a database that was made anew
  member: "number",
  process: "number", // that has the file open
  slots: "number", // written so far, empty ones among them
  visited: "time", // wall clock of the latest visit
  reserved: ["bytes", 22],
  /** [0..3] of the 248 bytes before it, as liveCheck says */
  check: "bytes",
} as const satisfies Cells;

/** What follows the flow record in a slot. A slot of zeros is empty. */
export const liveMark = {
  visited: "time",
  reserved: "bytes",
  check: "bytes",
} as const satisfies Cells;

export const cellCount = (cells: Cells): number =>
  Object.values(cells).reduce((sum, kind) => sum + (typeof kind === "string" ? 1 : kind[1]), 0);

/** Index of each cell within its record, in 8-byte steps. */
export function cellOffsets<C extends Cells>(cells: C): { readonly [K in keyof C]: number } {
  let at = 0;
  const offsets: Record<string, number> = {};
  for (const [name, kind] of Object.entries(cells)) {
    offsets[name] = at;
    at += typeof kind === "string" ? 1 : kind[1];
  }
  return offsets as { readonly [K in keyof C]: number };
}
