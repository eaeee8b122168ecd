// A sensor as its users run it: `tapline sensor --config F` in the receiver's namespace, asked over its own ports.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import type { Network } from "./network.ts";

const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const main = new URL("../../cli/main.ts", import.meta.url).pathname;

export type Config = Record<string, unknown>;

/** A folder for a sensor's files, and a configuration that keeps everything in it. */
export class Desk implements AsyncDisposable {
  readonly folder: string;
  readonly database: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.database = join(folder, "sensor.db");
  }
  static async create(): Promise<Desk> {
    return new Desk(await mkdtemp(join(tmpdir(), "tapline-agent-")));
  }
  config(network: Network, more: Config = {}): Config {
    return {
      name: "node-1",
      interfaces: [{ name: network.far }],
      capture: { ring: { blockKiB: 256, blocks: 128, retireMs: 4 } },
      store: { path: this.database },
      log: { format: "json" },
      ...more,
    };
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

export interface LogLine {
  readonly severity: string;
  readonly facility: string;
  readonly message: string;
  readonly [key: string]: unknown;
}

export class Agent implements AsyncDisposable {
  readonly #network: Network;
  readonly #child: ChildProcess;
  readonly #path: string;
  readonly #exit: Promise<unknown[]>;
  readonly #metricsPort: number;
  #stderr = "";
  over = false;

  private constructor(network: Network, child: ChildProcess, path: string, config: Config) {
    this.#network = network;
    this.#child = child;
    this.#path = path;
    this.#metricsPort = (config["metrics"] as { port?: number } | undefined)?.port ?? 9464;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    child.stdout?.resume();
    this.#exit = once(child, "exit");
    void this.#exit.then(() => (this.over = true));
  }

  /** Starts it and waits until it says that it is ready. */
  static async start(network: Network, desk: Desk, config: Config, ...options: string[]): Promise<Agent> {
    const agent = await Agent.launch(network, desk, config, ...options);
    for (let i = 0; i < 400; i++) {
      if (agent.over) throw new Error(`the sensor ended: ${agent.stderr}`);
      const ready = await agent.ready().catch(() => undefined);
      if (ready?.status === 200) return agent;
      await sleep(25);
    }
    throw new Error(`the sensor did not become ready: ${agent.stderr}`);
  }

  /** Without waiting. */
  static launch(network: Network, desk: Desk, config: Config, ...options: string[]): Promise<Agent> {
    return Agent.launchAs([], network, desk, config, ...options);
  }

  /** Started by another command. */
  static async launchAs(
    launcher: readonly string[],
    network: Network,
    desk: Desk,
    config: Config,
    ...options: string[]
  ): Promise<Agent> {
    await network.in(network.receiver, "ip", "link", "set", "lo", "up");
    const path = join(desk.folder, "sensor.yaml");
    await writeFile(path, stringify(config));
    const child = spawn(
      "ip",
      ["netns", "exec", network.receiver, ...launcher, node, main, "sensor", "--config", path, ...options],
      {
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    return new Agent(network, child, path, config);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }
  get stderr(): string {
    return this.#stderr;
  }
  get log(): LogLine[] {
    return this.#stderr
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as LogLine);
  }

  async ask(path: string, port = 3001): Promise<{ status: number; text: string }> {
    const text = await this.#network.in(
      this.#network.receiver,
      "curl", "-s", "--max-time", "10", "-w", "\n%{http_code}", `http://127.0.0.1:${port}${path}`,
    ); // biome-ignore format: one command
    const cut = text.lastIndexOf("\n");
    return { status: Number(text.slice(cut + 1)), text: text.slice(0, cut) };
  }
  async json<T = Record<string, unknown>>(path: string, port = 3001): Promise<T> {
    const { status, text } = await this.ask(path, port);
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
    return JSON.parse(text) as T;
  }
  ready(): Promise<{ status: number; text: string }> {
    return this.ask("/readyz", this.#metricsPort);
  }
  /** A condition that was raised or cleared, by its code, as the log tells it. */
  told(turn: "raised" | "cleared", code: string): LogLine | undefined {
    return this.log.findLast((line) => line.message === `${turn} a condition` && line["code"] === code);
  }
  async metric(line: string): Promise<number> {
    const { text } = await this.ask("/metrics", this.#metricsPort);
    const found = text.split("\n").find((one) => one.startsWith(`${line} `));
    return found === undefined ? Number.NaN : Number(found.slice(line.length + 1));
  }

  /** Polls until it holds, for at most ten seconds. */
  async until(what: string, holds: () => Promise<boolean> | boolean, seconds = 10): Promise<void> {
    const deadline = performance.now() + seconds * 1000;
    while (!(await holds())) {
      if (this.over) throw new Error(`the sensor ended while waiting until ${what}: ${this.stderr}`);
      if (performance.now() > deadline)
        throw new Error(`not within ${seconds} s: ${what}\n${this.stderr.slice(-3000)}`);
      await sleep(50);
    }
  }

  async reload(config: Config): Promise<void> {
    await writeFile(`${this.#path}.new`, stringify(config));
    await rename(`${this.#path}.new`, this.#path);
    process.kill(this.pid, "SIGHUP");
  }

  /** The exit code of one that ends by itself, within twenty seconds. */
  async ended(signal?: NodeJS.Signals): Promise<number | null> {
    if (signal && !this.over) process.kill(this.pid, signal);
    const late = setTimeout(() => this.over || process.kill(this.pid, "SIGKILL"), 20_000);
    const [code] = (await this.#exit) as [number | null];
    clearTimeout(late);
    return code;
  }

  /** Sends the signal and gives the exit code. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (!this.over) process.kill(this.pid, signal);
    const [code] = (await this.#exit) as [number | null];
    return code;
  }

  /** Of /proc/PID/status, in KiB. */
  async memory(field: "VmRSS" | "VmHWM"): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.over) await this.end("SIGKILL");
  }
}
