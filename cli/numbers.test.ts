import { expect, test } from "vitest";
import { bitRate, bytes, count, duration, grouped, mebibytes, median, packetRate, percent } from "./numbers.ts";

test.each([
  [grouped(1_234_567), "1,234,567"],
  [grouped(0), "0"],
  [bytes(999), "999 B"],
  [bytes(412_345_678), "412 MB"],
  [bytes(999_999), "1.00 MB"],
  [mebibytes(256 * 2 ** 20), "256 MiB"],
  [count(8_160_000), "8.16 M"],
  [count(250_000), "250 k"],
  [count(7), "7"],
  [packetRate(8_160_000), "8.16 M packets/s"],
  [packetRate(12), "12 packets/s"],
  [bitRate(98_500_000_000), "98.5 Gbit/s"],
  [duration(11.2), "11.2 ns"],
  [duration(4_210), "4.21 µs"],
  [duration(98_000_000), "98.0 ms"],
  [duration(999_900_000), "1.00 s"],
  [duration(125e9), "2 min 5 s"],
  [percent(1, 3), "33.33 %"],
  [percent(4629, 504629), "0.917 %"],
])("%s", (shown, expected) => {
  expect(shown).toBe(expected);
});

test("a loss that exists is never shown as none", () => {
  expect(percent(1, 10_000_000)).toBe("< 0.001 %");
  expect(percent(0, 10)).toBe("0 %");
  expect(percent(0, 0)).toBe("0 %");
});

test("the median of an even number of values lies between the middle two", () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([3, 1, 2])).toBe(2);
});
