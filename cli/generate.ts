// tapline pcap generate: a capture with known losses.
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { TaplineError } from "#domain/errors.ts";
import { engine, type GenerateOptions, type TrafficKind } from "#native/engine.ts";
import { engineError } from "#sensor/engine-error.ts";
import { UsageError } from "./arguments.ts";
import { interruptedCode, interruption } from "./interruption.ts";
import { bytes, count, duration, grouped } from "./numbers.ts";
import { progress } from "./progress.ts";

export interface GenerateArguments {
  readonly output: string;
  readonly packets: number;
  readonly flows?: number;
  readonly protocol: TrafficKind;
  readonly seed: number;
  readonly loss: number;
  readonly reorder: number;
  readonly duplicate: number;
  readonly rekey: number;
  readonly xpn: boolean;
  readonly esn: boolean;
  readonly ipv6: boolean;
  readonly vlan: boolean;
  readonly truth?: string;
  readonly minSize: number;
  readonly maxSize: number;
  readonly pps: number;
  readonly pcapng: boolean;
  readonly microseconds: boolean;
  readonly json?: boolean;
}

/** Ten packets a flow, as the seeds' scaling table has it. */
export const usualFlows = (packets: number): number => Math.min(Math.max(Math.floor(packets / 10), 1), 50_000);

/** Capture time of the first packet: fixed, so that the same seed makes the same file. */
const startNs = 1_700_000_000_000_000_000n;

/** An older file is replaced, as such tools do; a folder or a device never is. */
function checkOutput(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    throw new TaplineError("FILE_WRITE_FAILED", {
      path,
      detail: found.isDirectory() ? "it is a directory" : "it is not a regular file",
    });
  }
}

export function generateOptions(typed: GenerateArguments): GenerateOptions {
  if (typed.minSize > typed.maxSize) throw new UsageError("--min-size is above --max-size");
  if (typed.xpn && typed.protocol !== "macsec" && typed.protocol !== "mixed")
    throw new UsageError("--xpn is of MACsec: use --protocol macsec or mixed");
  if (typed.esn && typed.protocol !== "ipsec" && typed.protocol !== "mixed")
    throw new UsageError("--esn is of ESP: use --protocol ipsec or mixed");
  if (typed.microseconds && typed.pcapng) throw new UsageError("--microseconds is of pcap: leave out --pcapng");
  if (typed.truth !== undefined && resolve(typed.truth) === resolve(typed.output))
    throw new UsageError("--truth and --output name the same file");
  const flows = typed.flows ?? usualFlows(typed.packets);
  if (flows > typed.packets)
    throw new UsageError(`--flows ${flows} is more than --packets ${typed.packets}: every flow needs a packet`);
  return {
    path: typed.output,
    ...(typed.truth === undefined ? {} : { truthPath: typed.truth }),
    packets: typed.packets,
    flows,
    protocol: typed.protocol,
    seed: typed.seed,
    loss: typed.loss,
    reorder: typed.reorder,
    duplicate: typed.duplicate,
    rekey: typed.rekey,
    xpn: typed.xpn,
    esn: typed.esn,
    ipv6: typed.ipv6,
    vlan: typed.vlan,
    minSize: typed.minSize,
    maxSize: typed.maxSize,
    pps: typed.pps,
    nanosecond: !typed.microseconds,
    pcapng: typed.pcapng,
    startNs,
  };
}

export async function generate(typed: GenerateArguments): Promise<number> {
  const options = generateOptions(typed);
  checkOutput(typed.output);
  if (typed.truth !== undefined) checkOutput(typed.truth);
  const started = performance.now();
  const work = engine().generate(options);
  using stop = interruption(() => work.stop());
  const bar = progress("generating", () => {
    const { packets, total } = work.progress();
    return { share: packets / total, notes: [`${grouped(packets)} of ${grouped(total)} packets`] };
  });
  const made = await work.done
    .catch((error: { path?: string }) => {
      throw engineError(error, error.path ?? typed.output);
    })
    .finally(() => bar[Symbol.dispose]());
  const ns = (performance.now() - started) * 1e6;
  const truth = typed.truth === undefined ? "" : `, the truth in ${typed.truth}`;
  process.stdout.write(
    typed.json === true
      ? `${JSON.stringify({ output: typed.output, truth: typed.truth ?? null, seed: typed.seed, complete: !stop.signal.aborted, ...made, seconds: ns / 1e9 }, undefined, 2)}\n`
      : `${typed.output}: ${grouped(made.packets)} packets in ${grouped(made.flows)} flows, ${bytes(made.bytes)} on the wire, ${grouped(made.lost)} packets lost on the way${truth} (${duration(ns)}, ${count(made.packets / (ns / 1e9))} packets/s)\n`,
  );
  if (!stop.signal.aborted) return 0;
  process.stderr.write("Interrupted: the file holds the packets made so far.\n");
  return interruptedCode;
}
