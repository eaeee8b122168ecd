// `make test`: runs every suite and ends with one line, `N passed, N failed`, summed over the test cases of all suites.
// A suite that crashes, runs no test or skips one counts as failed.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { checks } from "./checks.ts";
import { fuzz } from "./fuzz.ts";
import { buildNative } from "./native.ts";

interface Count {
  readonly passed: number;
  readonly failed: number;
  /** what failed, a line each: told again at the end, since a log is read from there */
  readonly failures?: readonly string[];
}
interface Suite {
  readonly name: string;
  readonly run: () => Count;
  /** runs only when asked for by name */
  readonly apart?: boolean;
}

// scapy is there (house/requirements.txt).
process.env["PYTHON"] = resolve("build/venv/bin/python");

const results = "build/test";
rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });

const sum = (counts: readonly Count[]): Count => ({
  passed: counts.reduce((total, { passed }) => total + passed, 0),
  failed: counts.reduce((total, { failed }) => total + failed, 0),
  failures: counts.flatMap(({ failures }) => failures ?? []),
});

const report = (name: string, ok: boolean, output: string): Count => {
  console.log(`${ok ? "ok    " : "FAILED"} ${name}${ok ? "" : `\n${output}`}`);
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, failures: ok ? [] : [name] };
};

/** The start of a message, on one line. */
const start = (message: string): string => stripVTControlCharacters(message).replaceAll(/\s+/g, " ").slice(0, 300);

const checked = (): Count =>
  sum(
    checks.map((check) => {
      const { ok, output } = check.run();
      return report(check.name, ok, `${output}\nremedy: ${check.remedy}`);
    }),
  );

/** Catch2: its XML holds the sum; what failed is shown by a second run, for people. */
const catch2 = (kind: "tests" | "sanitized") => (): Count => {
  const dir = buildNative(kind);
  if (dir === null) return { passed: 0, failed: 1 };
  const path = `${results}/catch2-${kind}.xml`;
  const { status } = spawnSync(`${dir}/engine_tests`, ["-r", "xml", "-o", path], { stdio: "inherit" });
  if (status !== 0) spawnSync(`${dir}/engine_tests`, [], { stdio: "inherit" });
  const xml = existsSync(path) ? readFileSync(path, "utf8") : "";
  const [, passed, failed] = /<OverallResultsCases successes="(\d+)" failures="(\d+)"/.exec(xml) ?? [];
  // A crash leaves no sum.
  const count = { passed: Number(passed ?? 0), failed: Number(failed ?? 1) };
  return status !== 0 && count.failed === 0 ? { ...count, failed: 1 } : count;
};

interface VitestResult {
  numPassedTests: number;
  numTotalTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}
const vitest =
  (name: string, ...args: string[]) =>
  (): Count => {
    const path = `${results}/vitest-${name}.json`;
    const { status } = spawnSync(
      "vitest",
      ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${path}`, ...args],
      {
        stdio: "inherit",
      },
    );
    if (!existsSync(path)) return { passed: 0, failed: 1 };
    const result = JSON.parse(readFileSync(path, "utf8")) as VitestResult;
    // A file that does not load has no test in it, and still fails.
    const unloaded = result.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.length === 0,
    );
    const failed = result.numTotalTests - result.numPassedTests + unloaded.length;
    const failures = [
      ...unloaded.map(({ name, message }) => `${name}: ${start(message)}`),
      ...result.testResults
        .flatMap(({ assertionResults }) => assertionResults)
        .filter(({ status }) => status !== "passed")
        .map(({ status, fullName, failureMessages }) =>
          status === "failed"
            ? `${fullName}: ${start(failureMessages[0] ?? "")}`
            : `${fullName}: ${status}, and a test may not be skipped here`,
        ),
    ];
    return { passed: result.numPassedTests, failed: status !== 0 && failed === 0 ? 1 : failed, failures };
  };

/** Its senders and sinks are built first. */
const withNative = (run: () => Count) => (): Count =>
  buildNative("tests") === null ? { passed: 0, failed: 1 } : run();

const fuzzed = (): Count => sum(fuzz(10, false).map(({ name, ok, output }) => report(name, ok, output)));

const suites: readonly Suite[] = [
  { name: "checks", run: checked },
  { name: "native tests", run: catch2("tests") },
  { name: "native tests, address and undefined-behaviour sanitizers", run: catch2("sanitized") },
  { name: "TypeScript tests", run: vitest("unit", "--exclude", "test/**", "--exclude", "house/readme.test.ts") },
  { name: "outside checks (scapy, tshark)", run: vitest("outside", "test/oracle") },
  { name: "the bus, on a real nats-server", run: vitest("bus", "test/bus") },
  { name: "the machine: CPUs, interrupts, losses", run: vitest("host", "test/host", "--no-file-parallelism") },
  { name: "on the wire (network namespaces)", run: vitest("wire", "test/wire", "--no-file-parallelism") },
  { name: "on a real kube-apiserver", run: vitest("kube", "test/kube", "--no-file-parallelism"), apart: true },
  {
    name: "a real Kubernetes on this machine",
    run: vitest("e2e", "test/e2e/cluster", "--no-file-parallelism"),
  },
  {
    name: "the operator's stories, on a real Kubernetes",
    run: withNative(vitest("stories", "test/e2e/operator", "--no-file-parallelism")),
    apart: true,
  },
  { name: "the chart, as Helm and Kubernetes take it", run: vitest("helm", "test/chart"), apart: true },
  { name: "fuzzing, briefly", run: fuzzed },
  { name: "the README's commands", run: vitest("readme", "house/readme.test.ts") },
];

/** What failed in a suite; of one that keeps no names, that it did. */
const told = (suite: string, { failed, failures = [] }: Count): readonly string[] =>
  failures.length > 0 || failed === 0 ? failures.map((failure) => `${suite}: ${failure}`) : [`${suite}: ${failed}`];

const only = process.argv.slice(2);
const counts = suites
  .filter(({ name, apart }) => (only.length === 0 ? apart !== true : only.some((part) => name.includes(part))))
  .map(({ name, run }) => {
    console.log(`\n== ${name}`);
    const started = performance.now();
    let count: Count;
    try {
      count = run();
    } catch (error) {
      console.log(error);
      count = { passed: 0, failed: 1 };
    }
    if (count.passed + count.failed === 0) {
      console.log("FAILED no test ran");
      count = { passed: 0, failed: 1 };
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`-- ${name}: ${count.passed} passed, ${count.failed} failed, ${seconds} s`);
    return { ...count, failures: told(name, count) };
  });
const { passed, failed, failures } = sum(counts);
for (const failure of failures ?? []) console.log(`FAILED ${failure}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
