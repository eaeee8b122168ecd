// Ours as a forwarder: `tapline relay` in every relay node of a rig, its rules loaded over the control socket as a person would.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { TaplineError } from "#domain/errors.ts";
import { askRelay } from "#relay/control-client.ts";
import { group, port } from "./relay-ends.ts";
import type { Carrying, Forwarder } from "./relay-peers.ts";
import { relayCores, type NodeName, type RelayRig } from "./relay-rig.ts";
import type { Started } from "./started.ts";

export const tapline = fileURLToPath(new URL("../bin/tapline", import.meta.url));
export type EngineName = "XDP" | "TC" | "AFPacket";

/** As in a file of rules (docs/reference/relay-rules.md). */
export type RuleText = Readonly<Record<string, unknown>>;
/** Of a node; `i` counts the rig's relays from 0. */
export type RulesOf = (node: NodeName, i: number) => readonly RuleText[];

const readyMs = 20_000;
const pollMs = 50;
const activeMs = 5000;
/** A running worker looks for a new table more often than that. */
const tableMs = 100;

/** Of its report (docs/reference/relay-report.md), what measurements use. */
export interface RelayFacts {
  readonly time: string;
  readonly interfaces: readonly {
    readonly interface: string;
    readonly received: number;
    readonly passed: number;
    readonly matched: number;
    readonly refused: Readonly<Record<string, number>>;
    /** afpacket: no room in the ring; in no other number */
    readonly ring_drops: number;
    readonly residue: number;
  }[];
  readonly hops: readonly { readonly path: number; readonly lost: number; readonly duplicate: number }[];
  readonly totals: {
    readonly matched: number;
    readonly wanted: number;
    readonly sent: number;
    readonly refused: Readonly<Record<string, number>>;
    readonly dropped: Readonly<Record<string, number>>;
  };
}
export const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

/** A relay agent in a node, with files and programs of its own. */
export class RelayAgent {
  readonly node: NodeName;
  readonly #rig: RelayRig;
  readonly folder: string;
  #process: Started;
  readonly #core: number | undefined;

  private constructor(rig: RelayRig, node: NodeName, folder: string, core: number | undefined) {
    this.#rig = rig;
    this.node = node;
    this.folder = folder;
    this.#core = core;
    this.#process = this.#start();
  }

  /** Ready, without rules. `more` is laid over its configuration. */
  static async start(
    rig: RelayRig,
    node: NodeName,
    under: string,
    signal: AbortSignal,
    { core, more = {} }: { readonly core?: number; readonly more?: RuleText } = {},
  ): Promise<RelayAgent> {
    const folder = mkdtempSync(join(under, `relay-${node}-`));
    const bpffs = join(folder, "bpf");
    mkdirSync(bpffs);
    rig.mountBpf(bpffs);
    const config = {
      name: node,
      state: { path: join(folder, "state") },
      control: { socket: join(folder, "run", "control.sock") },
      engines: { bpffs },
      ...more,
    };
    writeFileSync(join(folder, "relay.yaml"), JSON.stringify(config)); // JSON is YAML
    const agent = new RelayAgent(rig, node, folder, core);
    await agent.ready(signal);
    return agent;
  }

  #start(): Started {
    return this.#rig.start(this.node, [tapline, "relay", "--config", join(this.folder, "relay.yaml")], this.#core);
  }
  get socket(): string {
    return join(this.folder, "run", "control.sock");
  }
  get pid(): number {
    return this.#process.pid;
  }
  get stderr(): string {
    return this.#process.stderr;
  }

  async ready(signal: AbortSignal): Promise<void> {
    for (const late = performance.now() + readyMs; ; await sleep(pollMs)) {
      signal.throwIfAborted();
      if (this.#process.over || performance.now() > late) throw this.#process.failure("it did not become ready");
      if (this.#try("rules", "ping", "--socket", this.socket).status === 0) return;
    }
  }

  /** `ip` becomes the command; in the node, though a socket's path is everybody's. */
  #try(...args: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    return spawnSync("ip", ["netns", "exec", this.#rig.namespace(this.node), tapline, ...args], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
  }

  /** `tapline rules …`, as typed; what it prints. */
  rules(...args: string[]): string {
    const { status, stdout, stderr } = this.#try("rules", ...args, "--socket", this.socket);
    if (status !== 0)
      throw new TaplineError("BENCH_PROCESS_FAILED", {
        tool: "tapline rules",
        detail: stderr.trim(),
        command: `tapline rules ${args.join(" ")} --socket ${this.socket}`,
      });
    return stdout;
  }

  /** All or nothing, in place of what was there. Gives the seconds it took, start of the command included. */
  async load(rules: readonly RuleText[], signal: AbortSignal): Promise<number> {
    const path = join(this.folder, "rules.yaml");
    writeFileSync(path, JSON.stringify({ rules }));
    const from = performance.now();
    this.rules("load", path, "--replace");
    const seconds = (performance.now() - from) / 1000;
    await this.#programmed(signal);
    return seconds;
  }

  /** Until every rule can send: next hops are asked for, workers start and open their rings. For as long as it may take; who loads
   * rules that cannot work finds them as they are. */
  async #programmed(signal: AbortSignal): Promise<void> {
    for (
      const late = performance.now() + activeMs;
      performance.now() < late;
      await sleep(pollMs, undefined, { signal })
    ) {
      const { rules } = (await this.ask({ do: "list" })) as { rules: readonly { standing: { state: string } }[] };
      const { workers } = (await this.ask({ do: "workers" })) as { workers: readonly { readonly state: string }[] };
      if (rules.some(({ standing }) => standing.state !== "active")) continue;
      if (workers.some(({ state }) => state !== "running")) continue;
      return workers.length > 0 ? sleep(tableMs, undefined, { signal }) : undefined;
    }
  }

  /** Over the control socket, without a command's start. */
  ask(request: Parameters<typeof askRelay>[0]): Promise<unknown> {
    return askRelay(request, { path: this.socket });
  }

  /** Its report of this second, from the API in its node. */
  report(): RelayFacts {
    const text = this.#rig.said(this.node, "curl", "-sS", "--max-time", "5", "http://127.0.0.1:3002/api/v1/report");
    return JSON.parse(text) as RelayFacts;
  }

  /** The first report made after the call: all that came before is in it. */
  async settled(signal: AbortSignal): Promise<RelayFacts> {
    for (const since = Date.now(); ; await sleep(pollMs, undefined, { signal })) {
      const now = this.report();
      if (Date.parse(now.time) > since) return now;
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#process.kill(signal);
    await this.#process.ended;
  }
  async startAgain(signal: AbortSignal): Promise<void> {
    this.#process = this.#start();
    await this.ready(signal);
  }
}

/** Through every relay of the rig the group goes on as it came. */
const onward =
  (engine: EngineName): RulesOf =>
  (node) => [{ id: "onward", engine, from: { interface: `${node}0`, group, port }, to: [{ interface: `${node}1` }] }];

/** Groups after the rig's own. */
export const fanGroup = (i: number): string => `239.1.2.${i + 1}`;
const fan =
  (engine: EngineName, outputs: number): RulesOf =>
  (node) => [
    {
      id: "fan",
      engine,
      from: { interface: `${node}0`, group, port },
      to: Array.from({ length: outputs }, (_, i) => ({ interface: `${node}1`, group: fanGroup(i) })),
    },
  ];

const path = { path: 7, key: "000102030405060708090a0b0c0d0e0f" } as const;
/** Into a tunnel at the first relay, out of it at the second. */
const tunnelled =
  (engine: EngineName): RulesOf =>
  (node, i) =>
    i === 0
      ? [{ id: "in", engine, from: { interface: `${node}0`, group, port }, to: [{ tunnel: { ...path, to: "10.0.2.2", source: "10.0.2.1" } }] }]
      : [{ id: "out", engine, from: { tunnel: { ...path, peers: ["10.0.2.1"] } }, to: [{ interface: `${node}1`, group, port }] }]; // biome-ignore format: two rules

export const manyRules = 10_000;
export const manyBase = "239.2.0.0";
const manyGroup = (i: number): string => `239.2.${i >> 8}.${i & 255}`;
const many =
  (engine: EngineName): RulesOf =>
  (node) =>
    Array.from({ length: manyRules }, (_, i) => ({
      id: `rule-${i}`,
      engine,
      from: { interface: `${node}0`, group: manyGroup(i), port },
      to: [{ interface: `${node}1` }],
    }));

export const rules = { onward, fan, tunnelled, many } as const;

/** The agent shares the sender's core, where it is idle; the packets of afpacket are carried by its worker. */
export function ours(name: string, settings: string, of: RulesOf, core: number = relayCores.other): Forwarder {
  return {
    name,
    settings,
    start: async (rig, folder, signal): Promise<Carrying> => {
      const agents: RelayAgent[] = [];
      let loadSeconds = 0;
      // From the last one on: a veth takes frames from XDP only when its far end has a program.
      for (const [i, node] of [...rig.relays.entries()].toReversed()) {
        const agent = await RelayAgent.start(rig, node, folder, signal, { core });
        agents.push(agent);
        loadSeconds = Math.max(loadSeconds, await agent.load(of(node, i), signal));
      }
      return {
        says: async () => ({
          loadSeconds,
          stats: Object.fromEntries(
            agents.map((agent) => [agent.node, JSON.parse(agent.rules("stats", "--json")) as unknown]),
          ),
        }),
      };
    },
  };
}
