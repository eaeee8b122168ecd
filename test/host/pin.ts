// An agent's pinning in a process of its own, for tests that kill it or need a namespace: does what it is told and says what became of it.
// Enters: one JSON argument, then words on stdin. Leaves: a line of JSON for each.
import { createInterface } from "node:readline";
import { HostFiles, type Roots } from "#host/files.ts";
import { type CapturedInterface, Pinner } from "#host/pinner.ts";
import type { PinningPolicy } from "#host/pinning.ts";

export interface PinTask {
  readonly roots: Roots;
  readonly statePath: string;
  readonly policy: PinningPolicy;
  readonly captured: readonly CapturedInterface[];
  /** interfaces that receive by NAPI */
  readonly napi: readonly string[];
}

const task = JSON.parse(process.argv[2] ?? "") as PinTask;
const say = (what: unknown): boolean => process.stdout.write(`${JSON.stringify(what)}\n`);
const pinner = new Pinner({
  files: new HostFiles(task.roots),
  statePath: task.statePath,
  now: () => BigInt(Date.now()) * 1_000_000n,
  napi: ({ name }) => task.napi.includes(name),
});
say(pinner.recover());
for await (const word of createInterface(process.stdin)) {
  if (word === "arrange") say(pinner.arrange(task.policy, task.captured));
  else if (word === "observe") say(pinner.observe());
  else say(pinner.close());
}
