// Keeps what a worker relays from this node's own stack, as the engines in the kernel do: a worker's ring only gets copies, and the stack's work on
// packets that nobody here asked for costs the sender's core a third of its rate. Enters: a worker's rules. Leaves: one nft table of the interface's
// ingress, behind all captures; none for rules that deliver locally. Without nft, or CAP_NET_ADMIN, the stack gets its copies.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { ResolvedRule } from "#native/relay.ts";
import type { Log } from "#process/log.ts";

const longestProblem = 500;

export class OwnStack {
  readonly #ifindex: number;
  readonly #table: string;
  readonly #log: Log;
  #wanted: readonly ResolvedRule[] | undefined;
  #script: string | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(ifindex: number, log: Log) {
    this.#ifindex = ifindex;
    this.#table = `netdev tapline-${ifindex}`;
    this.#log = log;
  }

  /** From soon on; settles then. Of several that come while nft works only the last is heard. */
  follow(rules: readonly ResolvedRule[]): Promise<void> {
    this.#wanted = rules;
    this.#turn = this.#turn
      .then(() => this.#replace())
      .catch((error: unknown) =>
        this.#log.warning("a relay worker's packets may reach this node's own stack", { error }),
      );
    return this.#turn;
  }

  remove(): Promise<void> {
    return this.follow([]);
  }

  async #replace(): Promise<void> {
    const rules = this.#wanted;
    if (rules === undefined) return;
    this.#wanted = undefined;
    const lines = setsOf(rules);
    const name = lines.length === 0 ? undefined : await nameOf(this.#ifindex);
    const chain = `${this.#table} relayed`;
    const hook = `{ type filter hook ingress device "${name}" priority -500; policy accept; }`;
    const script =
      name === undefined
        ? `add table ${this.#table}\ndelete table ${this.#table}\n`
        : `add table ${this.#table}\nadd chain ${chain} ${hook}\nflush chain ${chain}\n${lines.map((line) => `add rule ${chain} ${line}\n`).join("")}`;
    if (script === this.#script) return;
    this.#script = script;
    const problem = await nft(script);
    if (problem !== "")
      this.#log.info("relayed packets go to this node's own stack, too", { ifindex: this.#ifindex, problem });
  }
}

/** Sets, so that ten thousand rules cost a packet as much as one. A tagged packet, or one that comes by a tunnel, goes its way. */
function setsOf(rules: readonly ResolvedRule[]): string[] {
  const sets = new Map<string, Set<string>>();
  const add = (key: string, element: string): void => {
    const set = sets.get(key);
    if (set) set.add(element);
    else sets.set(key, new Set([element]));
  };
  for (const { input, deliverLocal } of rules) {
    if (deliverLocal || "path" in input || input.vlan > 0) continue;
    const { destination, sources, protocol, port } = input;
    const family = destination.length === 4 ? "ip" : "ip6";
    const [field, value] = protocol === "UDP" ? ["udp dport", port] : ["meta l4proto", 50];
    if (sources.length === 0) add(`${family} daddr . ${field}`, `${text(destination)} . ${value}`);
    for (const source of sources)
      add(`${family} saddr . ${family} daddr . ${field}`, `${text(source)} . ${text(destination)} . ${value}`);
  }
  return [...sets].map(([key, elements]) => `${key} { ${[...elements].join(", ")} } drop`);
}

const text = (bytes: Uint8Array): string =>
  bytes.length === 4
    ? bytes.join(".")
    : (Buffer.from(bytes).toString("hex").match(/.{4}/g) ?? []).map((word) => word.replace(/^0{1,3}/, "")).join(":");

/** /proc/net/igmp has them all, of this process's own namespace. */
async function nameOf(ifindex: number): Promise<string | undefined> {
  const rows = await readFile("/proc/net/igmp", "utf8");
  return new RegExp(`^${ifindex}\\t(\\S+)\\s*:`, "m").exec(rows)?.[1];
}

/** Empty when it was done; else why not. */
async function nft(script: string): Promise<string> {
  const child = spawn("nft", ["-f", "-"], { stdio: ["pipe", "ignore", "pipe"] });
  let problem = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    problem = (problem + part).slice(0, longestProblem);
  });
  child.stdin.on("error", () => {}); // it ended early: its exit tells
  child.stdin.end(script);
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return code === 0 ? "" : problem.trim() || `nft ended with ${code}`;
  } catch (error) {
    return (error as Error).message; // there is no nft
  }
}
