// `tapline analyze INTERFACE` as a person runs it, in the receiving namespace: started, fed, stopped by Ctrl-C, read.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import type { Network } from "./network.ts";

const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const main = new URL("../../cli/main.ts", import.meta.url).pathname;

export interface Ledger {
  readonly interface: string;
  readonly seen: number;
  readonly ring_drops: number;
  readonly in_flight: number;
  readonly delivered: number;
  readonly decoded: number;
  readonly tracked: number;
  readonly residue: number;
  readonly super_packets: number;
  readonly segments: number;
  readonly partial_checksums: number;
  readonly untracked: Readonly<Record<string, number>>;
}

export interface Captured {
  readonly complete: boolean;
  readonly packets: number;
  readonly flows: number;
  readonly gaps: number;
  readonly lost: number;
  readonly ledger: readonly [Ledger];
  readonly fanout: "ebpf" | "classic";
  readonly members: readonly { readonly frames: number; readonly flows: number }[];
  readonly protocols: Readonly<
    Record<
      string,
      {
        readonly flows: number;
        readonly packets: number;
        readonly lost: number;
        readonly reordered: number;
        readonly duplicate: number;
      }
    >
  >;
  /** the gaps in the database it left */
  readonly found: readonly Gap[];
}

interface Gap {
  readonly first: number;
  readonly last: number;
  readonly suspect: 0 | 1;
}

/** Captures while `act` runs; it is given the capturing process's id. */
export const capture = (
  network: Network,
  act: (pid: number) => Promise<unknown>,
  ...options: string[]
): Promise<Captured> => captureAs([], network, act, ...options);

/** What a node gives that allows no BPF: root without CAP_BPF, and without CAP_SYS_ADMIN, which would stand for it. */
export const withoutBpf = ["setpriv", "--bounding-set=-bpf,-sys_admin"] as const;

/** The same, started by another command. */
export async function captureAs(
  launch: readonly string[],
  network: Network,
  act: (pid: number) => Promise<unknown>,
  ...options: string[]
): Promise<Captured> {
  const folder = await mkdtemp(join(tmpdir(), "tapline-wire-"));
  try {
    const database = join(folder, "wire.db");
    const { child, ended, output, problems } = await startCapture(launch, network, database, ...options);
    await act(child.pid ?? 0);
    child.kill("SIGINT");
    const [code] = await ended;
    if (code !== 0) throw new Error(`tapline ended with ${code}: ${problems.join("")}`);
    const result = JSON.parse(output.join("")) as Omit<Captured, "found">;
    const db = new Database(database, { readonly: true });
    const found = db.prepare("SELECT first, last, suspect FROM gaps").all() as Gap[];
    db.close();
    return { ...result, found };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves when the capture is on. */
export async function startCapture(
  launch: readonly string[],
  network: Network,
  database: string,
  ...options: string[]
): Promise<{ child: ChildProcess; ended: Promise<[number | null]>; output: string[]; problems: string[] }> {
  const [command, ...before] = [...launch, node, main];
  const child = network.start(
    network.receiver,
    command,
    ...before,
    "analyze",
    network.far,
    database,
    "--json",
    ...options,
  );
  const output: string[] = [];
  const problems: string[] = [];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => output.push(text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => problems.push(text));
  const ended = once(child, "exit") as Promise<[number | null]>;
  await ready(network, ended, problems);
  return { child, ended, output, problems };
}

/** The capture is on when its interface is in promiscuous mode. */
async function ready(network: Network, ended: Promise<unknown>, problems: readonly string[]): Promise<void> {
  let over = false;
  void ended.then(() => (over = true));
  for (let i = 0; i < 200; i++) {
    const link = await network.in(network.receiver, "ip", "-d", "link", "show", network.far);
    if (/promiscuity [1-9]/.test(link)) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return;
    }
    if (over) break;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`the capture did not start: ${problems.join("")}`);
}
