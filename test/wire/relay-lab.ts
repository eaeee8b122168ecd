// Namespaces in a row for one test, gone with it: a – b – c – d, each joined to the next by a veth pair (a0–b0, b1–c0, c1–d0). Needs root.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const python = new URL("../../build/venv/bin/python", import.meta.url).pathname;
const frames = new URL("relay_frames.py", import.meta.url).pathname;
let made = 0;

export type Place = "a" | "b" | "c" | "d";
const places: readonly Place[] = ["a", "b", "c", "d"];
const pairs = [
  ["a", "a0", "b", "b0"],
  ["b", "b1", "c", "c0"],
  ["c", "c1", "d", "d0"],
] as const;

/** A frame as scapy reads it. */
export interface Taken {
  readonly hex: string;
  readonly bytes: number;
  readonly vlan: number | null;
  readonly to: string;
  readonly from: string;
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
  readonly tos: number;
  readonly id: number;
  readonly protocol: number;
  readonly ipRight: boolean;
  readonly port: number;
  readonly udpRight: boolean;
  readonly checksum: number;
  readonly payload: string;
}

export class RelayLab implements AsyncDisposable {
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
  }

  static async create(): Promise<RelayLab> {
    const lab = new RelayLab(`tapline-lab-${process.pid}-${made++}`);
    for (const place of places) {
      await run("ip", ["netns", "add", lab.namespace(place)]);
      // No neighbour discovery: every frame on the wire is the test's own.
      await lab.in(place, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1");
      await lab.in(place, "ip", "link", "set", "lo", "up");
    }
    for (const [left, near, right, far] of pairs) {
      const [from, to] = [lab.namespace(left), lab.namespace(right)];
      await run("ip", ["link", "add", near, "netns", from, "type", "veth", "peer", "name", far, "netns", to]);
      await lab.in(left, "ip", "link", "set", near, "up");
      await lab.in(right, "ip", "link", "set", far, "up");
    }
    return lab;
  }

  namespace(place: Place): string {
    return `${this.#name}-${place}`;
  }

  async in(place: Place, command: string, ...args: string[]): Promise<string> {
    const { stdout } = await run("ip", ["netns", "exec", this.namespace(place), command, ...args], {
      maxBuffer: 1 << 28,
    });
    return stdout;
  }

  /** A process in a namespace; `ip netns exec` becomes it, so its pid is the process's own. */
  start(place: Place, command: string, ...args: string[]): ChildProcess {
    return spawn("ip", ["netns", "exec", this.namespace(place), command, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  }

  async index(place: Place, name: string): Promise<number> {
    return Number(await this.in(place, "cat", `/sys/class/net/${name}/ifindex`));
  }
  async mac(place: Place, name: string): Promise<string> {
    return (await this.in(place, "cat", `/sys/class/net/${name}/address`)).trim().replaceAll(":", "");
  }

  async send(place: Place, name: string, hex: readonly string[]): Promise<void> {
    const child = this.start(place, python, frames, "send", name);
    child.stdin?.end(hex.map((one) => `${one}\n`).join(""));
    const [code] = (await once(child, "exit")) as [number];
    if (code !== 0) throw new Error(`sending ended with ${code}`);
  }

  /** By a socket of the kernel's: checksums, and the cutting into packets, are left to the interface. */
  async sendBySocket(
    place: Place,
    kind: "udp" | "gso",
    name: string,
    address: string,
    port: number,
    size: number,
    count: number,
  ): Promise<void> {
    const index = await this.index(place, name);
    await this.in(place, python, frames, kind, address, String(port), String(size), String(count), String(index));
  }

  async take(place: Place, name: string): Promise<Taking> {
    const child = this.start(place, python, frames, "take", name);
    const taking = new Taking(child);
    await taking.ready;
    return taking;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const place of places) await run("ip", ["netns", "del", this.namespace(place)]);
  }
}

/** Frames that come in by one interface, in order. */
export class Taking implements AsyncDisposable {
  readonly frames: Taken[] = [];
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, "exit");
    if (!child.stdout) throw new Error("no output");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    let problem = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      problem += text;
    });
    child.once("exit", () => reject(new Error(`taking ended: ${problem}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line === "ready") resolve();
      else this.frames.push(JSON.parse(line) as Taken);
    });
  }

  /** All frames, when there are as many, and a moment later there are no more. */
  async until(count: number): Promise<readonly Taken[]> {
    for (let i = 0; i < 250 && this.frames.length < count; i++) await sleep(20);
    await sleep(150);
    if (this.frames.length !== count) throw new Error(`${this.frames.length} frames came, not ${count}`);
    return this.frames.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }
}
