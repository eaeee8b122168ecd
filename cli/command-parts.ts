// What definitions of commands have in common.
import { Option } from "commander";

/** Receives the exit code of the command that ran. */
export type Done = (exitCode: number) => void;

export const examples = (...lines: string[]): string =>
  `\nExamples:\n${lines.map((line) => `  $ tapline ${line}`).join("\n")}\n`;
export const json = (): Option => new Option("--json", "one JSON object on stdout, for machines");
