// A nats-server with JetStream inside a test's receiving namespace, on the address that configurations name by default.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { FindingBatch } from "#domain/finding.ts";
import type { Desk } from "./agent.ts";
import type { Network } from "./network.ts";

const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const reader = new URL("stored-findings.ts", import.meta.url).pathname;
const address = ["127.0.0.1", "4222"] as const;

export class Nats implements AsyncDisposable {
  static readonly url = `nats://${address.join(":")}`;
  readonly #network: Network;
  readonly #store: string;
  #server: ChildProcess | undefined;

  constructor(network: Network, desk: Desk) {
    this.#network = network;
    this.#store = join(desk.folder, "js");
  }

  async up(): Promise<void> {
    const { receiver } = this.#network;
    await this.#network.in(receiver, "ip", "link", "set", "lo", "up");
    const [host, port] = address;
    this.#server = spawn(
      "ip",
      ["netns", "exec", receiver, "nats-server", "-a", host, "-p", port, "-js", "-sd", this.#store],
      { stdio: "ignore" },
    );
  }

  /** Its sockets stay, and take what comes. */
  freeze(): void {
    this.#server?.kill("SIGSTOP");
  }

  /** At once, without a word to anybody. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const gone = once(server, "exit");
    server.kill("SIGKILL");
    await gone;
  }

  /** What the stream of the fleet holds, in its order. */
  async batches(): Promise<(FindingBatch & { readonly node: string })[]> {
    const text = await this.#network.in(this.#network.receiver, node, reader, Nats.url, "default");
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as FindingBatch & { readonly node: string });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
