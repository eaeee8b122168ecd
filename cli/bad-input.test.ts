import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import type Sqlite from "better-sqlite3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { folder, type Ended } from "./typed.ts";

const here = folder();
const { tapline, taplineAsNobody, path } = here;
const Database = createRequire(import.meta.url)("better-sqlite3") as typeof Sqlite;
let capture: Buffer;
afterAll(() => here[Symbol.dispose]());
beforeAll(async () => {
  expect((await tapline("pcap generate --packets 1000 --flows 10 --loss 1% --output made.pcap".split(" "))).code).toBe(
    0,
  );
  capture = readFileSync(path("made.pcap"));
});

/** Code and exit code of a clear error: one line with the code, one or more with what to do, nothing else, and no stack. */
function complaint({ code, stderr }: Ended): unknown[] {
  const named = /^tapline: [^\n]+ \((\w+)\)\n(?: {2}hint: .+\n)+$/.exec(stderr)?.[1];
  return [named ?? stderr, code];
}
const analyze = (file: string, database = "results.db"): Promise<Ended> => tapline(["analyze", file, database]);

test.each([
  ["an empty file", "FILE_EMPTY", () => Buffer.alloc(0)],
  ["a file cut off in its header", "FILE_TOO_SHORT", () => capture.subarray(0, 11)],
  ["a file of another kind", "FILE_BAD_MAGIC", () => Buffer.from("%PDF-1.7, and so on, and so on, and so on")],
])("%s is refused, and no database is made", async (_, code, content) => {
  writeFileSync(path("bad.pcap"), content());
  expect(complaint(await analyze("bad.pcap", "none.db"))).toEqual([code, 1]);
  expect(existsSync(path("none.db"))).toBe(false);
});

test.each([
  ["no file", "missing.pcap", "FILE_NOT_FOUND"],
  ["a directory", ".", "FILE_IS_DIRECTORY"],
  ["a device", "/dev/null", "FILE_IS_PIPE"],
  ["standard input", "-", "FILE_IS_PIPE"],
])("%s is refused by its own name", async (_, file, code) => {
  expect(complaint(await analyze(file, "none.db"))).toEqual([code, 1]);
  expect(existsSync(path("none.db"))).toBe(false);
});

test("a pipe is refused and not waited for", async () => {
  execFileSync("mkfifo", [path("pipe")]);
  expect(complaint(await analyze("pipe", "none.db"))).toEqual(["FILE_IS_PIPE", 1]);
});

test.each([
  ["cut off within a packet", "FILE_TRUNCATED", () => capture.subarray(0, capture.length - 10)],
  ["cut off within a packet's header", "FILE_TRUNCATED", () => Buffer.concat([capture, Buffer.alloc(9)])],
  ["with a length of 4 GiB", "FILE_BAD_LENGTH", () => Buffer.concat([capture, Buffer.alloc(8), Buffer.alloc(8, 0xff)])],
])("a file %s: what came before is kept and shown, the damage is an error", async (_, code, content) => {
  writeFileSync(path("bad.pcap"), content());
  const ended = await analyze("bad.pcap", `${code}.db`);
  expect(complaint(ended)).toEqual([code, 1]);
  expect(ended.stdout).toMatch(/(999|1,000) packets/);
  expect(ended.stdout).toContain("This run is incomplete");
});

test("zero-length packets are counted and explained", async () => {
  writeFileSync(path("zero.pcap"), Buffer.concat([capture, Buffer.alloc(16)]));
  const { code, stdout } = await analyze("zero.pcap", "zero.db");
  expect(code).toBe(0);
  expect(stdout).toContain("undecodable: truncated 1");
});

test("an unknown link type is counted and explained", async () => {
  const link = Buffer.from(capture);
  link.writeUInt32LE(147, 20);
  writeFileSync(path("link.pcap"), link);
  const { code, stdout } = await analyze("link.pcap", "link.db");
  expect(code).toBe(0);
  expect(stdout).toContain("undecodable: unknown_link_type 1,000");
});

test("an unreadable file is refused", async () => {
  writeFileSync(path("secret.pcap"), capture);
  chmodSync(path("secret.pcap"), 0o600);
  chmodSync(path("."), 0o777);
  expect(complaint(await taplineAsNobody(["analyze", "secret.pcap", "nobody.db"]))).toEqual(["FILE_UNREADABLE", 1]);
});

test.each([
  ["a file that is no database", "STORE_NOT_SQLITE", () => writeFileSync(path("bad.db"), "x".repeat(100))],
  [
    "another program's database",
    "STORE_FOREIGN",
    () => new Database(path("bad.db")).exec("CREATE TABLE theirs (x)").close(),
  ],
  [
    "a newer version's database",
    "STORE_NEWER",
    () => {
      const db = new Database(path("results.db"));
      db.pragma("wal_checkpoint(TRUNCATE)");
      db.close();
      writeFileSync(path("bad.db"), readFileSync(path("results.db")));
      const copy = new Database(path("bad.db"));
      copy.pragma("user_version = 9999");
      copy.close();
    },
  ],
])("%s is refused and left as it is", async (_, code, make) => {
  if (!existsSync(path("results.db"))) expect((await analyze("made.pcap")).code).toBe(0);
  execFileSync("rm", ["-f", path("bad.db"), path("bad.db-wal"), path("bad.db-shm")]);
  make();
  const before = readFileSync(path("bad.db"));
  expect(complaint(await analyze("made.pcap", "bad.db"))).toEqual([code, 1]);
  expect(readFileSync(path("bad.db")).equals(before)).toBe(true);
});

test("a folder as database, a database in no folder, and one that may not be written", async () => {
  mkdirSync(path("folder"));
  expect(complaint(await analyze("made.pcap", "folder"))).toEqual(["STORE_IS_DIRECTORY", 1]);
  expect(complaint(await analyze("made.pcap", "nowhere/results.db"))).toEqual(["STORE_CANNOT_CREATE", 1]);
  chmodSync(path("made.pcap"), 0o644);
  mkdirSync(path("readonly"), { mode: 0o755 });
  const ended = await taplineAsNobody(["analyze", "made.pcap", "readonly/results.db"]);
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(/\((STORE_CANNOT_CREATE|STORE_READ_ONLY)\)/);
});

test.each([
  [["analyse"], "unknown command 'analyse'", "Did you mean analyze?"],
  [["analyze", "a", "b", "--thread", "2"], "unknown option '--thread'", "Did you mean --threads?"],
  [["analyze", "a"], "missing required argument 'results.db'", "tapline analyze --help"],
  [["analyze", "a", "b", "c"], "too many arguments", "tapline analyze --help"],
  [
    ["analyze", "a", "b", "--mode", "slow"],
    "Allowed choices are fast, original, fixed, speed",
    "tapline analyze --help",
  ],
  [["analyze", "a", "b", "--threads", "0"], "whole number from 1 to 64", "tapline analyze --help"],
  [["analyze", "a", "b", "--mode", "fixed"], "--mode fixed needs --pps", "--help"],
  [["analyze", "a", "b", "--mode", "speed"], "--mode speed needs --speed", "--help"],
  [["analyze", "a", "b", "--pps", "5"], "--pps belongs to --mode fixed", "--help"],
  [["analyze", "a", "b", "--loop", "2", "--truth", "t"], "leave out --loop", "--help"],
  [["pcap", "generate"], "required option '--output <file>' not specified", "tapline pcap generate --help"],
  [["pcap", "generate", "--output", "x", "--packets", "1", "--flows", "2"], "every flow needs a packet", "--help"],
  [
    ["pcap", "generate", "--output", "x", "--min-size", "200", "--max-size", "100"],
    "--min-size is above --max-size",
    "--help",
  ],
  [["pcap", "generate", "--output", "x", "--loss", "2"], "a rate from 0 to 0.9", "--help"],
  [["bench", "relay", "--case", "warp"], "Allowed choices are smcroute", "--help"],
  [["bench", "capture", "--against", "snort"], "Allowed choices are tcpdump, dumpcap", "--help"],
  [["bench", "capture", "--full-rate", "--memory"], "cannot be used with option", "--help"],
])("what is not understood ends with 2 and says what would be: %j", async (args, says, hint) => {
  const ended = await tapline(args);
  expect(complaint(ended)).toEqual(["USAGE", 2]);
  expect(ended.stderr).toContain(says);
  expect(ended.stderr).toContain(hint);
  expect(ended.stdout).toBe("");
});

test("a capture is never written over a folder or a device", async () => {
  mkdirSync(path("out"));
  for (const output of ["out", "/dev/null", "nowhere/x.pcap"])
    expect(complaint(await tapline(["pcap", "generate", "--output", output]))).toEqual(["FILE_WRITE_FAILED", 1]);
});

test("a truth file that is none is refused", async () => {
  writeFileSync(path("none.json"), '{"version":1,\n"flows":[');
  for (const truth of ["none.json", "missing.json", "."])
    expect(complaint(await tapline(["analyze", "made.pcap", "truth.db", "--truth", truth, "--json"]))).toEqual([
      "TRUTH_UNREADABLE",
      1,
    ]);
});
