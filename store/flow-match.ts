// A filter term as a test of one row of the index. Terms that flow-plan.ts sends to SQL never come here.
import type { Operator, Term } from "#domain/filter.ts";
import { prefixMask, type Network } from "#domain/network.ts";
import { flowEnds, protocols } from "#domain/vocabulary.ts";
import type { FlowIndex } from "./flow-index.ts";

export type Test = (row: number) => boolean;
const none = Number.NaN; // a flow without the field: equal to nothing, above and below nothing

/** One number per row; NaN where the flow has no such field. */
export function numberOf(index: FlowIndex, field: string): (row: number) => number {
  const { meta, tags, first, last, bytes } = index;
  const pair = (at: number): number => ((tags[at] as number) << 8) | (tags[at + 1] as number);
  const port = (row: number, at: number): number => ((meta[row * 8] as number) > 2 ? pair(row * 8 + at) : none);
  switch (field) {
    case "packet":
    case "packets":
    case "bytes":
    case "lost":
    case "gaps":
    case "first":
    case "last": {
      const values = index[field];
      return (row) => values[row] as number;
    }
    case "first_seen":
      return (row) => first[row] as number;
    case "last_seen":
      return (row) => last[row] as number;
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

/** The run's own terms (run=…) have been applied when the runs were chosen. */
export function matchTerm(index: FlowIndex, term: Term): Test {
  const { meta } = index;
  switch (term.kind) {
    case "number":
      if (term.field === "port") return either(index, ["sport", "dport"], term.op, term.values);
      if (term.field === "vlan") return either(index, ["outer_vlan", "inner_vlan"], term.op, term.values);
      return compare(numberOf(index, term.field), term.op, term.values);
    case "time":
      return compare(
        numberOf(index, term.field),
        term.op,
        term.values.map((ns) => Number(ns - index.baseNs)),
      );
    case "duration":
      return compare(numberOf(index, term.field), term.op, term.values.map(Number));
    case "protocol":
      return compare(
        (row) => meta[row * 8] as number,
        term.op,
        term.values.map((name) => protocols.indexOf(name)),
      );
    case "end":
      return compare(
        (row) => meta[row * 8 + 1] as number,
        term.op,
        term.values.map((name) => flowEnds.indexOf(name)),
      );
    case "sci": {
      const tests = term.values.map((text): Test => {
        const [w0, w1] = words([...Buffer.from(text, "hex")]) as unknown as [number, number];
        return (row) => meta[row * 8] === 0 && index.sci[row * 2] === w0 && index.sci[row * 2 + 1] === w1;
      });
      return signed(term.op, any(tests));
    }
    case "address": {
      const sides =
        term.field === "src"
          ? (["source"] as const)
          : term.field === "dst"
            ? (["destination"] as const)
            : (["source", "destination"] as const);
      return signed(
        term.op,
        any(sides.flatMap((side) => term.values.map((network) => inNetwork(index, side, network)))),
      );
    }
    case "flag": {
      const at = { evicted: 1, ipv6: 2, natt: 4, wrapped: 5 }[term.field as string];
      if (at === undefined) throw new Error(`${term.field} is not indexed`);
      const set: Test = (row) => meta[row * 8 + at] !== 0;
      return term.on ? set : not(set);
    }
  }
}
