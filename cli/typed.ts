// For tests: the command as a person types it, in a folder of its own.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Folder extends Disposable {
  readonly path: (name: string) => string;
  /** Waits for the end; `during` may send signals meanwhile. */
  readonly tapline: (args: readonly string[], during?: (child: ChildProcess) => void) => Promise<Ended>;
  /** As `tapline`, but by a user who may not do everything. */
  readonly taplineAsNobody: (args: readonly string[]) => Promise<Ended>;
}

const command = fileURLToPath(new URL("../bin/tapline", import.meta.url));

export function folder(): Folder {
  const cwd = mkdtempSync(join(tmpdir(), "tapline-cli-"));
  const { NO_COLOR: _, FORCE_COLOR: __, ...env } = process.env;
  const run = (program: string, args: readonly string[], during?: (child: ChildProcess) => void): Promise<Ended> =>
    new Promise((resolve, reject) => {
      const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
      let [stdout, stderr] = ["", ""];
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.on("error", reject).on("close", (code) => resolve({ code, stdout, stderr }));
      during?.(child);
    });
  return {
    path: (name) => join(cwd, name),
    tapline: (args, during) => run(command, args, during),
    taplineAsNobody: (args) =>
      run("setpriv", [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--",
        "env",
        "NODE_COMPILE_CACHE=",
        command,
        ...args,
      ]),
    [Symbol.dispose]: () => rmSync(cwd, { recursive: true, force: true }),
  };
}
