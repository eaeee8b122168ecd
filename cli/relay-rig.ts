// Where relays are proved: namespaces a → b → c → … in a row, joined by veth pairs; the sender in a, a sink in the last one, relays
// between. Gone when disposed of, and at the process's exit, however it comes about.
//
// Link n joins a node's way out to the next one's way in (a1–b0, b1–c0, c1–d0, …), with 10.0.n.1 and .2, fd00:0:0:n::1 and ::2.
// Behind `snooping` stands a bridge between a and b that forwards only what b has joined, and forgets b at once when it leaves.
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { TaplineError } from "#domain/errors.ts";
import { Started } from "./started.ts";
import { cores, ip } from "./wire.ts";

export type NodeName = "a" | "b" | "c" | "d" | "e";
const order: readonly NodeName[] = ["a", "b", "c", "d", "e"];

export interface RigOptions {
  /** relays between the sender and the sink */
  readonly hops: 0 | 1 | 2 | 3;
  readonly snooping?: boolean;
  /** of every link */
  readonly mtu?: number;
}

/** Whose core does an interface's receiving: by itself it is the core of whoever sends. */
export interface Steering {
  readonly node: NodeName;
  readonly interface: string;
  /** threaded NAPI: with an XDP program; RPS: without */
  readonly how: "threaded" | "rps";
  readonly core: number;
}

export const steeringText = ({ node, interface: name, how, core }: Steering): string =>
  `${how === "threaded" ? "threaded NAPI" : "RPS"} of ${name} in ${node} on core ${core}`;

let made = 0;

export class RelayRig implements Disposable {
  readonly #prefix: string;
  readonly nodes: readonly NodeName[];
  readonly #started = new Set<Started>();
  readonly #mounted: string[] = [];
  readonly #remove = (): void => this[Symbol.dispose]();

  constructor({ hops, snooping = false, mtu = 1500 }: RigOptions) {
    if (process.getuid?.() !== 0) throw new TaplineError("BENCH_NEEDS_ROOT", {});
    this.#prefix = `tapline-bench-relay-${process.pid}-${made++}`;
    this.nodes = order.slice(0, hops + 2);
    process.once("exit", this.#remove);
    try {
      for (const node of this.nodes) this.#add(node);
      for (const [i, from] of this.nodes.slice(0, -1).entries()) {
        const to = this.nodes[i + 1] ?? "a";
        if (i === 0 && snooping) this.#bridge(from, to, mtu);
        else this.#pair(this.namespace(from), `${from}1`, this.namespace(to), `${to}0`, mtu);
        this.#address(from, `${from}1`, i + 1, 1, 2);
        this.#address(to, `${to}0`, i + 1, 2, 1);
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  namespace(node: NodeName | "switch"): string {
    return `${this.#prefix}-${node}`;
  }
  get last(): NodeName {
    return this.nodes.at(-1) ?? "a";
  }
  /** Those between sender and sink. */
  get relays(): readonly NodeName[] {
    return this.nodes.slice(1, -1);
  }

  #add(node: NodeName | "switch"): void {
    const name = this.namespace(node);
    ip("netns", "add", name);
    ip("-n", name, "link", "set", "lo", "up");
    // Packets of addresses that are not on the link are what a relay is for.
    this.said(node, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0", "net.ipv6.conf.default.accept_dad=0"); // biome-ignore format: one command
  }

  #pair(from: string, out: string, to: string, into: string, mtu: number): void {
    ip("link", "add", out, "mtu", String(mtu), "netns", from, "type", "veth", "peer", into, "mtu", String(mtu), "netns", to); // biome-ignore format: one command
    ip("-n", from, "link", "set", out, "up");
    ip("-n", to, "link", "set", into, "up");
  }

  #bridge(from: NodeName, to: NodeName, mtu: number): void {
    this.#add("switch");
    const name = this.namespace("switch");
    ip(
      "-n", name, "link", "add", "bridge", "mtu", String(mtu), "type", "bridge", "mcast_snooping", "1", "mcast_igmp_version", "3", "mcast_mld_version", "2", "mcast_query_response_interval", "50", "mcast_query_interval", "500",
      "mcast_startup_query_interval", "100",
    ); // biome-ignore format: one command
    // A querier first waits for one response interval whether there is another; until then its bridge floods.
    ip("-n", name, "link", "set", "bridge", "type", "bridge", "mcast_querier", "1");
    ip("-n", name, "link", "set", "bridge", "up");
    this.#pair(this.namespace(from), `${from}1`, name, "port0", mtu);
    this.#pair(name, "port1", this.namespace(to), `${to}0`, mtu);
    for (const port of ["port0", "port1"]) ip("-n", name, "link", "set", port, "master", "bridge");
    ip("-n", name, "link", "set", "port1", "type", "bridge_slave", "fastleave", "on");
  }

  #address(node: NodeName, name: string, link: number, own: number, peer: number): void {
    const within = ["-n", this.namespace(node)];
    ip(...within, "link", "set", name, "address", macOf(link, own));
    ip(...within, "address", "add", `10.0.${link}.${own}/24`, "dev", name);
    ip(...within, "address", "add", `fd00:0:0:${link}::${own}/64`, "dev", name, "nodad");
    for (const address of [`10.0.${link}.${peer}`, `fd00:0:0:${link}::${peer}`])
      ip(...within, "neighbour", "replace", address, "lladdr", macOf(link, peer), "dev", name, "nud", "permanent");
  }

  /** What a short program says in a node. */
  said(node: NodeName | "switch", ...command: string[]): string {
    return ip("netns", "exec", this.namespace(node), ...command);
  }

  /** A process in a node; `ip` and `taskset` become it, so that its pid is its own. */
  start(node: NodeName, command: readonly string[], core?: number, talks = false): Started {
    const place = core === undefined ? [] : ["taskset", "-c", String(core)];
    const started = new Started(["ip", "netns", "exec", this.namespace(node), ...place, ...command], talks);
    this.#started.add(started);
    const over = (): void => void this.#started.delete(started);
    void started.ended.then(over, over);
    return started;
  }

  /** Gives the pids of NAPI threads. A veth has NAPI, and thus threads, by an XDP program or by GRO: here by GRO. */
  steer({ node, interface: name, how, core }: Steering): number[] {
    const write = (value: string, file: string): string =>
      this.said(node, "sh", "-c", `echo ${value} > /sys/class/net/${name}/${file}`);
    if (how === "rps") {
      write((1 << core).toString(16), "queues/rx-0/rps_cpus");
      return [];
    }
    const before = new Set(napiThreads(name));
    this.said(node, "ethtool", "-K", name, "gro", "on");
    write("1", "threaded");
    const mine = napiThreads(name).filter((pid) => !before.has(pid));
    if (mine.length === 0)
      throw new TaplineError("BENCH_PROCESS_FAILED", {
        tool: "threaded NAPI",
        detail: `${name} has no NAPI`,
        command: `ip -n ${this.namespace(node)} link show ${name}`,
      });
    for (const pid of mine) taskset(pid, core);
    return mine;
  }

  /** A BPF file system of a node's own: namespaces of the network share the machine's. Gone with the rig. */
  mountBpf(path: string): void {
    const { status, stderr } = spawnSync("mount", ["-t", "bpf", "tapline-bench", path], { encoding: "utf8" });
    if (status !== 0)
      throw new TaplineError("BENCH_PROCESS_FAILED", {
        tool: "mount",
        detail: stderr.trim(),
        command: `mount -t bpf tapline-bench ${path}`,
      });
    this.#mounted.push(path);
  }

  /** A counter of an interface as the kernel keeps it (/sys/class/net/NAME/statistics). */
  statistic(
    node: NodeName | "switch",
    name: string,
    counter: "tx_dropped" | "rx_dropped" | "tx_packets" | "rx_packets",
  ): number {
    return Number(this.said(node, "cat", `/sys/class/net/${name}/statistics/${counter}`));
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    for (const started of this.#started) started[Symbol.dispose]();
    // What an agent leaves running on purpose is not its child any more, but it is in one of our namespaces.
    for (const node of [...this.nodes, "switch" as const])
      for (const pid of pidsIn(this.namespace(node))) spawnSync("kill", ["-9", pid]);
    for (const path of this.#mounted.splice(0)) spawnSync("umount", ["-l", path]);
    // The pairs go with their namespaces; what is not there any more is no error.
    for (const node of [...this.nodes, "switch" as const]) spawnSync("ip", ["netns", "del", this.namespace(node)]);
  }
}

export const macOf = (link: number, end: number): string => `02:00:00:00:0${link}:0${end}`;

const pidsIn = (namespace: string): string[] =>
  spawnSync("ip", ["netns", "pids", namespace], { encoding: "utf8" })
    .stdout.split("\n")
    .filter((pid) => pid !== "");

/** Kernel threads of an interface's name, of whatever namespace. */
const napiThreads = (name: string): number[] =>
  readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .map(Number)
    .filter((pid) => commOf(pid).startsWith(`napi/${name}-`));

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return ""; // it ended meanwhile
    throw error;
  }
}

function taskset(pid: number, core: number): void {
  const { status, stderr } = spawnSync("taskset", ["-pc", String(core), String(pid)], { encoding: "utf8" });
  if (status !== 0)
    throw new TaplineError("BENCH_PROCESS_FAILED", {
      tool: "taskset",
      detail: stderr.trim(),
      command: `taskset -pc ${core} ${pid}`,
    });
}

/** Sender on one core; "the other core" is the reader's. */
export const relayCores = { sender: cores.sender, other: cores.reader } as const;
