// Two network namespaces joined by a veth pair, for one test, gone with it. Needs root, as `make test` says.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What `wire_sender` (native/bench/wire_sender.cc) says at its end. */
export interface Sent {
  readonly sent: number;
  readonly bytes: number;
  readonly skipped: number;
  readonly gaps: number;
  readonly flows: number;
  readonly seconds: number;
}

const senderPath = new URL("../../native/build/wire_sender", import.meta.url).pathname;
let made = 0;

export class Network implements AsyncDisposable {
  readonly sender: string;
  readonly receiver: string;
  /** interface names, each in its own namespace */
  readonly near = "near";
  readonly far = "far";

  private constructor(name: string) {
    this.sender = `${name}-tx`;
    this.receiver = `${name}-rx`;
  }

  static async create(): Promise<Network> {
    const network = new Network(`tapline-${process.pid}-${made++}`);
    await run("ip", ["netns", "add", network.sender]);
    await run("ip", ["netns", "add", network.receiver]);
    await network.connect();
    return network;
  }

  /** One more pair may be asked for, by names of its own. */
  async connect(near: string = this.near, far: string = this.far): Promise<void> {
    await run("ip", [
      "link",
      "add",
      near,
      "netns",
      this.sender,
      "type",
      "veth",
      "peer",
      "name",
      far,
      "netns",
      this.receiver,
    ]);
    for (const [namespace, link] of [
      [this.sender, near],
      [this.receiver, far],
    ] as const) {
      // No neighbour discovery: every frame on the wire is the test's own.
      await this.in(namespace, "sysctl", "-qw", `net.ipv6.conf.${link}.disable_ipv6=1`);
      await this.in(namespace, "ip", "link", "set", link, "up");
    }
  }

  async disconnect(): Promise<void> {
    await this.in(this.sender, "ip", "link", "del", this.near);
  }

  async in(namespace: string, command: string, ...args: string[]): Promise<string> {
    const { stdout } = await run("ip", ["netns", "exec", namespace, command, ...args], { maxBuffer: 1 << 26 });
    return stdout;
  }

  /** A process in a namespace; `ip netns exec` becomes it, so its pid is the process's own. */
  start(namespace: string, command: string, ...args: string[]): ChildProcess {
    return spawn("ip", ["netns", "exec", namespace, command, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  }

  send(...args: string[]): Promise<Sent> {
    return this.sendOn(this.near, ...args);
  }

  async sendOn(near: string, ...args: string[]): Promise<Sent> {
    return JSON.parse(await this.in(this.sender, senderPath, near, ...args)) as Sent;
  }

  /** From the receiver's own end: frames that leave the captured interface. */
  async sendBack(...args: string[]): Promise<Sent> {
    return JSON.parse(await this.in(this.receiver, senderPath, this.far, "--taps", "1", ...args)) as Sent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("ip", ["netns", "del", this.sender]);
    await run("ip", ["netns", "del", this.receiver]);
  }
}
