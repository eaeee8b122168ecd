// The checks of `make check`, each one a command that fails with a readable text.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { forbiddenImports } from "./imports.ts";

export interface Outcome {
  readonly ok: boolean;
  readonly output: string;
}
interface Check {
  readonly name: string;
  readonly remedy: string;
  readonly run: () => Outcome;
}

const command = (line: string): Outcome => {
  const result = spawnSync("bash", ["-c", line], { encoding: "utf8", maxBuffer: 1 << 26 });
  return { ok: result.status === 0, output: `${result.stdout}${result.stderr}`.trim() };
};

/** Files of the checkout, committed or not, that git does not ignore. */
const files = (...patterns: string[]): string[] =>
  execFileSync("git", ["ls-files", "-co", "--exclude-standard", "--deduplicate", "--", ...patterns], {
    encoding: "utf8",
  })
    .split("\n")
    .filter((file) => file !== "");

const imports = (): Outcome => {
  const found = files("*.ts").flatMap((file) => forbiddenImports(file, readFileSync(file, "utf8")));
  return { ok: found.length === 0, output: found.join("\n") };
};

/** The files whose format differs: where in them matters to nobody, since a command mends it. */
const nativeFormat = (): Outcome => {
  const sources = files("native/*.cc", "native/*.h").filter((file) => !file.includes("/generated/"));
  const wrong = sources.filter((file) => spawnSync("clang-format-14", ["--dry-run", "-Werror", file]).status !== 0);
  return { ok: wrong.length === 0, output: wrong.join("\n") };
};

export const checks: readonly Check[] = [
  { name: "types", remedy: "the errors above", run: () => command("tsc -p . --pretty false") },
  { name: "format", remedy: "biome format --write FILE", run: () => command("biome format --max-diagnostics=5 .") },
  {
    name: "lint",
    remedy: "biome check --write FILE mends what is marked FIXABLE",
    run: () => command("biome check --formatter-enabled=false --error-on-warnings --max-diagnostics=10 ."),
  },
  { name: "promises", remedy: "the errors above", run: () => command("oxlint --type-aware --deny-warnings .") },
  { name: "format of native/", remedy: "clang-format-14 -i FILE", run: nativeFormat },
  { name: "unused code", remedy: "remove it, or use it", run: () => command("knip --no-progress") },
  { name: "import directions", remedy: "move what two share to a layer below (HACKING.md)", run: imports },
  {
    name: "generated files",
    remedy: "make generate, and commit what it wrote",
    run: () => command("node house/generate.ts --check"),
  },
];
