// Runs every fuzz target of native/fuzz for some seconds, from its kept corpus (native/fuzz/corpus/NAME).
// `node house/fuzz.ts 600` keeps what it finds: new inputs that reach new code are merged into the corpus.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { buildNative } from "./native.ts";

export interface Fuzzed {
  readonly name: string;
  readonly ok: boolean;
  readonly output: string;
}

/** One result per target; none when the targets do not build. */
export function fuzz(seconds: number, keep: boolean): Fuzzed[] {
  const build = buildNative("fuzz");
  if (build === null) return [];
  const names = readdirSync("native/fuzz")
    .filter((file) => file.endsWith(".cc"))
    .map((file) => file.slice(0, -3));
  return names.map((name) => {
    const corpus = `native/fuzz/corpus/${name}`;
    if (!existsSync(corpus)) return { name, ok: false, output: `${corpus} is missing: a target keeps its corpus` };
    const fresh = `build/fuzz/${name}`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    const limits = ["-timeout=10", "-rss_limit_mb=2048", `-artifact_prefix=build/fuzz/${name}-`];
    const run = (...args: string[]) =>
      spawnSync(`${build}/fuzz_${name}`, [...limits, ...args], { encoding: "utf8", maxBuffer: 1 << 28 });
    const result = run(`-max_total_time=${seconds}`, "-print_final_stats=1", fresh, corpus);
    const ok = result.status === 0;
    if (ok && keep) run("-merge=1", corpus, fresh);
    const lines = result.stderr.trim().split("\n");
    return {
      name,
      ok,
      output: (ok ? lines.filter((line) => /^Done|number_of_executed/.test(line)) : lines.slice(-60)).join("\n"),
    };
  });
}

if (import.meta.main) {
  const results = fuzz(Number(process.argv[2] ?? 600), true);
  for (const { name, ok, output } of results) console.log(`${ok ? "ok    " : "FAILED"} ${name}\n${output}`);
  process.exitCode = results.length > 0 && results.every(({ ok }) => ok) ? 0 : 1;
}
