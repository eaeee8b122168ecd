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

/** A busy machine may need more time for the same: from `first` on, four times as much each time, until it was enough or too much. */
const patiently = async <T>(
  first: number,
  once: (time: number) => Promise<T>,
  enough: (result: T) => boolean,
): Promise<T> => {
  for (let time = first; ; time *= 4) {
    const result = await once(time);
    if (enough(result) || time >= first * 16) return result;
  }
};

test("sizes climb up to --packets, rounds go on until the time is over, and all equals the truth", {
  timeout: 180_000,
}, async () => {
  const once = async (seconds: number): Promise<Stress> => {
    const { code, stdout, stderr } = await tapline(
      `stress --packets 20k --duration ${seconds} --protocol mixed --loss 2% --csv s.csv --svg s.svg --json`.split(" "),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout) as Stress;
  };
  const { scaling, rounds } = await patiently(2, once, (result) => result.rounds.length > 1);
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

test("Ctrl-C ends it, keeps what was measured and leaves no captures behind", { timeout: 180_000 }, async () => {
  const before = readdirSync(tmpdir());
  const once = async (ms: number): Promise<string> => {
    const { code, stdout } = await tapline("stress --packets 10k --duration 10m".split(" "), (child) =>
      setTimeout(() => child.kill("SIGINT"), ms),
    );
    expect(code).toBe(130);
    return stdout;
  };
  const measured = /^ +1,000 /m;
  expect(await patiently(2500, once, (stdout) => measured.test(stdout))).toMatch(measured);
  const left = readdirSync(tmpdir()).filter((name) => /^tapline-[^-]{6}$/.test(name) && !before.includes(name));
  expect(left).toEqual([]);
});
