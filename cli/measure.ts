// Runs one program on one capture and times it from outside: the engine alone, the whole command, tcpdump.
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TaplineError } from "#domain/errors.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const command = here("../bin/tapline");

/** The fields of `analyze --json` that measurements use. */
export interface AnalyzeJson {
  readonly run: number;
  readonly complete: boolean;
  readonly packets: number;
  readonly flows: number;
  readonly peak_flows: number;
  readonly lost: number;
  readonly residue: number;
  readonly ledger: readonly { readonly tracked: number }[];
  readonly engine_ns: number;
  readonly threads: number;
}

interface Ended {
  readonly ns: number;
  readonly stdout: string;
  readonly stderr: string;
}

function timed(program: string, args: readonly string[]): Ended {
  const started = process.hrtime.bigint();
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  const ns = Number(process.hrtime.bigint() - started);
  if (error) throw new TaplineError("TOOL_MISSING", { tool: program, detail: error.message }, { cause: error });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr}`);
  return { ns, stdout, stderr };
}

export interface EngineReading {
  readonly ns: number;
  readonly packets: number;
  readonly peakFlows: number;
  /** minor page faults during the reading */
  readonly faults: number;
}

const readOnceArgs = (capture: string, threads: number): string[] => [
  "--disable-warning=ExperimentalWarning", here("read-once.ts"), capture, String(threads),
]; // biome-ignore format: one list

export const timeEngine = (capture: string, threads: number): EngineReading =>
  JSON.parse(timed(process.execPath, readOnceArgs(capture, threads)).stdout) as EngineReading;

export const removeDatabase = (path: string): void => {
  for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
};

/** The command as a person types it, from its start to its exit, into a fresh database. */
export function timeCommand(
  capture: string,
  database: string,
  threads: number,
): { readonly ns: number; readonly result: AnalyzeJson } {
  removeDatabase(database);
  const { ns, stdout } = timed(command, ["analyze", capture, database, "--threads", String(threads), "--json"]);
  return { ns, result: JSON.parse(stdout) as AnalyzeJson };
}

export const timeTcpdump = (capture: string): number => timed("tcpdump", ["-r", capture, "-w", "/dev/null"]).ns;

const counterNames = ["cycles", "instructions", "cache-misses", "branch-misses"] as const;
export type Counters = Readonly<Record<(typeof counterNames)[number], number>>;

/** Hardware counters of the engine's process, where perf and the machine offer them. */
export function countersOf(capture: string, threads: number): Counters | undefined {
  const perf = spawnSync(
    "perf",
    ["stat", "-x", ",", "-e", counterNames.join(","), "--", process.execPath, ...readOnceArgs(capture, threads)],
    { encoding: "utf8" },
  );
  if (perf.error || perf.status !== 0) return undefined;
  const rows = perf.stderr.split("\n").map((line) => line.split(","));
  const counts = counterNames.map((name) => Number(rows.find((row) => row[2]?.startsWith(name))?.[0]));
  return counts.some(Number.isNaN)
    ? undefined
    : (Object.fromEntries(counterNames.map((name, i) => [name, counts[i]])) as Counters);
}

interface Held<Result> {
  /** largest anonymous memory while it worked, sampled, in bytes */
  readonly peak: number;
  readonly result: Result;
}

async function watchMemory<Result>(program: string, args: readonly string[]): Promise<Held<Result>> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  let peak = 0;
  const timer = setInterval(() => {
    try {
      const found = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"));
      peak = Math.max(peak, Number(found?.[1] ?? 0) * 1024);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ESRCH") throw error; // those say: it has ended
    }
  }, 2);
  const ended = Promise.withResolvers<number | null>();
  child.on("error", ended.reject).on("close", ended.resolve);
  const status = await ended.promise.finally(() => clearInterval(timer));
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}`);
  return { peak, result: JSON.parse(stdout) as Result };
}

export const engineMemory = (capture: string, threads: number): Promise<Held<EngineReading>> =>
  watchMemory(process.execPath, readOnceArgs(capture, threads));

export function commandMemory(capture: string, database: string, threads: number): Promise<Held<AnalyzeJson>> {
  removeDatabase(database);
  return watchMemory(command, ["analyze", capture, database, "--threads", String(threads), "--json"]);
}
