// What tests of the engines in the kernel have in common: rules through b of a rig, pins of their own, a stream that must come whole.
import { spawn } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { RelayEngine } from "#domain/vocabulary.ts";
import type { RelayFigures, ResolvedOutput, ResolvedRule } from "#native/relay.ts";
import { group, type SinkReport } from "../../cli/relay-ends.ts";
import type { NodeName, RelayRig } from "../../cli/relay-rig.ts";
import { KernelEnd } from "./kernel-end.ts";
import { accounted, groupMac, ip, output } from "./worker-end.ts";

/** A process in a node of a rig. */
export const startIn =
  (rig: RelayRig, node: NodeName) =>
  (command: string, ...args: string[]) =>
    spawn("ip", ["netns", "exec", rig.namespace(node), command, ...args], { stdio: ["pipe", "pipe", "pipe"] });

/** Rules from b0 to b1, on the same group and port unless told otherwise. */
export class Rules {
  readonly from: number;
  readonly to: number;
  readonly #mac: Uint8Array;

  constructor(rig: RelayRig) {
    const said = (file: string): string => rig.said("b", "cat", `/sys/class/net/${file}`).trim();
    this.from = Number(said("b0/ifindex"));
    this.to = Number(said("b1/ifindex"));
    this.#mac = Uint8Array.from(Buffer.from(said("b1/address").replaceAll(":", ""), "hex"));
  }
  output(id: string, destination: Uint8Array, wish: Partial<ResolvedOutput> = {}): ResolvedOutput {
    const { to: ifindex } = this;
    return { id, ifindex, destination, port: 5001, destinationMac: groupMac(destination), sourceMac: this.#mac, mtu: 1500, ...wish }; // biome-ignore format: one object
  }
  rule(engine: RelayEngine, id: string, to: Uint8Array, outputs: readonly ResolvedOutput[]): ResolvedRule {
    return {
      id,
      engine,
      input: { ifindex: this.from, vlan: 0, protocol: "UDP", destination: to, port: 5001, sources: [] },
      outputs,
      deliverLocal: false,
      limitPps: 0,
      limitBurst: 0,
      stormPps: 0,
    };
  }
  /** One output, the group itself. */
  through(engine: RelayEngine): ResolvedRule {
    return this.rule(engine, "stream", ip(group), [this.output("out", ip(group))]);
  }
  /** Others on the same interface, which no packet asks for; `turn` changes them. */
  others(engine: RelayEngine, turn: number): ResolvedRule[] {
    return Array.from({ length: 4 + (turn % 3) }, (_, i) =>
      this.rule(engine, `other${i}`, ip(`239.9.0.${i}`), [this.output("out", ip(`239.8.${turn % 200}.${i}`))]),
    );
  }
}

/** A folder in a BPF file system of the test's own. Made before the rig, so that it is emptied after it: the rig takes the mount away. */
export class Pins implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "tapline-pins-"));
  readonly path = this.of(1);
  of(layout: number): string {
    return join(this.#folder, "tapline", "test", `v${layout}`);
  }
  mount(rig: RelayRig): void {
    rig.mountBpf(this.#folder);
  }
  [Symbol.dispose](): void {
    rmdirSync(this.#folder);
  }
}

/** Each number of a stream came once, in order. */
export function wholeStream({ lanes, unexpected }: SinkReport, figures: RelayFigures, count: number): void {
  accounted(figures);
  const { wanted, sent, dropped } = output(figures, "stream");
  expect(lanes).toMatchObject([{ unique: count, lost: 0, duplicate: 0, behind: 0, wrong_length: 0 }]);
  expect({ wanted, sent, dropped, unexpected }).toEqual({ wanted: count, sent: count, dropped: {}, unexpected: 0 });
}

/** Whether anybody's program is at an interface of b, as one sees it who has none there. */
export async function taken(rig: RelayRig, ifindex: number): Promise<boolean> {
  await using stranger = await KernelEnd.start(startIn(rig, "b"));
  const { foreignXdp, foreignTc } = await stranger.probe(ifindex);
  return foreignXdp || foreignTc;
}
