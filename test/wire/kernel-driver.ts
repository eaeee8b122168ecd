// The relay's engines in a process of its own, inside a namespace, without the agent: does what it is told, and beats its heart.
// Enters: a line of JSON per command; addresses, MACs and keys are 0x and hexadecimal text. Leaves: a line of JSON per answer, in the same order.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openKernelRelay, type KernelRelay, type KernelRelayOptions, type RelayPlan } from "#native/relay.ts";

export type KernelCommand =
  | { readonly do: "open"; readonly options: KernelRelayOptions }
  | { readonly do: "apply"; readonly plan: RelayPlan }
  /** one after the other, so many times, as fast as it goes; a full table waits for what is freed after a second */
  | { readonly do: "churn"; readonly plans: readonly RelayPlan[]; readonly times: number }
  | { readonly do: "probe"; readonly ifindex: number }
  | { readonly do: "trace"; readonly rule: string; readonly packets: number }
  | { readonly do: "beat"; readonly on: boolean }
  | { readonly do: "figures" | "traces" | "close" | "uninstall" };

let relay: KernelRelay | undefined;
const opened = (): KernelRelay => {
  if (relay === undefined) throw new Error("not open");
  return relay;
};
let beat = setInterval(() => relay?.heartbeat(), 250);

async function churn(plans: readonly RelayPlan[], times: number): Promise<number> {
  let waits = 0;
  for (let i = 0; i < times; ) {
    const plan = plans[i % plans.length];
    try {
      if (plan !== undefined) opened().apply(plan);
      i += 1;
    } catch (error) {
      if ((error as { code?: string }).code !== "RELAY_ROOM") throw error;
      waits += 1;
      await sleep(100);
    }
  }
  return waits;
}

function obey(command: KernelCommand): unknown {
  switch (command.do) {
    case "open":
      relay = openKernelRelay(command.options);
      return { adopted: relay.adopted, upgraded: relay.upgraded, observed: relay.observed, tcx: relay.tcx };
    case "apply":
      return opened().apply(command.plan);
    case "churn":
      return churn(command.plans, command.times);
    case "probe":
      return opened().probe(command.ifindex);
    case "trace":
      return opened().trace(command.rule, command.packets);
    case "beat":
      clearInterval(beat);
      if (command.on) beat = setInterval(() => relay?.heartbeat(), 250);
      return null;
    case "figures":
      return opened().figures();
    case "traces":
      return opened().takeTraces();
    case "close":
      return opened().close();
    case "uninstall":
      return opened().uninstall();
  }
}

const hex = /^0x([0-9a-f]*)$/;
const parsed = (line: string): KernelCommand =>
  JSON.parse(line, (_, value: unknown) => {
    const bytes = typeof value === "string" ? hex.exec(value)?.[1] : undefined;
    return bytes === undefined ? value : Uint8Array.from(Buffer.from(bytes, "hex"));
  }) as KernelCommand;
const text = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === "bigint") return one.toString();
    return one instanceof Uint8Array ? `0x${Buffer.from(one).toString("hex")}` : one;
  });

for await (const line of createInterface({ input: process.stdin })) {
  try {
    process.stdout.write(`${text({ value: (await obey(parsed(line))) ?? null })}\n`);
  } catch (error) {
    const { code, detail } = error as { code?: string; detail?: string };
    process.stdout.write(`${text({ error: { code, detail, text: String(error) } })}\n`);
  }
}
clearInterval(beat);
