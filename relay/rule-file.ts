// A file of rules: JSON, as `save` writes it, or YAML. Enters: a path. Leaves: its rules, or every fault with its place.
import { open } from "node:fs/promises";
import { TaplineError } from "#domain/errors.ts";
import { mostLineBytes } from "#domain/relay-control.ts";
import { type NamedRule, namedRule, relayRules } from "#domain/relay-rule.ts";
import { parseConfig } from "#process/config.ts";
import { readRules, rulesInvalid } from "./rule-input.ts";

async function read(path: string): Promise<string> {
  const unreadable = (detail: string, cause?: unknown): TaplineError =>
    new TaplineError("FILE_UNREADABLE", { path, detail }, { cause });
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    if (size > mostLineBytes) throw unreadable(`it has ${size} bytes: more than ${mostLineBytes}`);
    return await file.readFile("utf8");
  } catch (cause) {
    if (cause instanceof TaplineError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw code === "ENOENT" ? new TaplineError("FILE_NOT_FOUND", { path }, { cause }) : unreadable(message, cause);
  }
}

export async function readRuleFile(path: string): Promise<NamedRule[]> {
  const text = await read(path);
  if (text.trimStart().startsWith("{")) return readRules(path, jsonRules(path, text));
  const parsed = parseConfig(text, relayRules);
  if ("value" in parsed) return parsed.value.rules.map(namedRule);
  throw rulesInvalid(
    path,
    parsed.problems.map((problem) => `${path}:${problem}`),
  );
}

/** Ten thousand rules are read twenty times as fast as YAML. */
function jsonRules(path: string, text: string): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw rulesInvalid(path, [(cause as Error).message]);
  }
  const { rules, ...rest } = value as Record<string, unknown>;
  if (!Array.isArray(rules)) throw rulesInvalid(path, ["rules: is required: a list"]);
  const unknown = Object.keys(rest);
  if (unknown.length > 0) throw rulesInvalid(path, unknown.map((key) => `${key}: there is no such key; known here: rules`)); // biome-ignore format: one choice
  return rules;
}
