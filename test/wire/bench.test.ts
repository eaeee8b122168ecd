// `tapline bench capture` as a person runs it, briefly: what it measures adds up, and it leaves nothing behind.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const tapline = new URL("../../bin/tapline", import.meta.url).pathname;

interface Row {
  readonly name: string;
  readonly ours: boolean;
  readonly atWork: { readonly median: number };
  readonly carrying?: { readonly median: number };
  readonly whole: { readonly median: number };
  readonly sent: number;
  readonly lost: number;
  readonly marked: boolean;
}
interface Output {
  readonly costs: readonly [{ readonly rows: readonly Row[] }];
  readonly targets: readonly { readonly name: string }[];
}

/** What a measurement would leave if it did not clean up, beside what was there `before`: another may run at the same time, and end. */
async function traces(before: readonly string[] = []): Promise<string[]> {
  const { stdout } = await run("ip", ["netns", "list"]);
  const namespaces = stdout.split("\n").filter((name) => name.startsWith("tapline-bench-"));
  const folders = (await readdir(tmpdir())).filter((name) => name.startsWith("tapline-bench-"));
  return [...namespaces, ...folders].filter((name) => !before.includes(name));
}

test("a packet's cost is measured beside tcpdump's, and what each of them lost is said", {
  timeout: 60_000,
}, async () => {
  const before = await traces();
  const options = "bench capture --kind macsec --seconds 1 --rounds 1 --json".split(" ");
  const { stdout } = await run(tapline, options);
  const { costs, targets } = JSON.parse(stdout) as Output;
  const { rows } = costs[0];
  expect(rows.map(({ name, ours }) => [name, ours])).toEqual([
    ["tcpdump", false],
    ["tapline sensor", true],
  ]);
  for (const row of rows) {
    expect(row.sent).toBeGreaterThan(10_000);
    // How much is lost is the machine's affair; one that lost more than a thousandth is marked.
    expect(row.marked).toBe(row.lost > row.sent / 1000);
    expect(row.lost).toBeLessThan(row.sent / 2);
    // A reader of packets needs tens of nanoseconds for each, even where it only copies; thousands would be another's.
    expect(row.atWork.median).toBeGreaterThan(10);
    expect(row.atWork.median).toBeLessThan(5000);
    expect(row.whole.median).toBeGreaterThan(row.atWork.median);
  }
  const [, ours] = rows;
  expect(ours?.carrying?.median).toBeGreaterThan(10);
  expect(ours?.carrying?.median).toBeLessThan((ours?.atWork.median ?? 0) * 1.1);
  expect(targets.map((target) => target.name)).toEqual(["macsec: a packet's cost beside tcpdump's"]);
  expect(await traces(before)).toEqual([]);
});

interface Relayed {
  readonly rates: readonly {
    readonly name: string;
    readonly rate: { readonly median: number };
    readonly lost: number;
  }[];
  readonly targets: readonly { readonly name: string }[];
}

test("relays are measured beside the kernel's own, with what was lost", { timeout: 120_000 }, async () => {
  const before = await traces();
  const options = "bench relay --case xdp --seconds 1 --rounds 1 --json".split(" ");
  const { stdout } = await run(tapline, options, { maxBuffer: 1 << 26 });
  const { rates, targets } = JSON.parse(stdout) as Relayed;
  expect(rates.map(({ name }) => name)).toEqual(["smcroute", "smcroute-rps", "xdp"]);
  for (const { rate } of rates) {
    expect(rate.median).toBeGreaterThan(1000);
    expect(rate.median).toBeLessThan(10_000_000);
  }
  expect(rates.at(-1)?.lost).toBe(0);
  expect(targets.map(({ name }) => name)).toEqual(["xdp: beside smcroute's best", "xdp: lost", "xdp: twice or wrong"]);
  expect(await traces(before)).toEqual([]);
});

test.each([1, 2])(
  "interrupted by %i × Ctrl-C, it leaves no namespace, folder or process",
  { timeout: 60_000 },
  async (times) => {
    const before = await traces();
    const bench = spawn(
      tapline,
      "bench capture --kind macsec --seconds 20 --rounds 1 --against none --of analyze".split(" "),
      {
        stdio: "ignore",
      },
    );
    const ended = once(bench, "exit") as Promise<[number | null]>;
    const working = async (): Promise<number[]> => {
      const { stdout } = await run("ps", ["--ppid", String(bench.pid), "-o", "pid=,comm="]);
      return stdout
        .split("\n")
        .flatMap((line) => (/wire_sender|MainThread|node/.test(line) ? [Number.parseInt(line, 10)] : []));
    };
    let children: number[] = [];
    for (let i = 0; children.length < 2 && i < 200; i++) {
      await sleep(50);
      children = await working().catch(() => []); // ps ends with 1 when there is none
    }
    expect(children).toHaveLength(2);
    for (let i = 0; i < times; i++) {
      bench.kill("SIGINT");
      await sleep(5); // two at once are one
    }
    expect((await ended)[0]).toBe(130);
    expect(await traces(before)).toEqual([]);
    for (let i = 0; i < 40 && children.some(alive); i++) await sleep(50);
    expect(children.filter(alive)).toEqual([]);
  },
);

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}
