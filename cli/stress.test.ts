import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, expect, test } from "vitest";
import { folder } from "./typed.ts";

const here = folder();
const { tapline, path } = here;
afterAll(() => here[Symbol.dispose]());

interface Stress {
  readonly scaling: { packets: number; flows: number; equal_to_truth: boolean; residue: number }[];
  readonly rounds: { packets: number; query_ns: number[]; equal_to_truth: boolean }[];
}

test("sizes climb up to --packets, rounds go on until the time is over, and all equals the truth", async () => {
  const { code, stdout, stderr } = await tapline(
    "stress --packets 20k --duration 2 --protocol mixed --loss 2% --csv s.csv --svg s.svg --json".split(" "),
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const { scaling, rounds } = JSON.parse(stdout) as Stress;
  expect(scaling).toMatchObject([
    { packets: 1000, flows: 100, equal_to_truth: true, residue: 0 },
    { packets: 10_000, flows: 1000, equal_to_truth: true, residue: 0 },
    { packets: 20_000, flows: 2000, equal_to_truth: true, residue: 0 },
  ]);
  expect(rounds.length).toBeGreaterThan(1);
  for (const round of rounds) expect(round).toMatchObject({ packets: 20_000, equal_to_truth: true });
  expect(readFileSync(path("s.csv"), "utf8").trimEnd().split("\n")).toHaveLength(4);
  expect(readFileSync(path("s.svg"), "utf8")).toContain("whole process");
});

test("Ctrl-C ends it, keeps what was measured and leaves no captures behind", async () => {
  const before = readdirSync(tmpdir());
  const { code, stdout } = await tapline("stress --packets 10k --duration 10m".split(" "), (child) =>
    setTimeout(() => child.kill("SIGINT"), 2500),
  );
  expect(code).toBe(130);
  expect(stdout).toMatch(/^ +1,000 /m);
  const left = readdirSync(tmpdir()).filter((name) => /^tapline-[^-]{6}$/.test(name) && !before.includes(name));
  expect(left).toEqual([]);
});
