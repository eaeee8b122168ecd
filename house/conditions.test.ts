// docs/reference/conditions.md has every condition that a sensor or a relay can raise, and none that they cannot. What can be raised is read from the code that raises it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { catalogue } from "#domain/errors.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const filesOf = (folder: string, kind: RegExp): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => kind.test(name) && !name.endsWith(".test.ts"))
    .map((name) => `${folder}/${name}`);
const codesIn = (text: string): string[] =>
  [...text.matchAll(/"([A-Z]+(?:_[A-Z]+)+)"/g)]
    .map((match) => match[1] ?? "")
    .filter((code) => Object.hasOwn(catalogue, code));

const page = read("docs/reference/conditions.md");
const rows = [...page.matchAll(/^\| `([A-Z_]+)` \|(.*)\|(.*)\|(.*)\|$/gm)];
/** A capture's problem with an interface, the store's failures and the bus's become conditions under their own codes. */
const sources = [
  "sensor/holding.ts",
  "relay/holding.ts",
  "sensor/watched.ts",
  "store/failure.ts",
  ...filesOf("bus", /\.ts$/),
  ...filesOf("native/src/capture", /^(?:port|member|ring|fanout|filter)\.cc$/),
];
/** What a relay keeps as having failed: its programming, its state; and why a plan was not taken. */
const failures = ["RELAY_APPLY_FAILED", "RELAY_STATE_DAMAGED", "RELAY_STATE_UNWRITABLE"];
const raised = new Set([...failures, ...sources.flatMap((path) => codesIn(read(path)))]);

test.each([...raised].sort())("%s is on the page", (code) =>
  expect(page.includes(`\`${code}\``), "it is missing").toBe(true),
);

test("each row is of a condition that can be raised, once, with its meaning, where to look and what to do", () => {
  expect(raised.size).toBeGreaterThan(30);
  const named = rows.map((row) => row[1] ?? "");
  expect(named.filter((code) => !raised.has(code))).toEqual([]);
  expect(new Set(named).size).toBe(named.length);
  for (const [row, , ...cells] of rows) for (const cell of cells) expect(cell.trim(), row).not.toBe("");
});
