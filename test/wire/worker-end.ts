// The test's end of worker-driver.ts, and frames and plans for it to be asked about.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { RelayFigures, RelayPlan, ResolvedOutput, ResolvedRule } from "#native/relay.ts";
import type { WorkerView } from "#relay/workers.ts";
import type { Place, RelayLab } from "./relay-lab.ts";
import type { WorkerCommand } from "./worker-driver.ts";

const node = new URL("../../node_modules/node/bin/node", import.meta.url).pathname;
const driver = new URL("worker-driver.ts", import.meta.url).pathname;

const bytesToText = (_: string, value: unknown): unknown =>
  value instanceof Uint8Array ? `0x${Buffer.from(value).toString("hex")}` : value;

export const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
export const ip = (text: string): Uint8Array => Uint8Array.from(text.split(".").map(Number));
export const groupMac = (group: Uint8Array): Uint8Array =>
  group.length === 4
    ? Uint8Array.of(1, 0, 0x5e, (group[1] ?? 0) & 0x7f, group[2] ?? 0, group[3] ?? 0)
    : Uint8Array.of(0x33, 0x33, ...group.slice(12));

export class WorkerEnd implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #problems: string[] = [];
  readonly #ended: Promise<unknown>;
  readonly folder: string;
  readonly #own: boolean;

  private constructor(child: ChildProcess, folder: string, own: boolean) {
    this.#child = child;
    this.folder = folder;
    this.#own = own;
    if (!child.stdout) throw new Error("no output");
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#problems.push(text));
    this.#ended = once(child, "exit");
  }

  /** `folder`: of one that was killed, to be taken over. */
  static async start(
    lab: RelayLab,
    place: Place,
    { folder = "", orphanAfterMs = 0, options = [] as string[] } = {},
  ): Promise<WorkerEnd> {
    const own = folder === "";
    const path = own ? await mkdtemp(join(tmpdir(), "tapline-relay-")) : folder;
    return new WorkerEnd(lab.start(place, node, driver, path, String(orphanAfterMs), ...options), path, own);
  }

  async tell<T = unknown>(command: WorkerCommand): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(command, bytesToText)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`the driver ended: ${this.#problems.join("")}`);
    const answer = JSON.parse(value) as { value?: unknown; error?: { code?: string; text: string } };
    if (answer.error !== undefined)
      throw Object.assign(new Error(`${answer.error.text}\n${this.#problems.join("")}`), { code: answer.error.code });
    return answer.value as T;
  }
  figures = (): Promise<RelayFigures> => this.tell<RelayFigures>({ do: "figures" });
  /** When so many packets have come in by its first interface, or were lost there, and nothing is in hand; or else after a while as it is then. */
  async after(count: number): Promise<RelayFigures> {
    for (let i = 0; ; i++) {
      const figures = await this.figures();
      const [port] = figures.ports;
      const there = (port?.received ?? 0) + (port?.ringDrops ?? 0) >= count;
      if (i === 500 || (there && figures.outputs.every((one) => one.wanted === one.sent + total(one.dropped))))
        return figures;
      await sleep(10);
    }
  }
  views = (): Promise<WorkerView[]> => this.tell<WorkerView[]>({ do: "views" });

  /** As the kernel would end it: it hears nothing. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      if (this.#own) {
        await this.tell({ do: "removeAll" });
        await this.tell({ do: "leaveAll" });
      }
      this.#child.stdin?.end();
      await this.#ended;
    }
    if (this.#own) await rm(this.folder, { recursive: true, force: true });
  }
}

export interface OutputWish extends Partial<ResolvedOutput> {
  readonly destination: Uint8Array;
}

/** Rules from b0 to b1 in b, or as `from` and `to` say. */
export class Plans {
  readonly from: number;
  readonly to: number;
  readonly sourceMac: Uint8Array;

  private constructor(from: number, to: number, sourceMac: Uint8Array) {
    this.from = from;
    this.to = to;
    this.sourceMac = sourceMac;
  }

  static async of(lab: RelayLab, place: Place = "b", from = "b0", to = "b1"): Promise<Plans> {
    return new Plans(await lab.index(place, from), await lab.index(place, to), bytes(await lab.mac(place, to)));
  }
  output(wish: OutputWish): ResolvedOutput {
    return {
      id: "out",
      ifindex: this.to,
      port: 6001,
      destinationMac: groupMac(wish.destination),
      sourceMac: this.sourceMac,
      mtu: 1500,
      ...wish,
    };
  }
  rule(
    id: string,
    group: Uint8Array,
    port: number,
    outputs: readonly OutputWish[],
    wish: Partial<ResolvedRule> = {},
  ): ResolvedRule {
    return {
      id,
      engine: "afpacket",
      input: { ifindex: this.from, vlan: 0, protocol: "UDP", destination: group, port, sources: [] },
      outputs: outputs.map((one) => this.output(one)),
      deliverLocal: false,
      limitPps: 0,
      limitBurst: 0,
      stormPps: 0,
      ...wish,
    };
  }
}
export const plan = (rules: readonly ResolvedRule[], rest: Partial<RelayPlan> = {}): RelayPlan => ({
  rules,
  tunnelPorts: [],
  ownAddresses: [],
  ...rest,
});

const fold = (sum: number): number => (sum > 0xffff ? fold((sum & 0xffff) + (sum >>> 16)) : sum);
const sumOf = (data: Buffer): number => {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2)
    sum += data.readUInt8(i) * 256 + (i + 1 < data.length ? data.readUInt8(i + 1) : 0);
  return fold(sum);
};

export interface FrameWish {
  readonly source?: string;
  readonly group?: string;
  readonly port?: number;
  readonly ttl?: number;
  readonly tos?: number;
  readonly payload?: number;
  /** of the IP header's flags and fragment offset */
  readonly fragment?: number;
  readonly checksum?: boolean;
  readonly protocol?: number;
  readonly vlan?: number;
  readonly mac?: string;
}

/** An IPv4 frame as hexadecimal text; of UDP unless `protocol` says otherwise. */
export function frame(wish: FrameWish = {}): string {
  const {
    source = "10.0.0.1",
    group = "239.1.1.1",
    port = 5001,
    ttl = 16,
    tos = 0,
    payload = 100,
    fragment = 0,
  } = wish;
  const body = Buffer.from(Array.from({ length: payload }, (_, i) => (i * 7 + payload) & 255));
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(40_000, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(8 + payload, 4);
  const head = Buffer.alloc(20);
  head.writeUInt16BE(0x4500 | tos, 0);
  head.writeUInt16BE(28 + payload, 2);
  head.writeUInt16BE(0x1234, 4);
  head.writeUInt16BE(fragment, 6);
  head.writeUInt8(ttl, 8);
  head.writeUInt8(wish.protocol ?? 17, 9);
  head.set(ip(source), 12);
  head.set(ip(group), 16);
  head.writeUInt16BE(~sumOf(head) & 0xffff, 10);
  const pseudo = Buffer.concat([head.subarray(12, 20), Buffer.from([0, 17, udp[4] ?? 0, udp[5] ?? 0])]);
  if (wish.checksum !== false) udp.writeUInt16BE(~sumOf(Buffer.concat([pseudo, udp, body])) & 0xffff || 0xffff, 6);
  const mac = Buffer.from(wish.mac ?? Buffer.from(groupMac(ip(group))).toString("hex"), "hex");
  const ether = Buffer.from("0202020202020800", "hex");
  const tag = wish.vlan === undefined ? Buffer.alloc(0) : Buffer.from([0x81, 0, wish.vlan >> 8, wish.vlan & 255]);
  return Buffer.concat([mac, ether.subarray(0, 6), tag, ether.subarray(6), head, udp, body]).toString("hex");
}

const total = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
const present = (counts: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

/** The ledger closes, at every interface and every output. */
export function accounted(figures: RelayFigures): void {
  for (const port of figures.ports) expect(port.received).toBe(port.passed + port.matched + total(port.refused));
  for (const output of figures.outputs) expect(output.wanted).toBe(output.sent + total(output.dropped));
}
export const refused = (figures: RelayFigures): Record<string, number> => present(figures.ports[0]?.refused ?? {});
export const output = (
  figures: RelayFigures,
  rule: string,
  id = "out",
): { wanted: number; sent: number; dropped: Record<string, number> } => {
  const found = figures.outputs.find((one) => one.rule === rule && one.id === id);
  if (!found) throw new Error(`there is no output ${rule} ${id}`);
  return { wanted: found.wanted, sent: found.sent, dropped: present(found.dropped) };
};
