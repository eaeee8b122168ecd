import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TaplineError } from "./errors.ts";
import { operators, parseFilter, pointAtError, printFilter, type Filter, type Term } from "./filter.ts";
import { flowFields, type FlowField } from "./flow-fields.ts";
import { addressText, parseNetwork, within } from "./network.ts";
import { durationText, parseDuration, parseTime, timeText } from "./time.ts";
import { flowEnds, protocols } from "./vocabulary.ts";

const fieldsOf = (kind: string): FlowField[] =>
  (Object.keys(flowFields) as FlowField[]).filter((name) => flowFields[name].kind === kind);

/** A term of any field: lists only with = and !=. */
const valued = <T>(kind: string, ordered: boolean, value: fc.Arbitrary<T>): fc.Arbitrary<Term> =>
  fc
    .record({
      field: fc.constantFrom(...fieldsOf(kind)),
      op: fc.constantFrom(...(ordered ? operators : operators.slice(0, 2))),
      values: fc.array(value, { minLength: 1, maxLength: 4 }),
    })
    .map(
      ({ field, op, values }) =>
        ({ kind, field, op, values: op === "=" || op === "!=" ? values : values.slice(0, 1) }) as unknown as Term,
    );

const address = fc
  .constantFrom(4, 6, 16)
  .chain((size) =>
    fc.tuple(fc.array(fc.oneof(fc.constant(0), fc.nat(255)), { minLength: size, maxLength: size }), fc.nat(size * 8)),
  )
  .map(([bytes, prefix]) => parseNetwork(`${addressText(bytes)}/${prefix}`));

const term: fc.Arbitrary<Term> = fc.oneof(
  valued(
    "number",
    true,
    fc.oneof(
      fc.nat(),
      fc.maxSafeNat(),
      fc.double({ min: 0, max: 1e18, noNaN: true }).map((n) => Math.abs(n)),
    ),
  ),
  valued("time", true, fc.bigInt(0n, 4_000_000_000_000_000_000n)),
  valued("duration", true, fc.bigInt(0n, 10n ** 18n - 1n)),
  valued("address", false, address),
  valued("protocol", false, fc.constantFrom(...protocols)),
  valued("end", false, fc.constantFrom(...flowEnds)),
  valued("sci", false, fc.stringMatching(/^[0-9a-f]{16}$/)),
  fc.record({
    kind: fc.constant("flag"),
    field: fc.constantFrom(...fieldsOf("flag")),
    on: fc.boolean(),
  }) as fc.Arbitrary<Term>,
);

const refusal = (text: string): TaplineError => {
  try {
    parseFilter(text);
  } catch (error) {
    return error as TaplineError;
  }
  throw new Error(`${text} parsed`);
};

describe("the filter grammar", () => {
  test("any filter prints to a text that parses to the same filter", () => {
    fc.assert(
      fc.property(
        fc.array(term, { maxLength: 6 }),
        (filter: Filter) => void expect(parseFilter(printFilter(filter))).toEqual(filter),
      ),
      { numRuns: 500 },
    );
  });

  test("any text parses or is refused with a column inside it, never anything else", () => {
    const pieces = fc.constantFrom(
      "lost",
      ">",
      "=",
      "!=",
      "1",
      "proto",
      "macsec",
      ",",
      " ",
      '"',
      "!",
      "jump",
      "10.0.0.0/8",
      "é",
      "\t",
      "::",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces).map((list) => list.join("")),
        ),
        (text) => {
          try {
            parseFilter(text);
          } catch (error) {
            expect(error).toBeInstanceOf(TaplineError);
            const column = Number((error as TaplineError).details["column"]);
            expect(column).toBeGreaterThanOrEqual(1);
            expect(column).toBeLessThanOrEqual(text.length + 1);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("reads the example of the documentation", () => {
    expect(parseFilter("proto=macsec lost>0 bytes>1e6 src=10.0.0.0/8")).toEqual([
      { kind: "protocol", field: "proto", op: "=", values: ["macsec"] },
      { kind: "number", field: "lost", op: ">", values: [0] },
      { kind: "number", field: "bytes", op: ">", values: [1_000_000] },
      { kind: "address", field: "src", op: "=", values: [{ bytes: [10, 0, 0, 0], prefix: 8 }] },
    ]);
  });

  test.each([
    ["bytes>1.5M", "bytes>1500000"],
    ["proto=ESP,ah", "proto=esp,ah"],
    ["spi=0xDEADbeef", "spi=0xdeadbeef"],
    ["sci=02:00:00:00:00:01/0001", "sci=0200000000010001"],
    ['first>="2026-11-21 10:00:00.5"', "first>=2026-11-21T10:00:00.5Z"],
    ["first>=2026-11-21T10:00:00+01:00", "first>=2026-11-21T09:00:00Z"],
    ["last<2026-11-21", "last<2026-11-21T00:00:00Z"],
    ["duration>1.5s", "duration>1500ms"],
    ["dst=2001:DB8:0:0::1", "dst=2001:db8::1"],
    ["addr=10.1.2.3/8", "addr=10.0.0.0/8"],
    ["  jump   !evicted ", "jump !evicted"],
    ["", ""],
  ])("%s means %s", (text, printed) => expect(printFilter(parseFilter(text))).toBe(printed));

  test.each([
    ["lost>", 6],
    ["proto=macsec lost>x", 19],
    ["lost>1,", 8],
    ["lost>1,2", 6],
    ["lost=1,x", 8],
    ["lost 3", 5],
    ["proto>esp", 6],
    ["evicted=1", 8],
    ["!lost>1", 1],
    [">3", 1],
    ['proto=esp src="10.0.0.1', 15],
    ["src=1.2.3.4/33", 5],
    ["src=1.2.3", 5],
    ["first>2026-02-30", 7],
    ["duration>5", 10],
    ["duration>0.1ns", 10],
    ["bytes>1e999", 7],
  ])("%s is refused at column %i", (text, column) => {
    const error = refusal(text);
    expect(error.code).toBe("FILTER_SYNTAX");
    expect(error.details["column"]).toBe(column);
    expect(error.status).toBe(400);
  });

  test("a caret points at the place", () => {
    expect(pointAtError(refusal("proto=macsec lost>x"))).toBe("proto=macsec lost>x\n                  ^");
    expect(pointAtError(new Error("other"))).toBeUndefined();
  });

  test.each([
    ["lots>3", "did you mean lost?"],
    ["protocol=esp", "did you mean proto?"],
    ["constructor=1", "fields are run,"],
  ])("%s names no field, and the hint helps: %s", (text, hint) => {
    const error = refusal(text);
    expect(error.code).toBe("FILTER_UNKNOWN_FIELD");
    expect(error.hint).toContain(hint);
  });
});

describe("addresses, times and durations", () => {
  test("an address lies within its own network and not within a neighbour", () => {
    const network = parseNetwork("10.64.0.0/10");
    if (!network) throw new Error("no network");
    expect(within([10, 127, 255, 255], network)).toBe(true);
    expect(within([10, 128, 0, 0], network)).toBe(false);
    expect(within([10, 64, 0, 0, 0, 0], network)).toBe(false);
  });

  test.each(["::", "::1", "1::", "2001:db8::1", "fe80::1:0:0:1", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8"])(
    "%s is IPv6",
    (text) => {
      const network = parseNetwork(text);
      expect(network?.bytes).toHaveLength(16);
      expect(new URL(`http://[${text}]/`).hostname).toBe(`[${addressText(network?.bytes ?? [])}]`);
    },
  );

  test.each([
    "",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8:9",
    "12345::",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "02:00:00:00:00",
    "10.0.0.0/",
    "10.0.0.0/8/8",
  ])("%s is no address", (text) => expect(parseNetwork(text)).toBeUndefined());

  test("times keep every nanosecond", () => {
    fc.assert(
      fc.property(fc.bigInt(-(10n ** 18n), 4n * 10n ** 18n), (ns) => void expect(parseTime(timeText(ns))).toBe(ns)),
    );
    expect(timeText(1_790_000_000_000_000_001n)).toBe("2026-09-21T14:13:20.000000001Z");
  });

  test("durations keep every nanosecond", () => {
    fc.assert(fc.property(fc.bigInt(0n, 10n ** 15n), (ns) => void expect(parseDuration(durationText(ns))).toBe(ns)));
  });
});
