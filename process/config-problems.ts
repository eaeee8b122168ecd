// What is wrong with a configuration, in words. Enters: one issue of zod. Leaves: where, and a text that continues "key: ".
import type { z } from "zod";
import { type FieldSchema, fieldAt, keysAt } from "#domain/config-fields.ts";
import { nearest } from "#domain/nearest.ts";

export interface IssueText {
  readonly path: readonly PropertyKey[];
  /** the key below `path` that is itself at fault */
  readonly key?: string;
  readonly text: string;
}

type Issue = z.core.$ZodIssue;

const types: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a section of keys",
  record: "a section of keys",
  array: "a list",
};

/** What was given, short enough for one line. */
function shown(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a section of keys";
  if (typeof value === "string")
    return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  return `${value as number | boolean}`;
}

const list = (words: readonly string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;

const meant = (typed: unknown, names: readonly string[]): string => {
  const near = typeof typed === "string" ? nearest(typed, names) : undefined;
  return near === undefined ? "" : `; did you mean ${near}?`;
};

function wrongType(issue: z.core.$ZodIssueInvalidType, field: FieldSchema | undefined): string {
  const { expected, input } = issue;
  if (input === undefined) return "is required, and missing";
  if (field?.form?.startsWith("duration"))
    return `must be a ${field.form}, with its unit, as 500ms, 2s or 5m; it is ${shown(input)}`;
  const kind = field?.type === "integer" ? "int" : expected;
  const must = `must be ${types[kind] ?? kind}; it is ${shown(input)}`;
  // YAML takes 7 for a number and yes for text; quotes make it what was meant.
  return expected === "string" && typeof input === "number" ? `${must}: write "${input}", with the quotes` : must;
}

function bound(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const [least, limit] =
    issue.code === "too_small"
      ? [issue.inclusive === false ? "more than" : "at least", issue.minimum]
      : [issue.inclusive === false ? "less than" : "at most", issue.maximum];
  const size = typeof issue.input === "string" || Array.isArray(issue.input) ? issue.input.length : undefined;
  if (size === undefined) return `must be ${least} ${limit}; it is ${String(issue.input)}`;
  const unit = typeof issue.input === "string" ? "characters" : "entries";
  return `has ${size} ${unit}: it must have ${least} ${limit}`;
}

function words(issue: Issue, field: FieldSchema | undefined): string {
  switch (issue.code) {
    case "invalid_type":
      return wrongType(issue, field);
    case "too_small":
    case "too_big":
      return bound(issue);
    case "invalid_value": {
      const names = issue.values.map(String);
      if (issue.input === undefined) return "is required, and missing";
      return `must be ${list(names)}; it is ${shown(issue.input)}${meant(issue.input, names)}`;
    }
    default:
      return issue.message;
  }
}

/** Of a value that may be of several kinds: the kind that got furthest is the one that was meant. */
function branch(issue: z.core.$ZodIssueInvalidUnion): readonly Issue[] {
  const depth = (issues: readonly Issue[]): number =>
    Math.min(...issues.map((one) => (one.code === "invalid_type" && one.path.length === 0 ? -1 : one.path.length)));
  return issue.errors.toSorted((a, b) => depth(b) - depth(a))[0] ?? [];
}

export function issueTexts(issue: Issue, fields: FieldSchema): IssueText[] {
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(fields, issue.path);
    return issue.keys.map((key) => {
      const hint = meant(key, known) || (known.length === 0 ? "" : `; known here: ${known.join(", ")}`);
      return { path: issue.path, key, text: `there is no such key${hint}` };
    });
  }
  if (issue.code === "invalid_union")
    return branch(issue).flatMap((below) => issueTexts({ ...below, path: [...issue.path, ...below.path] }, fields));
  return [{ path: issue.path, text: words(issue, fieldAt(fields, issue.path)) }];
}

/** interfaces[1].exclude */
/** In quotes, where a person would not see where it begins and ends. */
const keyText = (key: string): string => (/^\S+$/.test(key) ? key : JSON.stringify(key));
const pathText = (path: readonly PropertyKey[]): string =>
  path
    .map((key, i) => (typeof key === "number" ? `[${key}]` : `${i === 0 ? "" : "."}${keyText(String(key))}`))
    .join("");

/** "path: what is wrong"; without a path for the whole. */
export const issueLine = ({ path, key, text }: IssueText): string =>
  path.length === 0 && key === undefined ? text : `${pathText(key === undefined ? path : [...path, key])}: ${text}`;
