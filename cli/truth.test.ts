import { writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { compare, readTruth, type Found } from "./truth.ts";
import { folder } from "./typed.ts";
import { verdictText } from "./verdict.ts";

const here = folder();
afterAll(() => here[Symbol.dispose]());

const esp = {
  protocol: "esp", packet: 3, source: "10.0.0.1", destination: "10.0.0.2", spi: 7, vlan: [5], packets: 9, bytes: 900, previous: 1,
  first_number: 1, last_number: 10, expected: 10, unique: 9, reordered: 0, duplicate: 0, late: 0, lost: 1, gaps: 1, max_gap: 1, min_gap: 1,
}; // biome-ignore format: one record
const stored = {
  ...esp, vlan: null, previous: null, outer_vlan: 5, inner_vlan: null, sci: null, an: null, source_port: null, destination_port: null,
  pending: 0, jumps: 0, outliers: 0, restarts: 0,
}; // biome-ignore format: one record
const run = (flows: Record<number, object>, more: Partial<Found> = {}): Found => ({
  count: Object.keys(flows).length,
  untracked: {},
  flow: (packet) => flows[packet] as ReturnType<Found["flow"]>,
  previous: (packet) => (packet === 3 ? 1 : undefined),
  ...more,
});
let files = 0;
async function truth(flows: readonly object[], untracked = {}): ReturnType<typeof readTruth> {
  const path = here.path(`truth-${files++}.json`);
  const lines = flows.map((flow) => JSON.stringify(flow)).join(",\n");
  writeFileSync(path, `{"version":1,\n"totals":{"untracked":${JSON.stringify(untracked)}},\n"flows":[\n${lines}\n]}\n`);
  return readTruth(path);
}

test("equal sides are equal, and say how much was compared", async () => {
  const verdict = await compare(await truth([esp]), run({ 3: stored }));
  expect(verdict).toMatchObject({ equal: true, flows: 1, differences: 0 });
  expect(verdict.compared).toBeGreaterThan(20);
  expect(verdictText(verdict)).toMatch(/^Equal to the truth: all \d+ figures of 1 flows\.$/);
});

// What would go unnoticed would be a figure nobody checked: each one is made wrong once.
test.each(Object.keys(stored).filter((name) => name !== "packet" && name !== "vlan" && name !== "previous"))(
  "a wrong %s is a difference",
  async (name) => {
    const wrong = { ...stored, spi: name === "source_port" || name === "destination_port" ? null : 7, [name]: 4711 };
    const right = { ...esp, spi: wrong.spi === null ? undefined : esp.spi };
    const verdict = await compare(await truth([right]), run({ 3: wrong }));
    expect(verdict.first.map(({ what }) => what)).toEqual([name]);
  },
);

test("a flow too many, a flow too few, a wrong link and a wrong reason are differences", async () => {
  expect((await compare(await truth([esp]), run({ 3: stored, 4: stored }))).first).toMatchObject([
    { flow: 0, what: "flows", truth: 1, found: 2 },
  ]);
  expect((await compare(await truth([esp]), run({}))).first).toMatchObject([
    { flow: 3, what: "flow", found: null },
    { what: "flows" },
  ]);
  expect((await compare(await truth([esp]), run({ 3: stored }, { previous: () => 2 }))).first).toMatchObject([
    { what: "previous", truth: 1, found: 2 },
  ]);
  expect(
    (await compare(await truth([esp], { eapol: 2 }), run({ 3: stored }, { untracked: { eapol: 1, arp: 1 } })))
      .differences,
  ).toBe(2);
});

test("only the first differences are listed, all are counted", async () => {
  const flows = Array.from({ length: 9 }, (_, i) => ({ ...esp, packet: i + 10 }));
  const verdict = await compare(await truth(flows), run({}));
  expect([verdict.differences, verdict.first.length]).toEqual([10, 5]);
  expect(verdictText(verdict)).toContain("and 5 more");
});

test.each([
  ["no JSON", "hello"],
  ["JSON of another kind", '{"a":1}'],
  [
    "a truth cut off in its flows",
    '{"version":1,\n"totals":{"untracked":{}},\n"flows":[\n{"protocol":"esp","packet":3},\n',
  ],
  ["a truth cut off in a flow", '{"version":1,\n"totals":{"untracked":{}},\n"flows":[\n{"protocol":"esp","pa'],
  ["a flow without its packet", '{"version":1,\n"totals":{"untracked":{}},\n"flows":[\n{"protocol":"esp"}\n]}\n'],
])("%s is refused as a truth file", async (_, text) => {
  const path = here.path(`bad-${files++}.json`);
  writeFileSync(path, text);
  await expect(readTruth(path).then((found) => compare(found, run({})))).rejects.toMatchObject({
    code: "TRUTH_UNREADABLE",
  });
});
