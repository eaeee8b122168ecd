import { expect, test } from "vitest";
import { table, type Column } from "./table.ts";

const columns: Column[] = [
  { title: "flow", align: "left" },
  { title: "lost", align: "right" },
];

test("numbers stand on the right, text on the left, and a column is as wide as its widest cell", () => {
  expect(
    table(columns, [
      ["a", "1,234"],
      ["a longer name", "5"],
    ]),
  ).toBe(["flow            lost", "─────────────  ─────", "a              1,234", "a longer name      5"].join("\n"));
});

test("text is shortened to fit the terminal, numbers never", () => {
  const lines = table(columns, [["x".repeat(80), "1,234,567"]], 40).split("\n");
  expect(lines.every((line) => line.length <= 40)).toBe(true);
  expect(lines[2]).toMatch(/^x{28}… {2}1,234,567$/);
  expect(table(columns, [["x".repeat(80), "1".repeat(60)]], 40)).toContain("1".repeat(60));
});

test("what a capture file calls its interface cannot move the cursor", () => {
  const text = table(columns, [["eth0\u001b[2J\r\u202E", "1"]]);
  expect(text).toContain("eth0\uFFFD[2J\uFFFD\uFFFD");
});

test("without a terminal there is no colour", () => {
  expect(table(columns, [[{ text: "a", mood: "bad" }, "1"]])).not.toContain("\u001b");
});
