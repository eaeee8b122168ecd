import { expect, test } from "vitest";
import { drawStep, progress } from "./progress.ts";

test("a step shows its share, what is worth seeing and the time that is left", () => {
  expect(drawStep("analyzing", { share: 0.25, notes: ["8.16 M packets/s", "3 lost"] }, 1e9, 120)).toBe(
    "analyzing ██████░░░░░░░░░░░░░░░░░░ 25 % · 8.16 M packets/s · 3 lost · 3.00 s left",
  );
});

test("a step is never wider than the terminal, and a share never beyond its bounds", () => {
  expect(drawStep("analyzing", { share: 0.25, notes: ["8.16 M packets/s"] }, 1e9, 30)).toHaveLength(29);
  expect(drawStep("x", { share: 1.7, notes: [] }, 1, 80)).toContain("100 %");
  expect(drawStep("x", { share: NaN, notes: [] }, 1, 80)).toContain(" 0 %");
});

test("without a terminal nothing is drawn", () => {
  const written: string[] = [];
  const stream = { isTTY: false, write: (text: string) => written.push(text) > 0 } as unknown as NodeJS.WriteStream;
  progress("x", () => ({ share: 0.5, notes: [] }), stream)[Symbol.dispose]();
  expect(written).toEqual([]);
});
