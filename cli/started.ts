// A process that a measurement started: what it said, how it ended, and that it ends with us.
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { TaplineError } from "#domain/errors.ts";

/** How long a process may take to end once it was asked; a million flows have to be stored first. */
const endMs = 120_000;

export class Started implements Disposable {
  readonly #child: ChildProcess;
  readonly #command: readonly string[];
  readonly ended: Promise<number | null>;
  /** how much of stdout was given out by line() */
  #read = 0;
  stdout = "";
  stderr = "";
  /** it has ended */
  over = false;

  /** `talks`: it is told things on its stdin, see ask(). */
  constructor(command: readonly [string, ...string[]], talks = false) {
    this.#command = command;
    const [program, ...args] = command;
    const child = spawn(program, args, { stdio: [talks ? "pipe" : "ignore", "pipe", "pipe"] });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    child.stdin?.on("error", () => undefined); // it has ended: whoever waits for its answer is told so
    this.#child = child;
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject).on("close", (code) => {
        this.over = true;
        resolve(code);
      });
    });
    this.ended.catch(() => undefined); // read by whoever waits for it; until then it is not unhandled
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw this.failure("it cannot be started");
    return this.#child.pid;
  }

  failure(detail: string): TaplineError {
    const said = this.stderr.trim().split("\n").slice(-3).join("; ");
    return new TaplineError("BENCH_PROCESS_FAILED", {
      tool: this.#command[0] ?? "",
      detail: said === "" ? detail : `${detail}: ${said}`,
      command: this.#command.join(" "),
    });
  }

  /** The next whole line of its stdout. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.stdout.indexOf("\n", this.#read);
      if (end >= 0) {
        const line = this.stdout.slice(this.#read, end);
        this.#read = end + 1;
        return line;
      }
      if (this.over) throw this.failure("it ended without an answer");
      const heard = Promise.withResolvers<void>();
      this.#child.stdout?.once("data", heard.resolve);
      await Promise.race([heard.promise, this.ended.catch(() => undefined)]); // a failure to start is told above
      this.#child.stdout?.off("data", heard.resolve);
    }
  }

  /** Tells it a line and gives the one it answers with. */
  ask(line: string): Promise<string> {
    this.#child.stdin?.write(`${line}\n`);
    return this.line();
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.over) this.#child.kill(signal);
  }

  /** Asks it to end, as Ctrl-C would, and waits for that. */
  async stop(): Promise<number | null> {
    this.kill("SIGINT");
    const over = new AbortController();
    const late = sleep(endMs, undefined, { signal: over.signal }).then(
      () => this.kill("SIGKILL"),
      () => undefined, // it ended in time
    );
    const code = await this.ended.finally(() => over.abort());
    await late;
    if (this.#child.signalCode === "SIGKILL") throw this.failure(`it did not end within ${endMs / 1000} s`);
    return code;
  }

  /** Waits for its own end, and stops it when the signal comes first. */
  async finished(signal: AbortSignal): Promise<number | null> {
    const stop = (): void => this.kill("SIGINT");
    signal.addEventListener("abort", stop, { once: true });
    try {
      const code = await this.ended;
      signal.throwIfAborted();
      return code;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  [Symbol.dispose](): void {
    this.kill("SIGKILL");
  }
}
