// Tells systemd how the process is (sd_notify(3)): started, reloading, stopping, a line of status, and that it is alive. Node has no UNIX datagram
// sockets, so each message goes through systemd's own program `systemd-notify`. A shell that is started once runs it: to fork a process of half a
// gigabyte takes 40 ms, in which its capture threads cannot fault in a page; to fork a shell costs it nothing. Hence NotifyAccess=all and
// KillMode=mixed in the unit. Make it early. Without NOTIFY_SOCKET in the environment all of it does nothing.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { TaplineError } from "#domain/errors.ts";
import type { Log } from "./log.ts";

export interface NotifyOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  /** Whether to tell the watchdog, when the unit has one; it restarts the process if it is not told. */
  readonly alive: () => boolean;
  readonly program?: string;
  /** CLOCK_MONOTONIC in microseconds */
  readonly monotonicUs?: () => bigint;
}

export interface Notify {
  ready(status: string): void;
  /** What is told meanwhile waits; `ready` ends it. */
  reloading(): void;
  stopping(): void;
  /** One line, for `systemctl status`. Only the newest matters. */
  status(text: string): void;
  /** Settles when everything was told; no watchdog after it. */
  close(signal?: AbortSignal): Promise<void>;
}

/** Reads two lines a message, the second may be empty, and answers what the program said, and `=` with its exit code. */
const teller = `while IFS= read -r a && IFS= read -r b; do timeout 5 "$0" "$a" \${b:+"$b"} 2>&1; echo "=$?"; done`;
/** A turn a second is more than any process has; beyond, the oldest are of no interest any more. */
const mostWaiting = 16;

const nothing: Notify = {
  ready: () => {},
  reloading: () => {},
  stopping: () => {},
  status: () => {},
  close: () => Promise.resolve(),
};

export function createNotify(options: NotifyOptions): Notify {
  const { environment, log, alive, program = "systemd-notify" } = options;
  const { monotonicUs = () => process.hrtime.bigint() / 1000n } = options;
  const socket = environment["NOTIFY_SOCKET"];
  if (socket === undefined || socket === "") return nothing;

  const waiting: string[][] = [];
  let telling: Promise<void> | undefined;
  let failed = false;
  const fail = (detail: string): void => {
    if (failed) return; // more of the same would say nothing new
    failed = true;
    log.warning("failed to tell systemd", { error: new TaplineError("NOTIFY_FAILED", { detail }) });
  };
  const shell = startShell({ program, socket, path: environment["PATH"] ?? "/usr/bin:/bin", fail });
  const pump = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await shell.tell(next);
    telling = undefined;
  };
  const tell = (...lines: string[]): void => {
    waiting.push(lines);
    if (waiting.length > mostWaiting) waiting.shift();
    telling ??= pump();
  };
  const oneLine = (text: string): string => `STATUS=${text.replaceAll(/\s+/g, " ").slice(0, 200)}`;
  const status = (text: string): void => {
    const old = waiting.findIndex((lines) => lines.length === 1 && lines[0]?.startsWith("STATUS="));
    if (old >= 0) waiting.splice(old, 1);
    tell(oneLine(text));
  };

  // Half of what is allowed, as sd_watchdog_enabled(3) advises.
  const watchdogUs = Number(environment["WATCHDOG_USEC"] ?? 0);
  const ours = [undefined, String(process.pid)].includes(environment["WATCHDOG_PID"]);
  const watchdog =
    watchdogUs > 0 && ours
      ? setInterval(() => alive() && waiting.length === 0 && tell("WATCHDOG=1"), watchdogUs / 2000).unref()
      : undefined;

  return {
    ready: (text) => tell("READY=1", oneLine(text)),
    reloading: () => tell("RELOADING=1", `MONOTONIC_USEC=${monotonicUs()}`),
    stopping: () => tell("STOPPING=1"),
    status,
    close: async (signal) => {
      clearInterval(watchdog);
      const late = new Promise<void>((resolve) => {
        if (signal?.aborted) resolve();
        signal?.addEventListener("abort", () => resolve(), { once: true });
      });
      await Promise.race([telling, late]);
      shell.end();
    },
  };
}

interface Shell {
  /** Settles when it was told, or cannot be. */
  tell(lines: readonly string[]): Promise<void>;
  /** It also ends by itself when this process does. */
  end(): void;
}

interface ShellOptions {
  readonly program: string;
  readonly socket: string;
  readonly path: string;
  readonly fail: (detail: string) => void;
}

function startShell({ program, socket, path, fail }: ShellOptions): Shell {
  // detached: a Ctrl-C at a terminal is for us, and not for the shell before it has told of it.
  const child: ChildProcess = spawn("sh", ["-c", teller, program], {
    env: { PATH: path, NOTIFY_SOCKET: socket, LC_ALL: "C" },
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("the shell has no pipes");
  const gone = once(child, "close").then(
    () => undefined,
    (error: Error) => fail(error.message),
  );
  stdin.on("error", (error) => fail(error.message)); // it died: EPIPE
  let said: string[] = [];
  let answered: (() => void) | undefined;
  createInterface({ input: stdout }).on("line", (line) => {
    if (!/^=\d+$/.test(line)) {
      said.push(line);
      return;
    }
    if (line !== "=0")
      fail(said.join(" ").trim() || (line === "=124" ? "no answer in 5 s" : `exit code ${line.slice(1)}`));
    said = [];
    answered?.();
  });
  child.unref();
  return {
    tell: ([first = "", second = ""]) => {
      const answer = new Promise<void>((resolve) => {
        answered = resolve;
      });
      stdin.write(`${first}\n${second}\n`);
      return Promise.race([answer, gone]);
    },
    end: () => stdin.end(),
  };
}
