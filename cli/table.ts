// A table for a terminal. Enters: columns and rows of text. Leaves: lines no wider than the terminal.
import { stripVTControlCharacters, styleText } from "node:util";

export interface Column {
  readonly title: string;
  /** Numbers stand on the right; text, the only kind that may be shortened, on the left. */
  readonly align: "left" | "right";
}
/** A cell to be noticed carries its reason: bad is red, good is green, quiet is dim. */
export type Cell = string | { readonly text: string; readonly mood: Mood };
export type Mood = "good" | "bad" | "quiet" | "strong";

const colours = { good: "green", bad: "red", quiet: "dim", strong: "bold" } as const;
/** styleText itself respects NO_COLOR, FORCE_COLOR and whether the stream is a terminal. */
export const styled = (text: string, mood: Mood, stream: NodeJS.WriteStream = process.stdout): string =>
  styleText(colours[mood], text, { stream });

// A capture may name its interface anything: nothing in a cell may move the cursor.
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "\uFFFD");
const textOf = (cell: Cell): string => printable(typeof cell === "string" ? cell : cell.text);
const lengthOf = (text: string): number => [...text].length;
const cut = (text: string, width: number): string =>
  lengthOf(text) <= width ? text : `${[...text].slice(0, Math.max(width - 1, 0)).join("")}…`;
const pad = (text: string, width: number, align: Column["align"]): string => {
  const spaces = " ".repeat(Math.max(width - lengthOf(text), 0));
  return align === "right" ? spaces + text : text + spaces;
};

const between = "  ";
const narrowest = 6;

function widthsFor(columns: readonly Column[], rows: readonly (readonly Cell[])[], limit: number): number[] {
  const widths = columns.map((column, i) =>
    Math.max(lengthOf(column.title), ...rows.map((row) => lengthOf(textOf(row[i] ?? "")))),
  );
  let over = widths.reduce((sum, width) => sum + width + between.length, -between.length) - limit;
  while (over > 0) {
    let widest = -1;
    for (const [i, width] of widths.entries()) {
      if (columns[i]?.align === "left" && width > narrowest && width > (widths[widest] ?? 0)) widest = i;
    }
    if (widest < 0) break; // numbers are never cut: a wrapped line is better than a wrong figure
    widths[widest] = (widths[widest] ?? 0) - 1;
    over -= 1;
  }
  return widths;
}

/** The terminal's width; without a terminal nothing is shortened. */
export const terminalWidth = (stream: NodeJS.WriteStream = process.stdout): number =>
  stream.isTTY ? Math.max(stream.columns, 40) : Infinity;

export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[], width = terminalWidth()): string {
  const widths = widthsFor(columns, rows, width);
  const line = (cells: readonly Cell[]): string =>
    columns
      .map((column, i) => {
        const cell = cells[i] ?? "";
        const size = widths[i] ?? 0;
        const text = pad(column.align === "left" ? cut(textOf(cell), size) : textOf(cell), size, column.align);
        return typeof cell === "string" ? text : styled(text, cell.mood);
      })
      .join(between)
      .trimEnd();
  return [
    line(columns.map((column) => ({ text: column.title, mood: "strong" }))),
    styled(widths.map((size) => "─".repeat(size)).join(between), "quiet"),
    ...rows.map(line),
  ].join("\n");
}

/** Words for people, broken at the terminal's width and indented; without a terminal, at 100. */
export function paragraph(text: string, indent = 2, width = Math.min(terminalWidth(), 100)): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && lengthOf(stripVTControlCharacters(longer)) > width - indent - 2) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line].map((one, i) => `${" ".repeat(i === 0 ? indent : indent + 2)}${one}`).join("\n");
}
