// The one filter grammar, for the URL and the command line:
//
//   filter = term { blank term }                         every term must hold
//   term   = [ "!" ] flag | field operator value         proto=macsec  lost>0  src=10.0.0.0/8  !evicted
//   operator = "=" | "!=" | ">" | ">=" | "<" | "<="      = and != take lists: proto=esp,ah is either, != is neither
//   value  = text without blanks, or "in quotes"
//
// A flow without the field (a TCP flow has no SPI) satisfies != and nothing else.
import { TaplineError } from "./errors.ts";
import { flowFields, type FieldsOf, type FlowField } from "./flow-fields.ts";
import { nearest } from "./nearest.ts";
import { networkText, parseNetwork, type Network } from "./network.ts";
import { durationText, parseDuration, parseTime, timeText } from "./time.ts";
import { flowEnds, protocols, type FlowEnd, type Protocol } from "./vocabulary.ts";

export const operators = ["=", "!=", ">", ">=", "<", "<="] as const;
export type Operator = (typeof operators)[number];
export type ListOperator = "=" | "!=";

export type Term =
  | {
      readonly kind: "number";
      readonly field: FieldsOf<"number">;
      readonly op: Operator;
      readonly values: readonly number[];
    }
  | {
      readonly kind: "time";
      readonly field: FieldsOf<"time">;
      readonly op: Operator;
      readonly values: readonly bigint[];
    }
  | {
      readonly kind: "duration";
      readonly field: FieldsOf<"duration">;
      readonly op: Operator;
      readonly values: readonly bigint[];
    }
  | {
      readonly kind: "address";
      readonly field: FieldsOf<"address">;
      readonly op: ListOperator;
      readonly values: readonly Network[];
    }
  | {
      readonly kind: "protocol";
      readonly field: FieldsOf<"protocol">;
      readonly op: ListOperator;
      readonly values: readonly Protocol[];
    }
  | {
      readonly kind: "end";
      readonly field: FieldsOf<"end">;
      readonly op: ListOperator;
      readonly values: readonly FlowEnd[];
    }
  | {
      readonly kind: "sci";
      readonly field: FieldsOf<"sci">;
      readonly op: ListOperator;
      readonly values: readonly string[];
    }
  | { readonly kind: "flag"; readonly field: FieldsOf<"flag">; readonly on: boolean };
export type Filter = readonly Term[];

const scales = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
function parseNumber(text: string): number | undefined {
  if (/^0x[0-9a-f]{1,13}$/i.test(text)) return Number.parseInt(text, 16);
  const [, digits, scale = ""] = /^(\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)([kMGT]?)$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const value = Number(digits) * scales[scale as keyof typeof scales];
  return Number.isFinite(value) ? value : undefined;
}

function parseSci(text: string): string | undefined {
  const digits = text.replaceAll(/[:/-]/g, "").toLowerCase();
  return /^[0-9a-f]{16}$/.test(digits) ? digits : undefined;
}

const oneOf =
  <T extends string>(list: readonly T[]) =>
  (text: string): T | undefined =>
    list.find((name) => name === text.toLowerCase());

const readers = {
  number: [parseNumber, "a number such as 1500, 1e6, 20k or 0x1f"],
  time: [parseTime, "a time such as 2026-11-21T10:00:00Z"],
  duration: [parseDuration, "a duration such as 5s, 200ms or 1h"],
  address: [parseNetwork, "an address or network such as 10.0.0.0/8, 2001:db8::/32 or 02:00:00:00:00:01"],
  protocol: [oneOf(protocols), `one of ${protocols.join(", ")}`],
  end: [oneOf(flowEnds), `one of ${flowEnds.join(", ")}`],
  sci: [parseSci, "a secure channel of 16 hex digits such as 0200000000010001"],
} as const;

interface Piece {
  readonly text: string;
  /** index of its first character in the whole text */
  readonly start: number;
}

/** Cuts at blanks outside quotes. */
function cut(text: string): Piece[] {
  const pieces: Piece[] = [];
  const matcher = /(?:"[^"]*"|[^\s"])+|"/g;
  for (let match = matcher.exec(text); match; match = matcher.exec(text)) {
    if (match[0] === '"')
      throw new TaplineError("FILTER_SYNTAX", {
        filter: text,
        column: match.index + 1,
        detail: "this quote is not closed",
      });
    pieces.push({ text: match[0], start: match.index });
  }
  return pieces;
}

const names = Object.keys(flowFields) as FlowField[];
function suggestion(field: string): string {
  const near = nearest(field, names);
  return near === undefined ? `fields are ${names.join(", ")}` : `did you mean ${near}?`;
}

function parseTerm(filter: string, piece: Piece): Term {
  const fail = (detail: string, offset = 0): TaplineError =>
    new TaplineError("FILTER_SYNTAX", { filter, column: piece.start + offset + 1, detail });
  const [, not = "", name = "", op = "", rest = ""] =
    /^(!?)((?:[A-Za-z_][A-Za-z0-9_]*)?)(!=|>=|<=|=|>|<)?(.*)$/s.exec(piece.text) ?? [];
  if (name === "") throw fail("a field's name is expected here", not.length);
  if (!Object.hasOwn(flowFields, name))
    throw new TaplineError("FILTER_UNKNOWN_FIELD", {
      filter,
      field: name,
      column: piece.start + not.length + 1,
      suggestion: suggestion(name),
    });
  const field = name as FlowField;
  const { kind } = flowFields[field];
  const afterName = not.length + name.length;
  if (kind === "flag") {
    if (op !== "" || rest !== "") throw fail(`${name} is a flag: write ${name} or !${name}`, afterName);
    return { kind, field: field as FieldsOf<"flag">, on: not === "" };
  }
  if (not !== "") throw fail(`only a flag takes "!": write ${name}!=…`);
  if (op === "") throw fail(`one of ${operators.join(" ")} is expected here`, afterName);
  const ordered = kind === "number" || kind === "time" || kind === "duration";
  if (!ordered && op !== "=" && op !== "!=") throw fail(`${name} takes only = and !=`, afterName);

  const [read, expected] = readers[kind];
  const values: (string | number | bigint | Network)[] = [];
  let offset = afterName + op.length;
  const valueAt = offset;
  for (const part of rest.match(/(?:"[^"]*"|[^",])+|(?<=,|^)(?=,|$)/g) ?? [""]) {
    const value = read(part.replaceAll('"', ""));
    if (value === undefined) throw fail(`${expected} is expected here`, offset);
    values.push(value);
    offset += part.length + 1;
  }
  if (values.length > 1 && op !== "=" && op !== "!=") throw fail(`${op} takes one value, not a list`, valueAt);
  return { kind, field, op, values } as Term;
}

/** Throws FILTER_SYNTAX or FILTER_UNKNOWN_FIELD with the filter and the column (from 1) in its details. */
export const parseFilter = (text: string): Filter => cut(text).map((piece) => parseTerm(text, piece));

const listText = (term: Exclude<Term, { kind: "flag" }>): string => {
  switch (term.kind) {
    case "number":
      return term.values
        .map((value) =>
          term.field === "spi" && Number.isInteger(value) && value < 2 ** 52
            ? `0x${value.toString(16)}`
            : String(value),
        )
        .join(",");
    case "time":
      return term.values.map((value) => timeText(value).replace(/\.?0*Z$/, "Z")).join(",");
    case "duration":
      return term.values.map(durationText).join(",");
    case "address":
      return term.values.map(networkText).join(",");
    default:
      return term.values.join(",");
  }
};

/** The shortest text that parses to the same filter. */
export const printFilter = (filter: Filter): string =>
  filter
    .map((term) =>
      term.kind === "flag" ? `${term.on ? "" : "!"}${term.field}` : `${term.field}${term.op}${listText(term)}`,
    )
    .join(" ");

/** The text with a caret under a column (from 1). */
export const pointAt = (text: string, column: number): string =>
  `${text}\n${text.slice(0, column - 1).replaceAll(/[^\t]/g, " ")}^`;

/** For a filter error: its text with the caret; undefined for any other error. */
export function pointAtError(error: unknown): string | undefined {
  if (!(error instanceof TaplineError) || !error.code.startsWith("FILTER_")) return undefined;
  return pointAt(String(error.details["filter"]), Number(error.details["column"]));
}
