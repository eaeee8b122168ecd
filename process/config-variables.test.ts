// Names of the environment in a configuration: filled in wherever a text stands, told with their place when nobody gave them.
import { expect, test } from "vitest";
import { z } from "zod";
import { parseConfig } from "./config.ts";

const schema = z.strictObject({ name: z.string(), hosts: z.array(z.strictObject({ host: z.string() })).optional() });

const named = (name: string): string => `\${${name}}`;

test("a name stands for the environment's value, within a text, a list, a section", () => {
  const text = `name: ${named("TAPLINE_NODE")}\nhosts:\n  - {host: "http://${named("TAPLINE_ADDRESS")}:1"}\n`;
  expect(parseConfig(text, schema, { TAPLINE_NODE: "node-1", TAPLINE_ADDRESS: "10.0.0.1" })).toEqual({ value: { name: "node-1", hosts: [{ host: "http://10.0.0.1:1" }] } }); // biome-ignore format: one row
});

test("a name that nobody gave, or gave nothing for, is told with its place", () => {
  const text = `hosts: []\nname: ${named("TAPLINE_NODE")}\n`;
  for (const environment of [{}, { TAPLINE_NODE: "" }])
    expect(parseConfig(text, schema, environment)).toEqual({ problems: ["2:7: there is no TAPLINE_NODE in the environment"] }); // biome-ignore format: one row
});

test("other names, and what looks like one, stay as they are", () => {
  const value = { name: `${named("HOME")} $TAPLINE_NODE ${named("tapline_node")}` };
  expect(parseConfig(`name: "${value.name}"\n`, schema, { HOME: "/root", TAPLINE_NODE: "x" })).toEqual({ value });
});
