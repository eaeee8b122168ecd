// A filter term as a match of rows of the index: a range of a column, a set of bytes, or any test. Terms that flow-plan.ts sends
// to SQL never come here.
import type { Operator, Term } from "#domain/filter.ts";
import { prefixMask, type Network } from "#domain/network.ts";
import { evictedEnds, flowEnds, protocols } from "#domain/vocabulary.ts";
import type { FlowIndex } from "./flow-index.ts";

type Test = (row: number) => boolean;
export type Match =
  | { readonly by: "range"; readonly values: Float64Array; readonly low: number; readonly high: number }
  /** of each row's 8 bytes the one at `at`; `allowed` has 256 entries, 1 or 0 */
  | { readonly by: "byte"; readonly bytes: Uint8Array; readonly at: number; readonly allowed: Uint8Array }
  | { readonly by: "test"; readonly test: Test };
const none = Number.NaN; // a flow without the field: equal to nothing, above and below nothing

/** The array behind a field or sort that is one. */
function columnOf(index: FlowIndex, field: string): Float64Array | undefined {
  switch (field) {
    case "packet":
    case "packets":
    case "bytes":
    case "lost":
    case "gaps":
    case "first":
    case "last":
      return index[field];
    case "first_seen":
      return index.first;
    case "last_seen":
      return index.last;
    default:
      return undefined;
  }
}

/** A sort's value of every row. */
export function keysOf(index: FlowIndex, sort: string): Float64Array {
  const column = columnOf(index, sort);
  if (column) return column;
  const value = numberOf(index, sort);
  const keys = new Float64Array(index.length);
  for (let row = 0; row < keys.length; row++) keys[row] = value(row);
  return keys;
}

/** One number per row; NaN where the flow has no such field. */
function numberOf(index: FlowIndex, field: string): (row: number) => number {
  const { meta, tags, first, last, bytes } = index;
  const pair = (at: number): number => ((tags[at] as number) << 8) | (tags[at + 1] as number);
  const port = (row: number, at: number): number => ((meta[row * 8] as number) > 2 ? pair(row * 8 + at) : none);
  const column = columnOf(index, field);
  if (column) return (row) => column[row] as number;
  switch (field) {
    case "duration":
      return (row) => (last[row] as number) - (first[row] as number);
    case "bandwidth":
      return (row) => {
        const ns = (last[row] as number) - (first[row] as number);
        return ns > 0 ? ((bytes[row] as number) * 8000) / ns : 0;
      };
    case "an":
      return (row) => (meta[row * 8] === 0 ? (meta[row * 8 + 3] as number) : none);
    case "spi":
      return (row) =>
        meta[row * 8] === 1 || meta[row * 8] === 2 ? pair(row * 8 + 4) * 65536 + pair(row * 8 + 6) : none;
    case "sport":
      return (row) => port(row, 4);
    case "dport":
      return (row) => port(row, 6);
    case "outer_vlan":
      return (row) => ((meta[row * 8 + 6] as number) > 0 ? pair(row * 8) & 0xfff : none);
    case "inner_vlan":
      return (row) => ((meta[row * 8 + 6] as number) > 1 ? pair(row * 8 + 2) & 0xfff : none);
    default:
      throw new Error(`${field} is not indexed`);
  }
}

function compare(value: (row: number) => number, op: Operator, wanted: readonly number[]): Test {
  const one = wanted[0] as number;
  switch (op) {
    case "=":
      return wanted.length === 1 ? (row) => value(row) === one : (row) => wanted.includes(value(row));
    case "!=":
      return wanted.length === 1 ? (row) => value(row) !== one : (row) => !wanted.includes(value(row));
    case ">":
      return (row) => value(row) > one;
    case ">=":
      return (row) => value(row) >= one;
    case "<":
      return (row) => value(row) < one;
    case "<=":
      return (row) => value(row) <= one;
  }
}

/** Words of 4 bytes in memory order, so that a network is at most four masked comparisons. */
function words(bytes: readonly number[]): Uint32Array {
  const padded = new Uint8Array(16);
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
}

function inNetwork(index: FlowIndex, side: "source" | "destination", network: Network): Test {
  const addresses = index[side];
  const { meta } = index;
  const [w0, w1, w2, w3] = words(network.bytes) as unknown as [number, number, number, number];
  const masks = words(network.bytes.map((_, i) => prefixMask(network.prefix, i))) as unknown as [
    number,
    number,
    number,
    number,
  ];
  const [m0, m1, m2, m3] = masks;
  const size = network.bytes.length;
  return (row) => {
    const a = row * 4;
    if (((addresses[a] as number) & m0) >>> 0 !== w0 || ((addresses[a + 1] as number) & m1) >>> 0 !== w1) return false;
    if (((addresses[a + 2] as number) & m2) >>> 0 !== w2 || ((addresses[a + 3] as number) & m3) >>> 0 !== w3)
      return false;
    const has = meta[row * 8] === 0 ? 6 : meta[row * 8 + 2] ? 16 : 4;
    return has === size;
  };
}

const any = (tests: readonly Test[]): Test => {
  const [only] = tests;
  return only && tests.length === 1 ? only : (row) => tests.some((test) => test(row));
};
const not =
  (test: Test): Test =>
  (row) =>
    !test(row);
const signed = (op: "=" | "!=", test: Test): Test => (op === "=" ? test : not(test));

/** For a field of two places: either for = and the orders, neither for !=. */
function either(index: FlowIndex, fields: readonly [string, string], op: Operator, values: readonly number[]): Test {
  const tests = fields.map((field) => compare(numberOf(index, field), op === "!=" ? "=" : op, values));
  return op === "!=" ? not(any(tests)) : any(tests);
}

/** The neighbours of a number: a float64's bits count like an integer, for positive and negative numbers apart. */
function next(value: number, up: boolean): number {
  if (value === 0) return up ? Number.MIN_VALUE : -Number.MIN_VALUE;
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0] = (bits[0] as bigint) + (up === value > 0 ? 1n : -1n);
  return new Float64Array(bits.buffer)[0] as number;
}

function matchNumber(index: FlowIndex, field: string, op: Operator, wanted: readonly number[]): Match {
  const values = columnOf(index, field);
  const one = wanted[0] as number;
  if (!values || op === "!=" || wanted.length > 1)
    return { by: "test", test: compare(numberOf(index, field), op, wanted) };
  const low = op === ">" ? next(one, true) : op === "=" || op === ">=" ? one : Number.NEGATIVE_INFINITY;
  const high = op === "<" ? next(one, false) : op === "=" || op === "<=" ? one : Number.POSITIVE_INFINITY;
  return { by: "range", values, low, high };
}

function matchByte(bytes: Uint8Array, at: number, holds: (byte: number) => boolean): Match {
  return { by: "byte", bytes, at, allowed: Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0)) };
}

const tested = (test: Test): Match => ({ by: "test", test });

/** The run's own terms (run=…) have been applied when the runs were chosen. */
export function matchTerm(index: FlowIndex, term: Term): Match {
  const { meta } = index;
  switch (term.kind) {
    case "number":
      if (term.field === "port") return tested(either(index, ["sport", "dport"], term.op, term.values));
      if (term.field === "vlan") return tested(either(index, ["outer_vlan", "inner_vlan"], term.op, term.values));
      return matchNumber(index, term.field, term.op, term.values);
    case "time":
      return matchNumber(
        index,
        term.field,
        term.op,
        term.values.map((ns) => Number(ns - index.baseNs)),
      );
    case "duration":
      return matchNumber(index, term.field, term.op, term.values.map(Number));
    case "protocol":
      return matchByte(
        meta,
        0,
        (byte) => term.values.some((name) => protocols.indexOf(name) === byte) === (term.op === "="),
      );
    case "end":
      return matchByte(
        meta,
        1,
        (byte) => term.values.some((name) => flowEnds.indexOf(name) === byte) === (term.op === "="),
      );
    case "sci": {
      const tests = term.values.map((text): Test => {
        const [w0, w1] = words([...Buffer.from(text, "hex")]) as unknown as [number, number];
        return (row) => meta[row * 8] === 0 && index.sci[row * 2] === w0 && index.sci[row * 2 + 1] === w1;
      });
      return tested(signed(term.op, any(tests)));
    }
    case "address": {
      const sides =
        term.field === "src"
          ? (["source"] as const)
          : term.field === "dst"
            ? (["destination"] as const)
            : (["source", "destination"] as const);
      return tested(
        signed(term.op, any(sides.flatMap((side) => term.values.map((network) => inNetwork(index, side, network))))),
      );
    }
    case "flag": {
      const at = { ipv6: 2, natt: 4, wrapped: 5 }[term.field as string];
      if (term.field === "evicted") return matchByte(meta, 1, (byte) => evictedEnds.includes(byte) === term.on);
      if (at === undefined) throw new Error(`${term.field} is not indexed`);
      return matchByte(meta, at, (byte) => (byte !== 0) === term.on);
    }
  }
}
