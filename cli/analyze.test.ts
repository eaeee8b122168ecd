import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { folder } from "./typed.ts";

const here = folder();
const { tapline, path } = here;
afterAll(() => here[Symbol.dispose]());
beforeAll(async () => {
  const made = await tapline([
    ..."pcap generate --packets 20k --flows 200 --protocol mixed --loss 5% --reorder 5% --duplicate 1% --rekey 60 --ipv6 --vlan --xpn --esn".split(
      " ",
    ),
    "--output",
    "made.pcap",
    "--truth",
    "made.truth.json",
  ]);
  expect(made).toMatchObject({ code: 0, stderr: "" });
});

const json = async (...args: string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await tapline(["analyze", "made.pcap", ...args, "--json"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as Record<string, unknown>;
};

test.each([1, 2, 4])("%d threads find what the truth says, and the books balance", async (threads) => {
  expect(await json(`t${threads}.db`, "--truth", "made.truth.json", "--threads", String(threads))).toMatchObject({
    complete: true,
    looped: 1,
    packets: 20_000,
    residue: 0,
    truth: { equal: true, differences: 0 },
  });
});

test("the text says per protocol what was lost, accounts for every packet, and has no colour in a pipe", async () => {
  const { code, stdout, stderr } = await tapline([
    "analyze",
    "made.pcap",
    "text.db",
    "--truth",
    "made.truth.json",
    "--replay",
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  // Everything but the figures that differ from run to run.
  const steady = stdout.replaceAll(/^(engine|whole) .*$/gm, "$1 …").replaceAll(/[ ]+$/gm, "");
  expect(steady).toMatchSnapshot();
  expect(stdout).not.toContain("\u001b");
});

test("the names in the JSON object are steady", async () => {
  const result = await json("names.db");
  const names = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.slice(0, 1).map(names)
      : value !== null && typeof value === "object"
        ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, names(v)]))
        : typeof value;
  expect(names(result)).toMatchSnapshot();
});

test("a second run into one database adds a run", async () => {
  expect(await json("twice.db")).toMatchObject({ run: 1 });
  expect(await json("twice.db")).toMatchObject({ run: 2 });
});

test("a truth that differs in one figure is noticed, named, and an error", async () => {
  const truth = readFileSync(path("made.truth.json"), "utf8");
  const lost = truth.split("\n").find((line) => /"lost":[1-9]/.test(line) && line.startsWith('{"protocol"')) ?? "";
  writeFileSync(
    path("wrong.json"),
    truth.replace(
      lost,
      lost.replace(/"lost":(\d+)/, (_, n) => `"lost":${Number(n) + 1}`),
    ),
  );
  const { code, stdout, stderr } = await tapline(["analyze", "made.pcap", "wrong.db", "--truth", "wrong.json"]);
  expect(code).toBe(1);
  expect(stdout).toContain("Different from the truth: 1 of");
  expect(stdout).toMatch(/flow [\d,]+: lost is \d+, in truth \d+/);
  expect(stderr).toMatch(/^tapline: .* \(TRUTH_DIFFERS\)\n {2}hint: /);
});

test("reading a file several times is said, in text and JSON", async () => {
  expect(await json("loop.db", "--loop", "3")).toMatchObject({ looped: 3, packets: 60_000 });
  expect((await tapline(["analyze", "made.pcap", "loop.db", "--loop", "2"])).stdout).toContain(
    "The file was read 2 times",
  );
});

test("mode fixed holds its rate within 1 %", async () => {
  const { engine_ns: ns } = (await json("fixed.db", "--mode", "fixed", "--pps", "20k")) as { engine_ns: number };
  expect(20_000 / (ns / 1e9)).toBeGreaterThan(19_800);
  expect(20_000 / (ns / 1e9)).toBeLessThan(20_200);
});

test("mode speed divides the capture's gaps, and the pacing error is told", async () => {
  // 20 k packets at a million a second: 20 ms of capture, here taken forty times as slowly
  const result = (await json("speed.db", "--mode", "speed", "--speed", "0.025")) as {
    engine_ns: number;
    pacing: { p99_ns: number };
  };
  expect(result.engine_ns / 1e9).toBeGreaterThan(0.78);
  expect(result.engine_ns / 1e9).toBeLessThan(0.9);
  expect(result.pacing.p99_ns).toBeGreaterThan(0);
});

test("Ctrl-C keeps what was done and marks the run incomplete; the database can be used again", async () => {
  const started = performance.now();
  const { code, stdout, stderr } = await tapline(
    ["analyze", "made.pcap", "stopped.db", "--mode", "fixed", "--pps", "5k", "--json"],
    (child) => {
      setTimeout(() => child.kill("SIGINT"), 1200);
    },
  );
  expect(performance.now() - started).toBeLessThan(3500);
  expect(code).toBe(130);
  const result = JSON.parse(stdout) as { complete: boolean; packets: number; residue: number };
  expect(result).toMatchObject({ complete: false, residue: 0 });
  expect(result.packets).toBeGreaterThan(1000);
  expect(result.packets).toBeLessThan(15_000);
  expect(stderr).toContain("is marked incomplete");
  expect(await json("stopped.db")).toMatchObject({ run: 2, complete: true });
});
