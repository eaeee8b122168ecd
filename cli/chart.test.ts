import { expect, test } from "vitest";
import { chart } from "./chart.ts";

const lines = [
  {
    name: "engine",
    colour: "#0b5cad",
    points: [
      [1e3, 2e6],
      [1e5, 8e6],
      [1e7, 8.1e6],
    ] as const,
  },
  {
    name: "whole <process>",
    colour: "#a8430b",
    points: [
      [1e3, 2e4],
      [1e5, 8e5],
      [1e7, 4e6],
    ] as const,
  },
];

test("equal factors of packets lie equally far apart, and more packets a second lie higher", () => {
  const [first, second, third] = (/points="([^"]+)"/.exec(chart("t", lines))?.[1] ?? "")
    .split(" ")
    .map((point) => point.split(",").map(Number));
  expect((second?.[0] ?? 0) - (first?.[0] ?? 0)).toBeCloseTo((third?.[0] ?? 0) - (second?.[0] ?? 0), 0);
  expect(first?.[1]).toBeGreaterThan(second?.[1] ?? Infinity);
});

test("axes and lines are named, and a name cannot become markup", () => {
  const svg = chart("Packets per second", lines);
  for (const text of [
    "packets in the capture",
    "packets per second",
    ">engine<",
    "whole &#60;process&#62;",
    ">10 M<",
    ">8 M<",
  ])
    expect(svg).toContain(text);
});

test("a single size still makes a chart", () => {
  expect(chart("t", [{ name: "a", colour: "#000", points: [[1000, 5]] }])).not.toMatch(/NaN|Infinity/);
});
