// One worker process: the engine in user space, for one input interface. Enters: its rules. Leaves: a process that has them, started again with
// patience when it ends by itself. It outlives the agent: one that is found running is taken over.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { RelayPlan } from "#native/relay.ts";
import { openRelayWorker, type WorkerFiles, workerProgram } from "#native/relay-worker.ts";
import type { Log } from "#process/log.ts";
import { OwnStack } from "./own-stack.ts";

export interface WorkerSettings {
  /** holds a folder for each worker; on a file system in memory */
  readonly folder: string;
  readonly maxRules: number;
  readonly maxOutputs: number;
  readonly orphanAfterMs: number;
  /** of the packet thread, by interface; undefined: any */
  readonly cpuOf: (ifindex: number) => number | undefined;
  readonly log: Log;
  /** milliseconds, of a clock that does not go back */
  readonly now: () => number;
  /** further options of relay_worker */
  readonly options?: readonly string[];
}

const firstPauseMs = 100;
const longestPauseMs = 10_000;
/** One that ran for so long did not fail at its start. */
const provenMs = 60_000;
const longestProblem = 500;

export type WorkerPhase = "running" | "starting" | "backing off" | "stopped";

export class Worker {
  readonly ifindex: number;
  readonly files: WorkerFiles;
  readonly #folder: string;
  readonly #settings: WorkerSettings;
  readonly #stack: OwnStack;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = firstPauseMs;
  #startedMs = 0;
  #problem = "";
  #wanted = true;
  #restarts = 0;

  constructor(ifindex: number, settings: WorkerSettings) {
    this.ifindex = ifindex;
    this.#settings = settings;
    this.#stack = new OwnStack(ifindex, settings.log);
    this.#folder = join(settings.folder, String(ifindex));
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.files = openRelayWorker({
      folder: this.#folder,
      ifindex,
      maxRules: settings.maxRules,
      maxOutputs: settings.maxOutputs,
    });
    this.files.heartbeat(settings.orphanAfterMs);
  }

  apply(plan: RelayPlan): void {
    this.files.apply(plan);
    void this.#stack.follow(plan.rules);
    this.look();
  }

  heartbeat(): void {
    this.files.heartbeat(this.#settings.orphanAfterMs);
    this.look();
  }

  /** Starts it when it should run and does not: one that an earlier agent started is no child of ours, and ends unheard. */
  look(): void {
    if (!this.#wanted || this.#timer !== undefined || this.#child !== undefined) return;
    if (this.files.state().pid === 0) this.#start();
  }

  #start(): void {
    const { log, now, cpuOf, options = [] } = this.#settings;
    const cpu = cpuOf(this.ifindex);
    const args = ["--folder", this.#folder, "--interface", String(this.ifindex)];
    if (cpu !== undefined) args.push("--cpu", String(cpu));
    this.#startedMs = now();
    this.#problem = "";
    // A session of its own: what ends the agent does not reach it.
    const child = spawn(workerProgram, [...args, ...options], { detached: true, stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#problem = (this.#problem + text).slice(-longestProblem);
    });
    child.on("error", (error) => {
      this.#problem = error.message;
      if (child.pid === undefined) this.#ended(null, null);
    });
    child.on("close", (code, signal) => this.#ended(code, signal));
    log.info("started a relay worker", { ifindex: this.ifindex, pid: child.pid ?? null, cpu: cpu ?? null });
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.#child = undefined;
    if (!this.#wanted) return;
    const { log, now } = this.#settings;
    if (now() - this.#startedMs >= provenMs) this.#pauseMs = firstPauseMs;
    const pause = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pause, longestPauseMs);
    this.#restarts += 1;
    const detail = this.#problem.trim();
    log.warning("a relay worker ended", { ifindex: this.ifindex, code, signal, detail, againInMs: pause });
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.look();
    }, pause);
    this.#timer.unref();
  }

  view(): { pid: number | null; state: WorkerPhase; restarts: number; detail: string } {
    const { pid, ready } = this.files.state();
    const state = ready
      ? "running"
      : !this.#wanted
        ? "stopped"
        : this.#timer === undefined
          ? "starting"
          : "backing off";
    return { pid: pid === 0 ? null : pid, state, restarts: this.#restarts, detail: this.#problem.trim() };
  }

  /** This end only: the worker goes on. */
  release(): void {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#child?.stderr?.destroy();
    this.#child?.unref();
    this.files.close();
  }

  /** Ends it: what it had taken in has left then. Its counts go with it. */
  async remove(ms = 2000): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const { pid } = this.files.state();
    const until = this.#settings.now() + ms;
    if (pid !== 0) signal(pid, "SIGTERM");
    while (this.files.state().pid === pid && pid !== 0) {
      if (this.#settings.now() > until) signal(pid, "SIGKILL");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await this.#stack.remove();
    this.files.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // it ended by itself
  }
}
