// A real nats-server on a free loopback port, with a JetStream directory of its own, for one test and gone with it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface ServerOptions {
  /** lines of its configuration, beside port, log and store */
  readonly config?: string;
  readonly jetstream?: boolean;
  /** absent: this machine's own */
  readonly program?: string;
}

const installed = ["/usr/sbin/nats-server", "/usr/bin/nats-server"].find((path) => existsSync(path)) ?? "nats-server";

export class NatsServer implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "tapline-nats-"));
  readonly #options: ServerOptions;
  #process: ChildProcess | undefined;
  /** free at the first start, then kept: it is where the sensor looks for it again */
  #port = -1;

  private constructor(options: ServerOptions) {
    this.#options = options;
  }

  static async start(options: ServerOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(options);
    await server.up();
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }
  get url(): string {
    return `nats://${this.address}`;
  }

  async up(config = this.#options.config ?? ""): Promise<void> {
    const path = join(this.dir, "nats.conf");
    const jetstream = this.#options.jetstream === false ? "" : `jetstream { store_dir: "${this.dir}/js" }`;
    writeFileSync(
      path,
      `host: 127.0.0.1\nport: ${this.#port}\nports_file_dir: "${this.dir}"\n${jetstream}\n${config}\n`,
    );
    const child = spawn(this.#options.program ?? installed, ["-c", path, "-l", join(this.dir, "log")], {
      stdio: "ignore",
    });
    this.#process = child;
    const ports = join(this.dir, `nats-server_${child.pid}.ports`);
    for (let tries = 0; !existsSync(ports) || readFileSync(ports, "utf8").trim() === ""; tries++) {
      if (child.exitCode !== null || tries > 500) throw new Error(`nats-server did not start:\n${this.log()}`);
      await sleep(20);
    }
    const { nats } = JSON.parse(readFileSync(ports, "utf8")) as { nats: string[] };
    this.#port = Number(new URL(nats[0] ?? "").port);
    rmSync(ports);
  }

  async down(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }

  /** Stopped, but its sockets stay: it accepts and never answers. */
  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }
  thaw(): void {
    this.#process?.kill("SIGCONT");
  }
  reload(config: string): void {
    const path = join(this.dir, "nats.conf");
    const before = readFileSync(path, "utf8");
    writeFileSync(path, before.replace(this.#options.config ?? "", config));
    this.#process?.kill("SIGHUP");
  }

  log(): string {
    const path = join(this.dir, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }
}
