// The rules on disk: whole at every moment, and what cannot be read is kept aside.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { NamedRule } from "#domain/relay-rule.ts";
import { KeptFile } from "./kept-file.ts";
import { parseKeptRules, RuleBook } from "./rule-book.ts";

const folder = mkdtempSync(join(tmpdir(), "tapline-kept-"));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;
const fresh = () => new KeptFile(join(folder, String(made++), "rules.json"), parseKeptRules);
const again = ({ path }: { path: string }) => new KeptFile(path, parseKeptRules);

const rule = (port: number) => ({
  id: `r${port}`,
  from: { interface: "e0", group: "239.1.1.1", port },
  to: [{ interface: "e1" }],
});
function bookOf(file: KeptFile<readonly NamedRule[]>, planned = false) {
  const applied: string[][] = [];
  const refuse = { why: undefined as string | undefined };
  const book = new RuleBook({
    file,
    planned,
    apply: (rules) => {
      if (refuse.why !== undefined) throw new Error(refuse.why);
      applied.push(rules.map(({ id }) => id));
    },
  });
  return { book, applied, refuse };
}
const idsOn = async (file: KeptFile<readonly NamedRule[]>): Promise<string[] | undefined> =>
  (await again(file).load(0)).value?.map(({ id }) => id);

test("each change is on disk before it is told done, and comes back with every field", async () => {
  const file = fresh();
  expect(await file.load(0)).toEqual({ value: undefined, damage: undefined });
  const { book, applied } = bookOf(file);
  expect(await book.add([rule(1), rule(2)])).toEqual({ added: 2, changed: 0, removed: 0, rules: 2 });
  expect(await book.load([{ ...rule(2), name: "two" }, rule(3)], false)).toEqual({ added: 1, changed: 1, removed: 0, rules: 3 }); // biome-ignore format: one row
  expect(await book.remove(["r1"])).toEqual({ added: 0, changed: 0, removed: 1, rules: 2 });
  expect((await again(file).load(0)).value).toEqual(book.rules);
  expect(book.get("r2")?.name).toBe("two");
  expect(await book.load([rule(9)], true)).toEqual({ added: 1, changed: 0, removed: 2, rules: 1 });
  expect(applied).toEqual([["r1", "r2"], ["r1", "r2", "r3"], ["r2", "r3"], ["r9"]]);
});

test("all or nothing: one bad rule, an unknown id, a refusal of the engines leave rules, disk and engines as they were", async () => {
  const file = fresh();
  await file.load(0);
  const { book, applied, refuse } = bookOf(file);
  await book.add([rule(1)]);
  const codeOf = (work: Promise<unknown>) => work.then(() => "done", (error: { code?: string; message: string }) => error.code ?? error.message); // biome-ignore format: one line
  expect(await codeOf(book.load([rule(2), { ...rule(3), to: [] }], true))).toBe("RELAY_RULES_INVALID");
  expect(await codeOf(book.add([rule(1)]))).toBe("RELAY_RULES_INVALID");
  expect(await codeOf(book.add([{ ...rule(1), id: "other" }]))).toBe("RELAY_RULES_INVALID");
  expect(await codeOf(book.remove(["r1", "r2"]))).toBe("RELAY_RULE_UNKNOWN");
  refuse.why = "no memory";
  expect(await codeOf(book.add([rule(2)]))).toBe("no memory");
  expect(book.rules.map(({ id }) => id)).toEqual(["r1"]);
  expect(await idsOn(file)).toEqual(["r1"]);
  expect(applied).toEqual([["r1"]]);
  expect(book.changes).toEqual({ applied: 1, refused: 5 });
});

test("changes that come at once are done one after the other", async () => {
  const file = fresh();
  await file.load(0);
  const { book } = bookOf(file);
  await Promise.all(Array.from({ length: 20 }, (_, i) => book.add([rule(i + 1)])));
  expect(book.rules).toHaveLength(20);
  expect(await idsOn(file)).toHaveLength(20);
});

test("under a fleet's plan nobody else changes the rules", async () => {
  const { book } = bookOf(fresh(), true);
  await expect(book.add([rule(1)])).rejects.toMatchObject({ code: "RELAY_PLANNED" });
});

test.each([
  ["nothing", ""],
  ["half a file", '{"v":1,"rules":[{"id":"r1","fr'],
  ["another thing", '{"colour":"red"}'],
  ["a rule that is none", '{"v":1,"rules":[{"id":"r1"}]}'],
  ["a later form", '{"v":2,"rules":[]}'],
])("%s on disk is kept aside, and the one before is used", async (_, text) => {
  const file = fresh();
  await file.load(0);
  const { book } = bookOf(file);
  await book.add([rule(1)]);
  await book.add([rule(2)]);
  writeFileSync(file.path, text);
  const { value, damage } = await again(file).load(0);
  expect(value?.map(({ id }) => id)).toEqual(["r1"]);
  expect(damage?.code).toBe("RELAY_STATE_DAMAGED");
  const kept = `${file.path}.damaged-1970-01-01T000000.000Z`;
  expect(damage?.message).toContain(kept);
  expect(readFileSync(kept, "utf8")).toBe(text);
  // The next start has nothing to complain about, and the same rules.
  expect(await again(file).load(0)).toMatchObject({ damage: undefined, value: [{ id: "r1" }] });
});

test("without one before there are no rules, and that is told", async () => {
  const file = fresh();
  await file.load(0);
  writeFileSync(file.path, "{");
  const { value, damage } = await file.load(0);
  expect(value).toBeUndefined();
  expect(damage?.message).toContain("there is none before it");
});

test("what cannot be written is refused, and nothing is left behind", async () => {
  const file = fresh();
  await file.load(0);
  const { book } = bookOf(file);
  await book.add([rule(1)]);
  symlinkSync("/dev/full", `${file.path}.new`); // every write to it ends with ENOSPC
  await expect(book.add([rule(2)])).rejects.toMatchObject({ code: "RELAY_STATE_UNWRITABLE" });
  expect(book.rules).toHaveLength(1);
  expect(await idsOn(file)).toEqual(["r1"]);
  expect(readdirSync(join(file.path, ".."))).toEqual(["rules.json"]);
  expect(existsSync("/dev/full")).toBe(true);
});
