// The engine in user space, memberships and neighbours in a process of its own, inside a namespace, that does what it is told.
// Enters: a line of JSON per command. Leaves: a line of JSON per answer, in the same order. Bytes are text: "0x" and hexadecimal digits.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { RelayPlan } from "#native/relay.ts";
import { Memberships, type Membership } from "#relay/memberships.ts";
import { Neighbours } from "#relay/neighbours.ts";
import { Workers } from "#relay/workers.ts";
import type { Log } from "#process/log.ts";

export type WorkerCommand =
  | { readonly do: "apply"; readonly plan: RelayPlan; readonly wait?: boolean }
  | { readonly do: "heartbeat" | "figures" | "views" | "traces" | "removeAll" | "letGo" }
  | { readonly do: "trace"; readonly rule: string; readonly packets: number }
  | { readonly do: "join"; readonly wanted: readonly Membership[] }
  | { readonly do: "leaveAll" | "pingHolder" }
  | { readonly do: "know"; readonly hops: readonly { readonly ifindex: number; readonly address: Uint8Array }[] }
  | { readonly do: "way"; readonly to: Uint8Array; readonly ifindex?: number }
  | { readonly do: "neighbour"; readonly ifindex: number; readonly address: Uint8Array };

const [folder = "", orphanAfterMs = "0", ...options] = process.argv.slice(2);
const say = (message: string, values?: unknown): boolean =>
  process.stderr.write(`${message} ${JSON.stringify(values)}\n`);
const log = { debug: say, info: say, notice: say, warning: say, error: say, critical: say } as unknown as Log;

const bytesToText = (_: string, value: unknown): unknown => {
  if (typeof value === "bigint") return value.toString();
  return value instanceof Uint8Array ? `0x${Buffer.from(value).toString("hex")}` : value;
};
const textToBytes = (_: string, value: unknown): unknown =>
  typeof value === "string" && value.startsWith("0x") ? Uint8Array.from(Buffer.from(value.slice(2), "hex")) : value;

const settings = { folder, orphanAfterMs: Number(orphanAfterMs), log };
let openWorkers: Workers | undefined;
let changes = 0;
let openNeighbours: Neighbours | undefined;
const memberships = new Memberships(settings);
const neighbours = (): Neighbours =>
  (openNeighbours ??= new Neighbours(() => {
    changes += 1;
  }));
const workers = (): Workers =>
  (openWorkers ??= new Workers({
    ...settings,
    folder: `${folder}/workers`,
    maxRules: 1024,
    maxOutputs: 1024,
    cpuOf: () => undefined,
    now: () => performance.now(),
    options,
  }));

async function settle(): Promise<void> {
  for (let i = 0; i < 500 && !workers().settled(); i++) {
    workers().heartbeat();
    await sleep(10);
  }
  if (!workers().settled()) throw new Error(`never settled: ${JSON.stringify(workers().views())}`);
}

async function obey(command: WorkerCommand): Promise<unknown> {
  switch (command.do) {
    case "apply":
      workers().apply(command.plan);
      return command.wait === false ? null : settle();
    case "heartbeat":
      return workers().heartbeat();
    case "figures":
      return workers().figures();
    case "views":
      return workers().views();
    case "trace":
      return workers().trace(command.rule, command.packets);
    case "traces":
      return workers().takeTraces();
    case "removeAll":
      return workers().uninstall();
    case "letGo":
      return workers().close();
    case "join":
      return memberships.want(command.wanted);
    case "pingHolder":
      return memberships.heartbeat();
    case "leaveAll":
      return memberships.uninstall();
    case "know":
      return neighbours().want(command.hops);
    case "way":
      return { changes, way: neighbours().way(command.to, command.ifindex) ?? null };
    case "neighbour":
      return { changes, mac: neighbours().neighbour(command.ifindex, command.address) ?? null };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const value = await obey(JSON.parse(line, textToBytes) as WorkerCommand);
    process.stdout.write(`${JSON.stringify({ value: value ?? null }, bytesToText)}\n`);
  } catch (error) {
    const { code } = error as { code?: string };
    process.stdout.write(`${JSON.stringify({ error: { code, text: String(error) } })}\n`);
  }
}
openNeighbours?.stop();
await openWorkers?.close();
