import { expect, test } from "vitest";
import { forbiddenImports } from "./imports.ts";

const count = (file: string, text: string): number => forbiddenImports(file, text).length;

test.each([
  ["store/writer.ts", 'import { engine } from "#native/engine.ts";'],
  ["store/writer.ts", 'import { serve } from "../api/server.ts";'],
  ["store/writer.ts", 'export type { Api } from "#api/server.ts";'],
  ["store/writer.ts", 'const { serve } = await import("#api/server.ts");'],
  ["store/writer.ts", 'import "#cli/main.ts";'],
  ["store/writer.ts", 'import {\n  serve,\n  stop,\n} from "#api/server.ts";'],
  ["api/server.ts", 'import { analyze } from "#sensor/analyze.ts";'],
  ["sensor/main.ts", 'import { plan } from "#relay/plan.ts";'],
  ["relay/main.ts", 'import { pipeline } from "#sensor/pipeline.ts";'],
  ["sensor/main.ts", 'import { table } from "#cli/table.ts";'],
  ["cli/main.ts", 'import { suites } from "../house/test.ts";'],
  ["domain/filter.ts", 'import { readFileSync } from "node:fs";'],
  ["domain/filter.ts", 'import pino from "pino";'],
])("%s may not hold: %s", (file, text) => {
  expect(forbiddenImports(file, text)).toHaveLength(1);
  expect(forbiddenImports(file, text)[0]).toContain(file);
});

test("an import towards domain is allowed, as is one within the folder", () => {
  expect(count("domain/filter.ts", 'import { z } from "zod";\nimport { protocols } from "./vocabulary.ts";')).toBe(0);
  expect(
    count(
      "store/writer.ts",
      'import { flowRecord } from "#domain/records.ts";\nimport Database from "better-sqlite3";',
    ),
  ).toBe(0);
  expect(count("api/server.ts", 'import { open } from "#store/open.ts";')).toBe(0);
  expect(
    count("cli/main.ts", 'import { analyze } from "#sensor/analyze.ts";\nimport { serve } from "#api/server.ts";'),
  ).toBe(0);
});

test("several imports on one line are all seen", () => {
  expect(count("store/a.ts", 'import a from "#api/a.ts"; import b from "#cli/b.ts";')).toBe(2);
});

test("a comment that speaks of an import is none", () => {
  expect(count("store/a.ts", '// import { serve } from "#api/server.ts";\n/* import "#cli/main.ts"; */')).toBe(0);
});

test("a test in domain may use the test runner, but no other layer", () => {
  expect(count("domain/filter.test.ts", 'import { test } from "vitest";')).toBe(0);
  expect(count("domain/filter.test.ts", 'import { open } from "#store/open.ts";')).toBe(1);
});
