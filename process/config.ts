// A configuration file: YAML 1.2 in, a value of its schema out, or one error that lists every fault with its place in the file.
import { open } from "node:fs/promises";
import { isMap, isScalar, LineCounter, type Node, type Pair, parseDocument } from "yaml";
import type { z } from "zod";
import { fieldSchema } from "#domain/config-fields.ts";
import { TaplineError } from "#domain/errors.ts";
import { issueLine, issueTexts } from "./config-problems.ts";
import { filledIn } from "./config-variables.ts";

const usualBytes = 1 << 20;

interface Problem {
  /** place in the text, in characters */
  readonly at: number;
  readonly text: string;
}

export async function loadConfig<S extends z.ZodType>(
  path: string,
  schema: S,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<z.output<S>> {
  const bytes = await read(path, usualBytes);
  const fail = (problems: readonly string[]): never => {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    throw new TaplineError("CONFIG_INVALID", { path, count, problems: problems.map((line) => `  ${line}`).join("\n") });
  };
  if (bytes.length > usualBytes) return fail([`${path}: is larger than 1 MiB: is this the right file?`]);
  const text = utf8(bytes);
  if (text === undefined) return fail([`${path}: is not UTF-8 text`]);
  const parsed = parseConfig(text, schema, environment);
  if ("value" in parsed) return parsed.value;
  return fail(parsed.problems.map((problem) => `${path}:${problem}`));
}

async function read(path: string, mostBytes: number): Promise<Uint8Array> {
  const unreadable = (detail: string, cause?: unknown): TaplineError =>
    new TaplineError("CONFIG_UNREADABLE", { path, detail }, { cause });
  try {
    await using file = await open(path, "r");
    const stat = await file.stat();
    if (!stat.isFile()) throw unreadable(stat.isDirectory() ? "it is a directory" : "it is not a regular file");
    // One byte more than allowed tells that there is more.
    const { buffer, bytesRead } = await file.read(new Uint8Array(mostBytes + 1), 0, mostBytes + 1, 0);
    return buffer.subarray(0, bytesRead);
  } catch (cause) {
    if (cause instanceof TaplineError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const known: Readonly<Record<string, string>> = { ENOENT: "it does not exist", EACCES: "permission denied" };
    throw unreadable(known[code ?? ""] ?? message, cause);
  }
}

function utf8(bytes: Uint8Array): string | undefined {
  // Decoding and encoding again is only the same when nothing was replaced.
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return Buffer.from(text, "utf8").equals(bytes) ? text.replace(/^\uFEFF/, "") : undefined;
}

type Parsed<S extends z.ZodType> = { readonly value: z.output<S> } | { readonly problems: readonly string[] };

/** The pure part: each problem is "line:column: path: what is wrong", in the order of the text. */
export function parseConfig<S extends z.ZodType>(
  text: string,
  schema: S,
  environment: Readonly<Record<string, string | undefined>> = {},
): Parsed<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: "1.2", lineCounter: lines, prettyErrors: false, stringKeys: true });
  const place = (at: number): string => {
    const { line, col } = lines.linePos(at);
    return `${Math.max(1, line)}:${Math.max(1, col)}`;
  };
  const told = (problems: readonly Problem[]): Parsed<S> => {
    const sorted = [...problems].sort((a, b) => a.at - b.at);
    return { problems: [...new Set(sorted.map((problem) => `${place(problem.at)}: ${problem.text}`))] };
  };

  const syntax = [...document.errors, ...document.warnings].map((error) => ({
    at: error.pos[0],
    text: syntaxText(error.code, error.message),
  }));
  if (syntax.length > 0) return told(syntax);
  if (document.contents === null)
    return told([{ at: 0, text: "the file is empty: it needs at least what is required" }]);

  let plain: unknown;
  try {
    plain = document.toJS({ maxAliasCount: 50 });
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    return told([{ at: 0, text: `aliases expand to too much: ${error.message}` }]);
  }
  const { value: filled, missing } = filledIn(plain, environment);
  if (missing.length > 0)
    return told(missing.map((name) => ({ at: Math.max(0, text.indexOf(`\${${name}}`)), text: `there is no ${name} in the environment` }))); // biome-ignore format: one expression
  const result = schema.safeParse(filled, { reportInput: true });
  if (result.success) return { value: result.data };
  const fields = fieldSchema(schema);
  return told(
    result.error.issues
      .flatMap((issue) => issueTexts(issue, fields))
      .map((wrong) => ({ at: positionOf(document.contents, wrong.path, wrong.key), text: issueLine(wrong) })),
  );
}

function syntaxText(code: string, message: string): string {
  if (code === "DUPLICATE_KEY") return "this key is given twice in one section";
  if (code === "TAB_AS_INDENT") return "a tab is no indentation in YAML: use spaces";
  if (code === "MULTIPLE_DOCS") return "a second document starts here (---): one file is one configuration";
  return message.replaceAll(/\s+/g, " ");
}

/** Of the key where it is the key that is wrong; else of the value; of the nearest thing around it when it is missing. */
function positionOf(contents: Node | null, path: readonly PropertyKey[], key: string | undefined): number {
  let node: unknown = contents;
  let at = contents?.range?.[0] ?? 0;
  for (const step of key === undefined ? path : [...path, key]) {
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find((item) => isScalar(item.key) && String(item.key.value) === step);
      if (!pair) return at;
      at = (pair.key as Node).range?.[0] ?? at;
      node = pair.value;
    } else {
      node = (node as { items?: unknown[] } | null)?.items?.[step as number];
      at = (node as Node | null | undefined)?.range?.[0] ?? at;
    }
  }
  const range = (node as Node | null | undefined)?.range;
  return key === undefined && isScalar(node) && range ? range[0] : at;
}
