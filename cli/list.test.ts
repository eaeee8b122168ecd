import { afterAll, beforeAll, expect, test } from "vitest";
import { folder } from "./typed.ts";

const here = folder();
const { tapline } = here;
afterAll(() => here[Symbol.dispose]());
beforeAll(async () => {
  await tapline(
    "pcap generate --packets 20k --flows 200 --protocol mixed --loss 5% --reorder 2% --seed 3 --vlan --output made.pcap".split(
      " ",
    ),
  );
  for (let run = 1; run <= 2; run++) expect((await tapline(["analyze", "made.pcap", "results.db"])).code).toBe(0);
});

interface Flows {
  readonly runs: number[];
  readonly count: number;
  readonly flows: { flow_id: string; protocol: string; lost: number; total_bytes: number }[];
}
interface Gaps {
  readonly count: number;
  readonly gaps: { flow_id: string; size: number }[];
}
async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await tapline([...args, "--json"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as T;
}
const flows = (...args: string[]): Promise<Flows> => json("flows", "results.db", ...args);
const gaps = (...args: string[]): Promise<Gaps> => json("gaps", "results.db", ...args);

test("flows of the latest run come in the capture's order, 20 at most", async () => {
  const { runs, count, flows: found } = await flows();
  expect({ runs, count }).toEqual({ runs: [2], count: 20 });
  const packets = found.map(({ flow_id }) => Number(flow_id.split("-")[1]));
  expect(packets).toEqual(packets.toSorted((a, b) => a - b));
});

test("a filter applies before the limit, a sort puts the largest first", async () => {
  const { flows: found } = await flows("proto=esp,ah lost>0 bytes>1k", "--sort", "lost", "--limit", "1000");
  expect(found.length).toBeGreaterThan(20);
  expect(found.every((flow) => ["esp", "ah"].includes(flow.protocol) && flow.lost > 0 && flow.total_bytes > 1000)).toBe(
    true,
  );
  const lost = found.map((flow) => flow.lost);
  expect(lost).toEqual(lost.toSorted((a, b) => b - a));
});

test("run=… chooses the run", async () => {
  expect((await flows("run=1")).flows[0]?.flow_id).toMatch(/^1-/);
  expect((await flows("run<=2", "--limit", "1000")).runs).toEqual([1, 2]);
  expect(await flows("run=9")).toMatchObject({ runs: [], count: 0 });
});

test("the gaps of the flows that a filter lets through add up to what those flows lost", async () => {
  const filter = "proto=macsec";
  const lost = (await flows(filter, "--limit", "1000")).flows.reduce((sum, flow) => sum + flow.lost, 0);
  const found = (await gaps(filter, "--limit", "1000")).gaps;
  expect(found.length).toBeLessThan(1000);
  expect(found.reduce((sum, gap) => sum + gap.size, 0)).toBe(lost);
  expect(found.map(({ size }) => size)).toEqual(found.map(({ size }) => size).toSorted((a, b) => b - a));
});

test("the tables are as they were", async () => {
  // Ports and addresses are the generator's to draw.
  const table = async (...args: string[]): Promise<string> =>
    (await tapline(args)).stdout.replaceAll(/:\d+(?= )/g, ":port");
  expect(await table("flows", "results.db", "lost>0", "--sort", "lost", "--limit", "3")).toMatchSnapshot("worst flows");
  expect(await table("flows", "results.db", "proto=tcp,udp", "--limit", "2")).toMatchSnapshot("flows without numbers");
  expect(await table("gaps", "results.db", "--limit", "3")).toMatchSnapshot("largest gaps");
  expect(await table("gaps", "results.db", "lost>1e9")).toBe("No gap of run 2 matches.\n");
});

test("a filter that does not parse has a caret under the place", async () => {
  const { code, stdout, stderr } = await tapline(["flows", "results.db", "proto=macsec lost>>0"]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  const [filter, caret, message] = stderr.split("\n");
  expect(filter?.[caret?.indexOf("^") ?? 0]).toBe(">");
  expect(caret).toBe(`${" ".repeat("proto=macsec lost>".length)}^`);
  expect(message).toContain("(FILTER_SYNTAX)");
});

test("an unknown field is named, with the one that was meant", async () => {
  const { code, stderr } = await tapline(["gaps", "results.db", "losst>0"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/no field losst .*\(FILTER_UNKNOWN_FIELD\)\n {2}hint: did you mean lost\?/);
});

test("a sort that does not exist and a limit beyond the most are usage errors", async () => {
  expect((await tapline(["flows", "results.db", "--sort", "colour"])).code).toBe(2);
  expect((await tapline(["flows", "results.db", "--limit", "1001"])).code).toBe(2);
});

test("a reader that stops reading is no error", async () => {
  const { stderr } = await tapline(["flows", "results.db", "--limit", "1000", "--json"], (child) =>
    child.stdout?.destroy(),
  );
  expect(stderr).toBe("");
});
