// Who else captures, each with the settings that suit it best here, and how to read what it says it lost.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import type { Thread } from "./process-cost.ts";
import type { Started } from "./started.ts";
import type { Sending, Wire } from "./wire.ts";

/** MiB of ring for everyone who lets himself be told; the sensor's default. */
export const ringMiB = 64;

export type Kind = Sending["kind"];

/** By the capturing program's own account. */
export interface Count {
  readonly seen: number;
  readonly dropped: number;
}

/** Where it runs: the interface, and a folder for its files that is empty when it starts. */
export interface Place {
  readonly wire: Wire;
  readonly folder: string;
}

export interface Peer {
  readonly name: string;
  /** said below the table */
  readonly settings: string;
  /** traffic that means something to it */
  readonly kinds: readonly Kind[];
  readonly command: (place: Place) => readonly string[];
  /** what must run beside it, started before and stopped after it; not in its figures */
  readonly companions?: (place: Place) => Promise<readonly Started[]> | readonly Started[];
  /** which of its threads carry packets, where that can be told */
  readonly carries?: (thread: Thread, pid: number) => boolean;
  /** asked while it still runs, after the sending */
  readonly ask?: (place: Place) => string;
  /** after its end */
  readonly count: (said: { readonly stderr: string; readonly asked: string }, place: Place, sent: number) => Count;
}

/** What a program says that is not its own process's doing, such as its control program. */
function said(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (error !== undefined)
    throw new TaplineError("TOOL_MISSING", { tool: program, detail: error.message }, { cause: error });
  if (status !== 0)
    throw new TaplineError("BENCH_PROCESS_FAILED", {
      tool: program,
      detail: `${stdout}${stderr}`.trim(),
      command: [program, ...args].join(" "),
    });
  return stdout;
}

function numberIn(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`no ${pattern.source} in: ${text}`);
  return Number(found);
}

const tcpdump: Peer = {
  name: "tcpdump",
  settings: `tcpdump -n -B ${ringMiB * 1024} -w /dev/null`,
  kinds: ["macsec", "mixed"],
  command: ({ wire }) => ["tcpdump", "-i", wire.far, "-n", "-B", String(ringMiB * 1024), "-w", "/dev/null"],
  count: ({ stderr }) => ({
    seen: numberIn(stderr, /(\d+) packets? received by filter/),
    dropped: numberIn(stderr, /(\d+) packets? dropped by kernel/),
  }),
};

// Its -t (a thread of its own for writing) lost most packets here; without it, it lost none.
const dumpcap: Peer = {
  name: "dumpcap",
  settings: `dumpcap -q -P -B ${ringMiB} -w /dev/null`,
  kinds: ["macsec", "mixed"],
  command: ({ wire }) => ["dumpcap", "-i", wire.far, "-q", "-P", "-B", String(ringMiB), "-w", "/dev/null"],
  count: ({ stderr }) => {
    const line = /received\/dropped on interface .*: (\d+)\/(\d+)/.exec(stderr);
    const [received, dropped] = [Number(line?.[1]), Number(line?.[2])];
    if (Number.isNaN(received + dropped)) throw new Error(`dumpcap did not say what it lost: ${stderr}`);
    return { seen: received + dropped, dropped };
  },
};

// It exports to a port of the namespace's own loopback where nobody listens.
const softflowd: Peer = {
  name: "softflowd",
  settings: `softflowd -d -m 1000000 -B ${ringMiB} MiB, exporting NetFlow to loopback`,
  kinds: ["mixed"],
  command: ({ wire, folder }) => [
    "softflowd", "-i", wire.far, "-d", "-m", "1000000", "-B", String(ringMiB << 20), "-n", "127.0.0.1:9995",
    "-c", join(folder, "softflowd.ctl"), "-p", join(folder, "softflowd.pid"),
  ], // biome-ignore format: one list
  ask: ({ folder }) => said("softflowctl", "-c", join(folder, "softflowd.ctl"), "statistics"),
  count: ({ asked }) => ({
    seen: numberIn(asked, /Packets received by libpcap: (\d+)/),
    dropped: numberIn(asked, /Packets dropped by libpcap: (\d+)/),
  }),
};

// It does not say what it lost: its records are summed instead, so they go to a file.
const argus: Peer = {
  name: "argus",
  settings: "argus -X -w FILE (its ring cannot be set)",
  kinds: ["mixed"],
  command: ({ wire, folder }) => ["argus", "-X", "-i", wire.far, "-w", join(folder, "argus.out")],
  count: (_, { folder }, sent) => {
    const sums = said("racount", "-r", join(folder, "argus.out"));
    const seen = numberIn(sums, /^\s*sum\s+\d+\s+(\d+)/m);
    return { seen: sent, dropped: Math.max(sent - seen, 0) };
  },
};

/** programs that measuring each of them needs, and Debian's packages of them */
const tools: Readonly<Record<PeerName, Readonly<Record<string, string>>>> = {
  tcpdump: { tcpdump: "tcpdump" },
  dumpcap: { dumpcap: "wireshark-common" },
  softflowd: { softflowd: "softflowd", softflowctl: "softflowd" },
  argus: { argus: "argus-server", racount: "argus-client" },
};
const peers = { tcpdump, dumpcap, softflowd, argus } as const;
export type PeerName = keyof typeof peers;
export const peerNames = Object.keys(peers) as PeerName[];

/** Looks first whether what they need is there: a round is not begun for nothing. */
export function peersNamed(name: PeerName | "all" | "none"): Peer[] {
  const chosen = name === "all" ? peerNames : name === "none" ? [] : [name];
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  for (const [tool, packaged] of chosen.flatMap((one) => Object.entries(tools[one]))) {
    if (!folders.some((folder) => existsSync(join(folder, tool))))
      throw new TaplineError("TOOL_MISSING", { tool, detail: `it is not on the PATH (Debian: ${packaged})` });
  }
  return chosen.map((one) => peers[one]);
}
