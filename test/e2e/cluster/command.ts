// Runs a program of this machine to its end: its output, or a problem that shows what it said.
import { execFile } from "node:child_process";
import { ClusterProblem } from "./problems.ts";

export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string;
  /** named in the remedy */
  readonly log?: string;
}

export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const { signal, env, cwd, input, log = "" } = options;
    const child = execFile(
      program,
      args,
      { maxBuffer: 1 << 26, ...(signal && { signal }), ...(env && { env }), ...(cwd && { cwd }) },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        if (error.name === "AbortError") return reject(error);
        const said = `${stdout}${stderr}`.trim().split("\n").slice(-20).join("\n");
        reject(
          new ClusterProblem("COMMAND_FAILED", {
            command: [program, ...args].join(" ").slice(0, 300),
            detail: said || error.message,
            log,
          }),
        );
      },
    );
    // It may end without having read all: that is its exit code's matter.
    child.stdin?.on("error", () => undefined).end(input);
  });
}
