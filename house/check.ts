// `make check`: runs every check, prints what failed with its remedy, ends with the sum.
// `node house/check.ts types lint` runs those alone and prints their whole output.
import { checks } from "./checks.ts";

const only = process.argv.slice(2);
const shownLines = only.length > 0 ? Number.POSITIVE_INFINITY : 40;
let passed = 0;
let failed = 0;
for (const { name, remedy, run } of checks.filter(({ name }) => only.length === 0 || only.includes(name))) {
  const started = performance.now();
  const { ok, output } = run();
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  if (ok) {
    passed++;
    continue;
  }
  failed++;
  const lines = output.split("\n");
  for (const line of lines.slice(0, shownLines)) console.log(`  | ${line}`);
  if (lines.length > shownLines) console.log(`  | … all ${lines.length} lines: node house/check.ts "${name}"`);
  console.log(`  remedy: ${remedy}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
