// What a person reads when something failed: `tapline: message (CODE)` and, below it, what to do about it.
import { CommanderError } from "commander";
import { TaplineError } from "#domain/errors.ts";
import { UsageError } from "./arguments.ts";
import { styled } from "./table.ts";

export interface Explanation {
  readonly text: string;
  readonly exitCode: number;
}

export const problemText = (message: string, code: string, hint: string): string =>
  `${styled("tapline:", "bad", process.stderr)} ${message} (${code})\n  hint: ${hint}`;

export function explain(error: unknown): Explanation {
  // Commander has written its own message by now.
  if (error instanceof CommanderError) return { text: "", exitCode: error.exitCode === 0 ? 0 : 2 };
  if (error instanceof UsageError)
    return { text: problemText(error.message, "USAGE", "tapline --help shows the commands"), exitCode: 2 };
  if (error instanceof TaplineError) return { text: problemText(error.message, error.code, error.hint), exitCode: 1 };
  if (error instanceof Error && error.message.includes("tapline.node"))
    return explain(new TaplineError("ENGINE_MISSING", { detail: error.message.split("\n")[0] ?? "" }));
  // Not foreseen: the place is worth more than a pleasant text.
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    text: problemText(stack, "UNEXPECTED", "this is a fault in tapline: please report it with the text above"),
    exitCode: 1,
  };
}
