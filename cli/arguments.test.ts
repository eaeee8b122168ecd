import { InvalidArgumentError } from "commander";
import { expect, test } from "vitest";
import { positive, rate, seconds, whole } from "./arguments.ts";

test.each([
  ["500000", 500_000],
  ["500_000", 500_000],
  ["500k", 500_000],
  ["1.1M", 1_100_000],
  ["1e6", 1_000_000],
  ["1", 1],
])("the whole number %s is %d", (text, value) => {
  expect(whole(1)(text)).toBe(value);
});

test.each(["0", "-1", "1.5", "", "ten", "1e400", "0x10", "NaN", "Infinity", "1 000", "9007199254740993"])(
  "%j is no whole number of at least 1",
  (text) => {
    expect(() => whole(1)(text)).toThrow(InvalidArgumentError);
  },
);

test("a number above the most that is allowed names the range", () => {
  expect(() => whole(1, 64)("65")).toThrow("from 1 to 64");
});

test("a rate is a share or a percentage, and bounded", () => {
  expect(rate(0.5)("0.05")).toBe(0.05);
  expect(rate(0.5)("5%")).toBe(0.05);
  for (const text of ["0.6", "51%", "-1", "x", ""]) expect(() => rate(0.5)(text), text).toThrow(InvalidArgumentError);
});

test("times take units", () => {
  expect([seconds("2"), seconds("500ms"), seconds("1.5s"), seconds("5m"), seconds("1h")]).toEqual([
    2, 0.5, 1.5, 300, 3600,
  ]);
  for (const text of ["0", "-1", "1d", "", "s", "1e3"]) expect(() => seconds(text), text).toThrow(InvalidArgumentError);
});

test("a speed is above 0", () => {
  expect(positive("0.5")).toBe(0.5);
  for (const text of ["0", "-1", "fast"]) expect(() => positive(text), text).toThrow(InvalidArgumentError);
});
